//! The end of a forked child of a worker. An app may fork at any moment; what its child may do depends on where it comes back
//! to the server:
//!
//! | the child | what happens |
//! |---|---|
//! | ends by itself (`os._exit`, multiprocessing) | nothing: the server is not asked |
//! | returns from the app's call, or from a part of its iterable | it ends with code 0, its buffers flushed |
//! | raises SystemExit | it ends with that code |
//! | raises anything else | its traceback goes to standard error, and it ends with code 1 |
//! | calls `write()`, `send()` or `receive()` | RuntimeError: the connection is its parent's |
//! | comes back to the event loop before its coroutine has ended | it says so, and ends with code 1 |
//! | comes back to the worker's main thread | it ends with code 0 |
//! | waits, and its gevent hub runs other greenlets meanwhile | the worker's main greenlet rests: `worker/greenlets.py` |
//!
//! So a child never polls, serves or writes to a connection. It has no connections either: see sys/fork.rs.

use crate::sys;
use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::prelude::*;

/// Whether this process is such a child.
#[inline]
pub fn is_child() -> bool {
    sys::is_forked_child()
}

/// An error for what a child may not do.
pub fn refuse() -> PyResult<()> {
    if is_child() {
        return Err(PyRuntimeError::new_err(
            "this process was forked off a worker: the connection is its parent's",
        ));
    }
    Ok(())
}

/// Ends this child, which has returned from the app with `outcome`.
pub fn end(py: Python<'_>, outcome: PyResult<()>) -> ! {
    let code = match outcome {
        Ok(()) => 0,
        Err(error) if error.is_instance_of::<PySystemExit>(py) => exit_code(py, &error),
        Err(error) => {
            error.print_and_set_sys_last_vars(py);
            1
        }
    };
    leave(py, code)
}

/// Ends this child, whose coroutine waits for an event loop that is its parent's.
pub fn end_in_loop(py: Python<'_>) -> ! {
    end(
        py,
        Err(PyRuntimeError::new_err(
            "a process that was forked off an ASGI worker came back to its event loop; end it by os._exit(), or fork by \
             multiprocessing",
        )),
    )
}

/// What SystemExit says: None is 0, a number itself, and anything else is printed and 1.
fn exit_code(py: Python<'_>, error: &PyErr) -> i32 {
    let Ok(code) = error.value(py).getattr("code") else {
        return 1;
    };
    if code.is_none() {
        return 0;
    }
    match code.extract::<i32>() {
        Ok(code) => code,
        Err(_) => {
            let stderr = py.import("sys").and_then(|sys| sys.getattr("stderr"));
            let _ = stderr.and_then(|stderr| stderr.call_method1("write", (format!("{code}\n"),)));
            1
        }
    }
}

/// Flushes Python's buffers and ends at once: no clean-up of the parent's may run here.
fn leave(py: Python<'_>, code: i32) -> ! {
    let left = py
        .import("hostler.proc.fork")
        .and_then(|module| module.call_method1("leave", (code,)));
    drop(left); // it does not return; where it cannot even be called, the buffers are lost
    sys::exit_now(code)
}
