//! Strings between bytes and `str`, the way PEP 3333 has them: every `str` holds latin-1.

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// A `str` whose code points are the bytes.
pub fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    let length = bytes.len() as ffi::Py_ssize_t;
    // SAFETY: a new compact ASCII string of that length has room for as many bytes, and nobody else has seen it yet;
    // DecodeLatin1 reads the slice only. Both give a new reference or null on memory exhaustion, which panics below.
    unsafe {
        let object = if bytes.is_ascii() {
            let object = ffi::PyUnicode_New(length, 127);
            if !object.is_null() && length > 0 {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), ffi::PyUnicode_DATA(object).cast(), bytes.len());
            }
            object
        } else {
            ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), length, std::ptr::null())
        };
        Bound::from_owned_ptr(py, object).cast_into_unchecked()
    }
}

/// The bytes of a `str` of code points below 256; none for others.
pub fn latin1_bytes<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a [u8]> {
    let object = text.as_ptr();
    // SAFETY: a ready one-byte string holds exactly its length in bytes at DATA, and lives and never changes as long as
    // the reference does.
    unsafe {
        if ffi::PyUnicode_READY(object) != 0 {
            ffi::PyErr_Clear();
            return None;
        }
        if ffi::PyUnicode_KIND(object) != ffi::PyUnicode_1BYTE_KIND {
            return None;
        }
        let length = ffi::PyUnicode_GET_LENGTH(object) as usize;
        Some(std::slice::from_raw_parts(ffi::PyUnicode_DATA(object).cast(), length))
    }
}

/// The latin-1 bytes of an app's `str`; `what` names it in the error.
pub fn app_text<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a [u8]> {
    let Ok(text) = value.cast::<PyString>() else {
        let kind = value.get_type().name()?;
        return Err(pyo3::exceptions::PyTypeError::new_err(format!(
            "{what} must be str, not {kind}"
        )));
    };
    latin1_bytes(text)
        .ok_or_else(|| PyValueError::new_err(format!("{what} has characters outside latin-1 (PEP 3333): {value:?}")))
}

/// The bytes of one part of a response.
pub fn part_bytes<'a>(part: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    match part.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes()),
        Err(_) => {
            let kind = part.get_type().name()?;
            Err(pyo3::exceptions::PyTypeError::new_err(format!(
                "a response part must be bytes, not {kind} (PEP 3333)"
            )))
        }
    }
}
