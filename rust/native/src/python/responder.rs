//! `start_response` and `write` (PEP 3333) over an exchange.

use super::forked;
use super::text::{app_text, part_bytes};
use crate::core::{Core, Exchange, Finished, HeadError, Owner, Request, Room, Shared};
use pyo3::exceptions::{PyConnectionResetError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

/// Bodies from this size are sent without the interpreter's lock: copying them into the kernel takes longer than
/// giving the lock away and getting it back.
const DETACH: usize = 32 * 1024;

/// Bytes of a Python object that wait for a slow client; read without the interpreter's lock, dropped with it
/// (see `Core::take_spent`).
pub struct Kept {
    bytes: *const u8,
    length: usize,
    _owner: Py<PyBytes>,
}

// SAFETY: bytes objects never change, and `_owner` keeps this one alive.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl Kept {
    pub fn new(object: &Bound<'_, PyBytes>) -> Self {
        let bytes = object.as_bytes();
        Self {
            bytes: bytes.as_ptr(),
            length: bytes.len(),
            _owner: object.clone().unbind(),
        }
    }
}

impl Shared for Kept {
    fn bytes(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.bytes, self.length) }
    }
}

/// Gives the answer to the request that its thread runs; reset for each, replaced when an app keeps a reference.
#[pyclass(module = "hostler._native")]
pub struct Responder {
    core: Arc<Core>,
    pub exchange: Exchange,
    /// See `App::wait_writable`.
    wait_writable: Option<Py<PyAny>>,
    /// A request is being answered.
    live: bool,
    /// The bound `write` method of this object; borrowed from the app thread, valid while `live`.
    write: *mut ffi::PyObject,
}

// SAFETY: the pointer is only used while `live`, under the interpreter's lock.
unsafe impl Send for Responder {}
// SAFETY: as above.
unsafe impl Sync for Responder {}

impl Responder {
    pub fn new(core: Arc<Core>, wait_writable: Option<Py<PyAny>>) -> Self {
        Self {
            core,
            wait_writable,
            exchange: Exchange::default(),
            live: false,
            write: std::ptr::null_mut(),
        }
    }

    /// Begins the answer to `request`; `write` is this object's bound method and outlives the request.
    pub fn begin(&mut self, request: &Request, write: &Bound<'_, PyAny>) {
        self.exchange.reset(request);
        self.live = true;
        self.write = write.as_ptr();
    }

    pub fn finish(&mut self) {
        self.live = false;
    }

    /// Sends one part of the body, or the whole of it; waits while a slow client has too much before it.
    pub fn send(&mut self, part: &Bound<'_, PyAny>, whole: bool) -> PyResult<()> {
        if forked::is_child() {
            forked::end(part.py(), Ok(()));
        }
        let bytes = part_bytes(part)?;
        let py = part.py();
        let (core, exchange) = (&self.core, &mut self.exchange);
        let mut send = |owner: &mut Owner| {
            if whole {
                exchange.send_whole(core, bytes, owner)
            } else {
                exchange.send_part(core, bytes, owner)
            }
        };
        let room = if bytes.len() < DETACH {
            send(&mut None)
        } else {
            let kept: Owner = match part.cast_exact::<PyBytes>() {
                Ok(exact) => Some(Box::new(Kept::new(exact))),
                Err(_) => None,
            };
            let (room, rest) = py.detach(|| {
                let mut owner = kept;
                let room = send(&mut owner);
                (room, owner)
            });
            drop(rest);
            room
        };
        self.wait_for(py, room)
    }

    /// Waits while a slow client has too much before it.
    pub fn wait_for(&self, py: Python<'_>, room: Room) -> PyResult<()> {
        if room != Room::Full {
            return Ok(());
        }
        let token = self.exchange.token();
        match &self.wait_writable {
            None => py.detach(|| self.core.wait_for_room(token)),
            Some(wait) => {
                while !self.core.has_room(token) {
                    wait.call1(py, (self.exchange.fd(),))?;
                }
            }
        }
        Ok(())
    }

