//! `wsgi.file_wrapper` (PEP 3333, optional platform-specific file handling).

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use std::os::fd::RawFd;

/// Wraps a file-like object. Returned as the response, a regular file is sent by the kernel; anything else is read in
/// blocks of `blksize` bytes (default 8192). `close()` closes the file.
#[pyclass(module = "ostler._native")]
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
    /// The descriptor, position and remaining length, when the file-like object is a regular file.
    pub fn rest(&self, py: Python<'_>) -> Option<Rest> {
        let file = self.filelike.bind(py);
        let fd: RawFd = file.call_method0("fileno").ok()?.extract().ok()?;
        let offset: u64 = file.call_method0("tell").ok()?.extract().ok()?;
        let size = crate::sys::regular_file_size(fd)?;
        Some(Rest {
            fd,
            offset,
            length: size.saturating_sub(offset),
        })
    }
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192, /))]
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
