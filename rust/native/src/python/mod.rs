//! The bridge to CPython: the module, its `Core`, and the drivers that run apps. `src/hostler/_native.pyi` is its contract.

mod asgi;
mod environ;
mod file_wrapper;
mod forked;
mod input;
mod module_core;
mod names;
mod responder;
mod result;
mod text;
mod thread;
mod upgrade;

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Field of a scoreboard slot → (offset, size), for the test that holds Rust and Python equal.
#[pyfunction]
fn scoreboard_layout(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let layout = PyDict::new(py);
    for (name, offset, size) in crate::score::layout() {
        layout.set_item(name, (offset, size))?;
    }
    Ok(layout)
}

/// See `sys::kill_when_closed`; `delay` in seconds.
#[pyfunction]
fn kill_when_closed(line: i32, signal: i32, delay: f64) -> PyResult<()> {
    Ok(crate::sys::kill_when_closed(line, signal, (delay * 1000.0) as u64)?)
}

/// See `sys::signal_handler`.
#[pyfunction]
fn signal_handler(signal: i32) -> PyResult<usize> {
    Ok(crate::sys::signal_handler(signal)?)
}

/// See `sys::widen_signal_stack`.
#[pyfunction]
fn widen_signal_stack() -> PyResult<()> {
    Ok(crate::sys::widen_signal_stack()?)
}

/// The native core of hostler.
///
/// It needs the GIL, and has a free-threaded interpreter switch it on (PEP 703, `Py_mod_gil`): whether an environ or a
/// response object may be used again is decided by its reference count, which another thread could change meanwhile.
#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<module_core::Core>()?;
    module.add_class::<asgi::Loop>()?;
    module.add_class::<file_wrapper::FileWrapper>()?;
    module.add_class::<input::Input>()?;
    module.add_class::<upgrade::Upgrade>()?;
    module.add_function(wrap_pyfunction!(kill_when_closed, module)?)?;
    module.add_function(wrap_pyfunction!(signal_handler, module)?)?;
    module.add_function(wrap_pyfunction!(widen_signal_stack, module)?)?;
    module.add_function(wrap_pyfunction!(scoreboard_layout, module)?)
}
