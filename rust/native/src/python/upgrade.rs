//! The raw socket of a WSGI request that asks for a WebSocket: libraries such as simple-websocket speak the protocol
//! themselves.

use crate::core::{Core, Request, Token};
use pyo3::exceptions::PyConnectionError;
use pyo3::prelude::*;
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

/// A socket that its request may take, once.
#[pyclass(module = "hostler._native", frozen)]
pub struct Upgrade {
    core: Arc<Core>,
    token: Token,
    thread: usize,
    taken: AtomicBool,
}

impl Upgrade {
    pub fn new(core: &Arc<Core>, request: &Request) -> Self {
        Self {
            core: Arc::clone(core),
            token: request.token,
            thread: request.thread,
            taken: AtomicBool::new(false),
        }
    }

    pub fn is_taken(&self) -> bool {
        self.taken.load(Relaxed)
    }
}

#[pymethods]
impl Upgrade {
    /// The socket's descriptor, which blocks and belongs to the caller.
    fn take(&self) -> PyResult<RawFd> {
        let socket = self.core.detach(self.token, self.thread);
        let socket = socket.ok_or_else(|| PyConnectionError::new_err("the client has left"))?;
        self.taken.store(true, Relaxed);
        Ok(socket.into_raw_fd())
    }
}
