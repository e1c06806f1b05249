//! What `receive()` and `send()` return: coroutines in all that counts, done before they are awaited whenever they can be.

use super::http::HttpExchange;
use super::hub::Hub;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::Arc;

/// Something that an app waits for: asked until it answers, woken by futures in between.
pub trait Source: Send + Sync {
    fn hub(&self) -> &Arc<Hub>;
    /// The result; none: not yet.
    fn poll(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>>;
    /// Leaves a future that is resolved when it is worth asking again.
    fn wait(&self, py: Python<'_>, future: &Bound<'_, PyAny>);
}

/// A coroutine: `await`, and what `asyncio.create_task` asks of one (`collections.abc.Coroutine`).
#[pyclass(module = "hostler._native")]
pub struct Awaitable {
    source: Option<Box<dyn Source>>,
    /// The iterator of the future that it waits for.
    waits: Option<Py<PyAny>>,
    /// The loop has a turn first.
    pauses: bool,
}

impl Awaitable {
    pub fn new(source: Box<dyn Source>) -> Self {
        Self {
            source: Some(source),
            waits: None,
            pauses: false,
        }
    }

    /// One that is done, with None. It may be awaited again and again.
    pub fn done() -> Self {
        Self {
            source: None,
            waits: None,
            pauses: false,
        }
    }

    /// One that is done when the loop has had a turn, as `asyncio.sleep(0)`.
    pub fn pause() -> Self {
        Self {
            pauses: true,
            ..Self::done()
        }
    }

    /// Goes on: `Ok(Ok(object))` is what is yielded to the task, `Ok(Err(result))` the end.
    fn advance(slf: &Bound<'_, Self>) -> PyResult<Result<Py<PyAny>, Py<PyAny>>> {
        let py = slf.py();
        if std::mem::take(&mut slf.try_borrow_mut()?.pauses) {
            return Ok(Ok(py.None())); // a bare yield: the task is stepped again in the next turn
        }
        loop {
            let waits = slf.try_borrow()?.waits.as_ref().map(|waits| waits.clone_ref(py));
            if let Some(waits) = waits {
                match next_of(waits.bind(py))? {
                    Some(yielded) => return Ok(Ok(yielded)),
                    None => slf.try_borrow_mut()?.waits = None,
                }
            }
            let Some(source) = slf.try_borrow_mut()?.source.take() else {
                return Ok(Err(py.None()));
            };
            match source.poll(py)? {
                Some(result) => {
                    return Ok(Err(result));
                }
                None => {
                    let future = source.hub().future(py)?;
                    source.wait(py, &future);
                    let waits = future.call_method0(intern!(py, "__await__"))?.unbind();
                    let mut this = slf.try_borrow_mut()?;
                    this.waits = Some(waits);
                    this.source = Some(source);
                }
            }
        }
    }
}

/// `next()` of a future's iterator; none when it has ended.
fn next_of(iterator: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let py = iterator.py();
    // SAFETY: a valid reference to an iterator; a new reference or null comes back.
    unsafe {
        let result = ffi::PyIter_Next(iterator.as_ptr());
        if !result.is_null() {
            return Ok(Some(Bound::from_owned_ptr(py, result).unbind()));
        }
    }
    match PyErr::take(py) {
        Some(error) => Err(error),
        None => Ok(None),
    }
}

#[pymethods]
impl Awaitable {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        match Self::advance(slf)? {
            Ok(yielded) => Ok(Some(yielded)),
            Err(result) if result.is_none(py) => Ok(None),
            Err(result) => {
                // SAFETY: sets the error indicator with references that outlive the call. A dict is no tuple and no
                // exception, so it becomes the value as it is.
                unsafe { ffi::PyErr_SetObject(ffi::PyExc_StopIteration, result.as_ptr()) };
                Err(PyErr::fetch(py))
            }
        }
    }

    fn send(slf: &Bound<'_, Self>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match Self::advance(slf)? {
            Ok(yielded) => Ok(yielded),
            Err(result) => Err(PyStopIteration::new_err((result,))),
        }
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        slf: &Bound<'_, Self>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let waits = {
            let mut this = slf.try_borrow_mut()?;
            this.source = None;
            this.pauses = false;
            this.waits.take()
        };
        if let Some(waits) = waits {
            let result = match (value, traceback) {
                (None, None) => waits.bind(py).call_method1("throw", (kind,)),
                (value, traceback) => waits.bind(py).call_method1("throw", (kind, value, traceback)),
            };
            return result.map(Bound::unbind);
        }
        let error = match (kind.is_instance_of::<pyo3::types::PyType>(), value) {
            (true, Some(value)) if !value.is_none() && !value.is_instance_of::<pyo3::exceptions::PyBaseException>() => {
                kind.call1((value,))?
            }
            (true, Some(value)) if !value.is_none() => value.clone(),
            (true, _) => kind.call0()?,
            (false, _) => kind.clone(),
        };
        if !error.is_instance_of::<pyo3::exceptions::PyBaseException>() {
            return Err(PyRuntimeError::new_err("throw() takes an exception"));
        }
        Err(PyErr::from_value(error))
    }

    fn close(&mut self) {
        self.source = None;
        self.waits = None;
        self.pauses = false;
    }
}

/// `receive()` of a request.
pub struct HttpReceive(pub Py<HttpExchange>, pub Arc<Hub>);

impl Source for HttpReceive {
    fn hub(&self) -> &Arc<Hub> {
        &self.1
    }

    fn poll(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        HttpExchange::next_message(self.0.bind(py))
    }

    fn wait(&self, py: Python<'_>, future: &Bound<'_, PyAny>) {
        HttpExchange::wait(self.0.bind(py), future);
    }
}

/// `send()` of what cannot be sent.
pub struct Failed(pub PyErr, pub Arc<Hub>);

impl Source for Failed {
    fn hub(&self) -> &Arc<Hub> {
        &self.1
    }

    fn poll(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Err(self.0.clone_ref(py))
    }

    fn wait(&self, _py: Python<'_>, _future: &Bound<'_, PyAny>) {}
}

/// `send()` to a client that is slow: done when there is room.
pub struct HttpRoom(pub Py<HttpExchange>, pub Arc<Hub>);

impl Source for HttpRoom {
    fn hub(&self) -> &Arc<Hub> {
        &self.1
    }

    fn poll(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        HttpExchange::room(self.0.bind(py))
    }

    fn wait(&self, py: Python<'_>, future: &Bound<'_, PyAny>) {
        HttpExchange::wait(self.0.bind(py), future);
    }
}
