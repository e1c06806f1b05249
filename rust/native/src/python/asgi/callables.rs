//! `receive` and `send` of a WebSocket as objects that the standard library takes for coroutine functions: Channels'
//! synchronous consumers ask before they use them from their thread. (HTTP's are bound methods, which are called faster
//! and cannot be marked; nobody asks them.)

use super::awaitable::Awaitable;
use super::websocket::SocketExchange;
use pyo3::prelude::*;

/// ASGI's `receive`.
#[pyclass(module = "hostler._native", frozen)]
pub struct SocketReceive(pub Py<SocketExchange>);

/// ASGI's `send`.
#[pyclass(module = "hostler._native", frozen)]
pub struct SocketSend(pub Py<SocketExchange>);

/// The mark of a coroutine function that is no `async def`, until Python 3.11.
fn asyncio_mark(py: Python<'_>) -> Py<PyAny> {
    let found = py
        .import("asyncio.coroutines")
        .and_then(|module| module.getattr("_is_coroutine"));
    found.map_or_else(|_| py.None(), Bound::unbind)
}

/// The same since Python 3.12: what `inspect.markcoroutinefunction` leaves on a function.
fn inspect_mark(py: Python<'_>) -> Py<PyAny> {
    let found = py.import("inspect").and_then(|module| {
        let function = py.eval(c"lambda: None", None, None)?;
        let marked = module.call_method1("markcoroutinefunction", (function,))?;
        marked.getattr("_is_coroutine_marker")
    });
    found.map_or_else(|_| py.None(), Bound::unbind)
}

#[pymethods]
impl SocketReceive {
    #[classattr]
    fn _is_coroutine(py: Python<'_>) -> Py<PyAny> {
        asyncio_mark(py)
    }

    #[classattr]
    fn _is_coroutine_marker(py: Python<'_>) -> Py<PyAny> {
        inspect_mark(py)
    }

    fn __call__(&self, py: Python<'_>) -> PyResult<Awaitable> {
        SocketExchange::receive(self.0.bind(py))
    }
}

#[pymethods]
impl SocketSend {
    #[classattr]
    fn _is_coroutine(py: Python<'_>) -> Py<PyAny> {
        asyncio_mark(py)
    }

    #[classattr]
    fn _is_coroutine_marker(py: Python<'_>) -> Py<PyAny> {
        inspect_mark(py)
    }

    #[pyo3(signature = (message, /))]
    fn __call__(&self, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        SocketExchange::send(self.0.bind(py), message)
    }
}
