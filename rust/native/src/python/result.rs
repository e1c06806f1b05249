//! What a WSGI app returns, sent in the way that fits it.

use super::file_wrapper::FileWrapper;
use super::responder::Responder;
use super::text::part_bytes;
use crate::core::{Core, FilePart};
use crate::sys;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

/// Parts of a list up to this size together are joined and sent at once.
const JOIN: usize = 64 * 1024;

/// Sends the iterable that the app returned. An error is the app's; what was sent before it is sent.
pub fn send(core: &Core, responder: &Bound<'_, Responder>, result: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Ok(list) = result.cast_exact::<PyList>() {
        if list.len() == 1 {
            return send_only(responder, &list.get_item(0)?);
        }
        if let Some(joined) = join(list) {
            return send_only(responder, joined.as_any());
        }
    } else if let Ok(tuple) = result.cast_exact::<PyTuple>() {
        if tuple.len() == 1 {
            return send_only(responder, &tuple.get_item(0)?);
        }
    } else if result.is_instance_of::<PyBytes>() {
        return send_only(responder, result); // its parts would be numbers; uWSGI and bjoern send it too
    } else if let Ok(wrapper) = result.cast::<FileWrapper>() {
        if send_file(core, responder, wrapper)? {
            return Ok(());
        }
    }
    send_parts(responder, result)
}

/// The only part of a response: its length is the body's.
fn send_only(responder: &Bound<'_, Responder>, part: &Bound<'_, PyAny>) -> PyResult<()> {
    part_bytes(part)?;
    let mut responder = responder.try_borrow_mut()?;
    ensure_started(&responder)?;
    if responder.exchange.is_sending() {
        return responder.send(part, false); // the app has used write() before
    }
    responder.send(part, true)
}

/// A short list of bytes as one; none when it is long or holds other things.
fn join<'py>(list: &Bound<'py, PyList>) -> Option<Bound<'py, PyBytes>> {
    let mut all = Vec::new();
    for part in list.iter() {
        let part = part.cast_into_exact::<PyBytes>().ok()?;
        if all.len() + part.as_bytes().len() > JOIN {
            return None;
        }
        all.extend_from_slice(part.as_bytes());
    }
    Some(PyBytes::new(list.py(), &all))
}

/// Part by part, as they come. Asks for no more when the body is whole (PEP 3333, "Handling the Content-Length Header"),
/// when the response has none, or when the client is gone: an iterable may have no end.
fn send_parts(responder: &Bound<'_, Responder>, result: &Bound<'_, PyAny>) -> PyResult<()> {
    if responder.try_borrow()?.exchange.is_satisfied() {
        return Ok(()); // the app has used write() before
    }
    for part in result.try_iter()? {
        let part = part?;
        let empty = part_bytes(&part)?.is_empty();
        let mut responder = responder.try_borrow_mut()?;
        if empty {
            continue;
        }
        ensure_started(&responder)?;
        responder.send(&part, false)?;
        if responder.exchange.is_satisfied() {
            return Ok(());
        }
    }
    ensure_started(&*responder.try_borrow()?)
}

fn ensure_started(responder: &Responder) -> PyResult<()> {
    if responder.exchange.is_started() {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(
        "the app sent a body before it called start_response (PEP 3333)",
    ))
}

/// Lets the kernel send a regular file; false when it is none and must be read part by part.
fn send_file(core: &Core, responder: &Bound<'_, Responder>, wrapper: &Bound<'_, FileWrapper>) -> PyResult<bool> {
    let py = wrapper.py();
    let Some(rest) = wrapper.try_borrow()?.rest(py) else {
        return Ok(false);
    };
    let mut responder = responder.try_borrow_mut()?;
    ensure_started(&responder)?;
    if responder.exchange.is_sending() {
        return Ok(false);
    }
    let exchange = &mut responder.exchange;
    let part = FilePart {
        fd: rest.fd,
        offset: rest.offset,
        length: rest.length,
    };
    let room = py.detach(|| exchange.send_file(core, part, false, || sys::duplicate(part.fd)));
    responder.wait_for(py, room)?;
    Ok(true)
}
