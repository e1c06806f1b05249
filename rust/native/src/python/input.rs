//! `wsgi.input`: a whole body, in memory or in a file; or one that is asked for when the app first reads.

use super::forked;
use crate::core::{Body, Core, Request, Token};
use crate::sys;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use std::fs::File;
use std::sync::Arc;

/// Bytes read from a file at once while a line's end is looked for.
const LINE_READ: usize = 8192;

enum Source {
    Empty,
    /// In the buffer of the running request. Invariant: replaced by `detach` before that request ends.
    Borrowed {
        bytes: *const u8,
        length: usize,
    },
    Owned(Vec<u8>),
    File(File, u64),
    Awaited(Arc<Core>, Token),
    Failed(&'static str),
}

// SAFETY: `Borrowed` points to bytes that nobody writes while the request runs, and any thread may read them.
unsafe impl Send for Source {}
// SAFETY: as above.
unsafe impl Sync for Source {}

/// The request body as a binary stream (PEP 3333): read, readline, readlines, iteration. Ends where the body ends.
#[pyclass(module = "hostler._native")]
pub struct Input {
    source: Source,
    position: usize,
}

impl Input {
    pub fn new() -> Self {
        Self {
            source: Source::Empty,
            position: 0,
        }
    }

    /// Gives it the body of `request`, whose buffer must stay as it is until `detach`.
    pub fn attach(&mut self, request: &mut Request, core: &Arc<Core>) {
        self.position = 0;
        self.source = match std::mem::take(&mut request.body) {
            Body::Empty | Body::Streamed => Source::Empty,
            Body::Inline { start, end } => {
                let bytes = &request.buffer[start..end];
                Source::Borrowed {
                    bytes: bytes.as_ptr(),
                    length: bytes.len(),
                }
            }
            Body::Memory(bytes) => Source::Owned(bytes),
            Body::File(file, length) => Source::File(file, length),
            Body::Awaited => Source::Awaited(Arc::clone(core), request.token),
        };
    }

    /// The request is over. `kept`: the app still holds this stream, so it gets bytes of its own.
    pub fn detach(&mut self, kept: bool) {
        self.source = match std::mem::replace(&mut self.source, Source::Empty) {
            Source::Borrowed { bytes, length } if kept => {
                // SAFETY: the request is still there: the caller gives it back after this.
                Source::Owned(unsafe { std::slice::from_raw_parts(bytes, length) }.to_vec())
            }
            Source::Awaited(..) => Source::Failed("the request is over"),
            source if kept => source,
            _ => Source::Empty,
        };
    }

    /// Fetches an awaited body; waits for the client without the interpreter's lock.
    fn ready(&mut self, py: Python<'_>) -> PyResult<()> {
        if let Source::Awaited(core, token) = &self.source {
            forked::refuse()?;
            let body = py.detach(|| core.await_body(*token));
            self.source = match body {
                Ok(Body::Memory(bytes)) => Source::Owned(bytes),
                Ok(Body::File(file, length)) => Source::File(file, length),
                Ok(_) => Source::Empty,
                Err(reason) => Source::Failed(reason),
            };
        }
        match &self.source {
            Source::Failed(reason) => Err(PyOSError::new_err(format!("the request body cannot be read: {reason}"))),
            _ => Ok(()),
        }
    }

    fn left(&self) -> usize {
        let length = match &self.source {
            Source::Borrowed { length, .. } => *length,
            Source::Owned(bytes) => bytes.len(),
            Source::File(_, length) => *length as usize,
            Source::Empty | Source::Awaited(..) | Source::Failed(_) => 0,
        };
        length.saturating_sub(self.position)
    }

    /// The rest of a body in memory.
    fn memory(&self) -> Option<&[u8]> {
        let bytes = match &self.source {
            // SAFETY: see the invariant of `Borrowed`.
            Source::Borrowed { bytes, length } => unsafe { std::slice::from_raw_parts(*bytes, *length) },
            Source::Owned(bytes) => bytes,
            Source::Empty | Source::Awaited(..) | Source::Failed(_) => &[],
            Source::File(..) => return None,
        };
        bytes.get(self.position..)
    }

    /// The next `count` bytes (no more than there are).
    fn take<'py>(&mut self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
        let count = count.min(self.left());
        let bytes = match (self.memory(), &self.source) {
            (Some(rest), _) => PyBytes::new(py, &rest[..count]),
            (None, Source::File(file, _)) => {
                let position = self.position as u64;
                let mut bytes = Vec::new();
                py.detach(|| read_file(file, &mut bytes, count, position))?;
                PyBytes::new(py, &bytes)
            }
            (None, _) => PyBytes::new(py, b""),
        };
        self.position += count;
        Ok(bytes)
    }

    /// Bytes up to and with the next line feed, at most `most`.
    fn line_length(&self, most: usize) -> PyResult<usize> {
        let most = most.min(self.left());
        if let Some(rest) = self.memory() {
            return Ok(memchr::memchr(b'\n', &rest[..most]).map_or(most, |at| at + 1));
        }
        let Source::File(file, _) = &self.source else {
            return Ok(0);
        };
        let mut length = 0;
        let mut part = Vec::with_capacity(LINE_READ);
        while length < most {
            part.clear();
            read_file(
                file,
                &mut part,
                LINE_READ.min(most - length),
                (self.position + length) as u64,
            )?;
            if let Some(at) = memchr::memchr(b'\n', &part) {
                return Ok(length + at + 1);
            }
            length += part.len();
        }
        Ok(most)
    }
}

fn read_file(file: &File, bytes: &mut Vec<u8>, count: usize, position: u64) -> std::io::Result<()> {
    while bytes.len() < count {
        let missing = count - bytes.len();
        if sys::read_at(file, bytes, missing, position + bytes.len() as u64)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// None and negative sizes mean "all".
fn most(size: Option<isize>) -> usize {
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX)
}

#[pymethods]
impl Input {
    /// Up to `size` bytes, or all that is left; b"" at the end.
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&mut self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.ready(py)?;
        self.take(py, most(size))
    }

    /// One line with its line feed, at most `size` bytes of it; b"" at the end.
    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&mut self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.ready(py)?;
        let length = self.line_length(most(size))?;
        self.take(py, length)
    }

    /// The lines that are left; stops after the line that reaches `hint` bytes, if that is positive.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&mut self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        self.ready(py)?;
        let enough = hint
            .and_then(|hint| usize::try_from(hint).ok())
            .filter(|&hint| hint > 0)
            .unwrap_or(usize::MAX);
        let lines = PyList::empty(py);
        let start = self.position;
        while self.left() > 0 && self.position - start < enough {
            let length = self.line_length(usize::MAX)?;
            lines.append(self.take(py, length)?)?;
        }
        Ok(lines)
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.readline(py, None)?;
        Ok(if line.as_bytes().is_empty() { None } else { Some(line) })
    }

    /// Does nothing: the stream belongs to the server (some apps close it).
    fn close(&self) {}
}
