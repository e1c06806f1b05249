//! `receive` and `send` of a WebSocket as objects that the standard library takes for coroutine functions: Channels'
//! synchronous consumers ask before they use them from their thread. (HTTP's are bound methods, which are called faster
//! and cannot be marked; nobody asks them.)

use super::awaitable::Awaitable;
use super::websocket::SocketExchange;
use pyo3::prelude::*;

/// ASGI's `receive`.
#[pyclass(module = "ostler._native", frozen)]
pub struct SocketReceive(pub Py<SocketExchange>);

/// ASGI's `send`.
#[pyclass(module = "ostler._native", frozen)]
pub struct SocketSend(pub Py<SocketExchange>);

/// The mark of a coroutine function that is no `async def`: asyncio's until Python 3.11, inspect's after.
fn mark(py: Python<'_>, module: &str, name: &str) -> Py<PyAny> {
    let found = py.import(module).and_then(|module| module.getattr(name));
    found.map_or_else(|_| py.None(), Bound::unbind)
}

#[pymethods]
impl SocketReceive {
    #[classattr]
    fn _is_coroutine(py: Python<'_>) -> Py<PyAny> {
        mark(py, "asyncio.coroutines", "_is_coroutine")
    }

    #[classattr]
    fn _is_coroutine_mark(py: Python<'_>) -> Py<PyAny> {
        mark(py, "inspect", "_is_coroutine_mark")
    }

    fn __call__(&self, py: Python<'_>) -> PyResult<Awaitable> {
        SocketExchange::receive(self.0.bind(py))
    }
}

#[pymethods]
impl SocketSend {
    #[classattr]
    fn _is_coroutine(py: Python<'_>) -> Py<PyAny> {
        mark(py, "asyncio.coroutines", "_is_coroutine")
    }

    #[classattr]
    fn _is_coroutine_mark(py: Python<'_>) -> Py<PyAny> {
        mark(py, "inspect", "_is_coroutine_mark")
    }

    #[pyo3(signature = (message, /))]
    fn __call__(&self, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        SocketExchange::send(self.0.bind(py), message)
    }
}