    /// Takes status and headers as PEP 3333 has them.
    fn take_head(&mut self, status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        self.exchange
            .start(app_text(status, "the status")?)
            .map_err(|error| refused(&error, status))?;
        let Ok(headers) = headers.cast::<PyList>() else {
            let pairs = headers.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            return self.take_head(status, PyList::new(headers.py(), pairs)?.as_any());
        };
        for index in 0..headers.len() {
            let pair = headers.get_item(index)?;
            let Ok(pair) = pair.cast::<PyTuple>() else {
                return Err(PyTypeError::new_err(format!(
                    "a header must be a tuple (name, value), not {pair:?}"
                )));
            };
            if pair.len() != 2 {
                return Err(PyTypeError::new_err(format!(
                    "a header must be a tuple (name, value), not {pair:?}"
                )));
            }
            let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
            let (name_bytes, value_bytes) = (app_text(&name, "a header name")?, app_text(&value, "a header value")?);
            match self.exchange.field(name_bytes, value_bytes) {
                Ok(true) => {}
                Ok(false) => self.left_out(name_bytes),
                Err(error @ HeadError::Name) => return Err(refused(&error, &name)),
                Err(error) => return Err(refused(&error, pair.as_any())),
            }
        }
        self.exchange.started(&self.core);
        Ok(())
    }

    /// Says once that the app sends hop-by-hop fields, which are the server's alone (PEP 3333, RFC 9110 §7.6.1).
    fn left_out(&self, name: &[u8]) {
        static SAID: AtomicBool = AtomicBool::new(false);
        if !SAID.swap(true, Relaxed) {
            let name = String::from_utf8_lossy(name);
            self.core.errors.warning(format_args!(
                "the app sends the hop-by-hop header {name}, which is the server's to send: it is left out (said once)"
            ));
        }
    }
}

/// The answer to a request that failed before its head was sent.
pub fn internal_error(exchange: &mut Exchange, core: &Core) -> Finished {
    // These are constants; they cannot be refused.
    let _ = exchange.start(b"500 Internal Server Error");
    let _ = exchange.field(b"Content-Type", b"text/plain; charset=utf-8");
    exchange.started(core);
    let _ = exchange.send_whole(core, b"Internal Server Error\n", &mut None); // one line
    exchange.end(core)
}

fn refused(error: &HeadError, what: &Bound<'_, PyAny>) -> PyErr {
    PyValueError::new_err(format!("{}: {what:?}", error.message()))
}

#[pymethods]
impl Responder {
    /// PEP 3333 `start_response(status, headers, exc_info=None)`; returns `write`. The names are wsgiref's and gunicorn's:
    /// PEP 3333 wants positional arguments, and apps write `exc_info=` all the same.
    #[pyo3(signature = (status, headers, exc_info=None))]
    fn start_response<'py>(
        &mut self,
        py: Python<'py>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if !self.live {
            return Err(PyRuntimeError::new_err(
                "start_response was called after its request had ended",
            ));
        }
        match exc_info {
            Some(exc_info) if self.exchange.is_sending() => {
                return Err(PyErr::from_value(exc_info.get_item(1)?)); // too late to replace the head: PEP 3333 re-raises
            }
            None if self.exchange.is_started() => {
                return Err(PyRuntimeError::new_err(
                    "start_response was called twice without exc_info (PEP 3333)",
                ));
            }
            _ => {}
        }
        self.take_head(status, headers)?;
        // SAFETY: `live`: the app thread holds a reference to the method.
        Ok(unsafe { Bound::from_borrowed_ptr(py, self.write) })
    }

    /// PEP 3333's `write(data)`, for apps that push. Raises RuntimeError past a complete Content-Length, as PEP 3333 says,
    /// and ConnectionResetError when the client is gone: an app that writes for ever must hear of its end.
    #[pyo3(signature = (data, /))]
    fn write(&mut self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        if !self.live {
            return Err(PyRuntimeError::new_err("write was called after its request had ended"));
        }
        forked::refuse()?;
        if self.exchange.is_complete() && !part_bytes(data)?.is_empty() {
            return Err(PyRuntimeError::new_err(
                "write was called after the Content-Length was complete (PEP 3333)",
            ));
        }
        self.send(data, false)?;
        if self.exchange.is_gone() {
            return Err(PyConnectionResetError::new_err(
                "the client has left: its connection is closed",
            ));
        }
        Ok(())
    }
}
