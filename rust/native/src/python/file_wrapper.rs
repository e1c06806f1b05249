//! `wsgi.file_wrapper` (PEP 3333, optional platform-specific file handling).

use crate::sys::{file_size, FileSize};
use pyo3::exceptions::PyStopIteration;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyString};
use std::os::fd::RawFd;

/// Wraps a file-like object. Returned as the response, a regular file is sent by the kernel; anything else is read in
/// blocks of `blksize` bytes (default 8192). `close()` closes the file.
#[pyclass(module = "hostler._native")]
pub struct FileWrapper {
    filelike: Py<PyAny>,
    blksize: usize,
}

/// A regular file and what is left of it.
pub struct Rest {
    pub fd: RawFd,
    pub offset: u64,
    pub length: u64,
}

impl FileWrapper {
    /// The descriptor, position and remaining length, when the file-like object gives the bytes of a regular file and its
    /// size can be believed. All others are read.
    pub fn rest(&self, py: Python<'_>) -> Option<Rest> {
        let file = plain_file(self.filelike.bind(py))?;
        let fd: RawFd = file.call_method0(intern!(py, "fileno")).ok()?.extract().ok()?;
        let offset: u64 = file.call_method0(intern!(py, "tell")).ok()?.extract().ok()?;
        let FileSize::Known(size) = file_size(fd) else {
            return None;
        };
        Some(Rest {
            fd,
            offset,
            length: size.saturating_sub(offset),
        })
    }
}

/// The object of `io` whose bytes `filelike.read()` gives: itself for what open() returns, the inner one for a proxy such
/// as tempfile's or Django's. None for all that read differently from what lies on the disk: a gzip.GzipFile has a
/// fileno() too, and that of the compressed file.
fn plain_file<'py>(filelike: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let py = filelike.py();
    let mut read = filelike.getattr(intern!(py, "read")).ok()?;
    if let Some(wrapped) = read.getattr_opt(intern!(py, "__wrapped__")).ok()? {
        read = wrapped;
    }
    if !read.is_instance_of::<PyCFunction>() {
        return None;
    }
    let file = read.getattr(intern!(py, "__self__")).ok()?;
    let io = py.import(intern!(py, "io")).ok()?;
    let is_exact = |object: &Bound<'py, PyAny>, kind: &Bound<'py, PyString>| {
        io.getattr(kind).is_ok_and(|kind| object.get_type().as_any().is(&kind))
    };
    let buffered = is_exact(&file, intern!(py, "BufferedReader")) || is_exact(&file, intern!(py, "BufferedRandom"));
    let raw = if buffered {
        file.getattr(intern!(py, "raw")).ok()?
    } else {
        file.clone()
    };
    is_exact(&raw, intern!(py, "FileIO")).then_some(file)
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        Self {
            filelike,
            blksize: blksize.max(1),
        }
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let block = self.filelike.bind(py).call_method1("read", (self.blksize,))?;
        if block.is_truthy()? {
            Ok(block)
        } else {
            Err(PyStopIteration::new_err(()))
        }
    }

    /// Closes the file, if it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt("close")? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}
