//! How an app's task ended, and which of its exceptions only say that the client left.

use pyo3::exceptions::{PyConnectionError, PyOSError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;

/// Exceptions of frameworks for a client that left (Starlette, and what is built on it). They are no OSError.
const DISCONNECTS: [&str; 2] = ["ClientDisconnect", "WebSocketDisconnect"];
/// Max links of a chain of exceptions that are followed; a chain may be a circle.
const LINKS: usize = 16;

/// The end of a task.
pub enum Outcome {
    Returned,
    Cancelled,
    Raised(PyErr),
}

impl Outcome {
    /// What a forked child ends with.
    pub fn into_result(self) -> PyResult<()> {
        self.into_error().map_or(Ok(()), Err)
    }

    /// The error to report; a cancelled task has one too.
    pub fn into_error(self) -> Option<PyErr> {
        match self {
            Self::Returned => None,
            Self::Cancelled => Some(PyRuntimeError::new_err("the app's task was cancelled")),
            Self::Raised(error) => Some(error),
        }
    }
}

/// The outcome of a task that is done.
pub fn outcome(task: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let py = task.py();
    match task.call_method0(intern!(py, "exception")) {
        Ok(error) if error.is_none() => Ok(Outcome::Returned),
        Ok(error) => Ok(Outcome::Raised(PyErr::from_value(error))),
        Err(_) if task.call_method0(intern!(py, "cancelled"))?.is_truthy()? => Ok(Outcome::Cancelled),
        Err(error) => Err(error),
    }
}

/// Whether an error, or what it was raised for, is nothing but the client's leaving. For an exception group: each of its
/// parts.
pub fn is_disconnect(py: Python<'_>, error: &PyErr) -> bool {
    if error.is_instance_of::<PyOSError>(py) {
        return true;
    }
    let mut link = Some(error.clone_ref(py));
    for _ in 0..LINKS {
        let Some(error) = link else { return false };
        if error.is_instance_of::<PyConnectionError>(py) || is_named_so(py, &error) || is_group_of(py, &error) {
            return true;
        }
        let value = error.value(py);
        let next = error.cause(py).map(|cause| cause.into_value(py).into_any());
        let next = next.or_else(|| value.getattr("__context__").ok().map(Bound::unbind));
        link = next
            .filter(|next| !next.is_none(py))
            .map(|next| PyErr::from_value(next.into_bound(py)));
    }
    false
}

/// Lets go of what the frames of an error hold that is dropped. An error is in a circle with its frames as a rule
/// (`__aexit__` has it as an argument), so generators and database sessions of the app would stay open until the garbage
/// collector comes for its oldest generation: for hours in a quiet worker.
pub fn release(py: Python<'_>, error: PyErr) {
    let mut errors = vec![error.into_value(py).into_bound(py).into_any()];
    for _ in 0..LINKS {
        let Some(error) = errors.pop() else { return };
        let _ = clear_frames(&error); // a frame that runs refuses, and is not done with
        for name in [intern!(py, "__cause__"), intern!(py, "__context__")] {
            errors.extend(error.getattr(name).ok().filter(|next| !next.is_none()));
        }
        let parts = error
            .getattr(intern!(py, "exceptions"))
            .and_then(|parts| parts.try_iter());
        errors.extend(parts.into_iter().flatten().flatten());
    }
}

fn clear_frames(error: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = error.py();
    let mut trace = error.getattr(intern!(py, "__traceback__"))?;
    while !trace.is_none() {
        let _ = trace
            .getattr(intern!(py, "tb_frame"))?
            .call_method0(intern!(py, "clear"));
        trace = trace.getattr(intern!(py, "tb_next"))?;
    }
    Ok(())
}

fn is_named_so(py: Python<'_>, error: &PyErr) -> bool {
    let name = error.get_type(py).name();
    name.is_ok_and(|name| DISCONNECTS.iter().any(|known| name == *known))
}

fn is_group_of(py: Python<'_>, error: &PyErr) -> bool {
    let parts = error.value(py).getattr("exceptions");
    let Ok(parts) = parts.and_then(|parts| parts.try_iter()) else {
        return false;
    };
    let mut any = false;
    for one in parts {
        let Ok(one) = one else { return false };
        if !is_disconnect(py, &PyErr::from_value(one)) {
            return false;
        }
        any = true;
    }
    any
}
