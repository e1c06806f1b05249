//! Tasks whose first step runs at once: most apps end in it, and the loop need not come round for them.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

/// Starts tasks on one loop.
pub struct Tasks {
    event_loop: Py<PyAny>,
    task_type: Py<PyAny>,
    /// Makes a coroutine of an awaitable that is none.
    wrap: Py<PyAny>,
    /// From Python 3.12 on tasks can do it themselves; before, the step is caught on its way to the loop.
    capture: Option<Catcher>,
    names: Py<PyTuple>,
    /// Of all these tasks: Python 3.11 would write "Task-1234" for each.
    name: Py<PyString>,
}

/// What stands in for `loop.call_soon` while a task is made, and where.
struct Catcher {
    capture: Py<Capture>,
    catch: Py<PyAny>,
    attributes: Py<PyDict>,
    call_soon: Py<PyString>,
}

impl Catcher {
    fn new(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        let capture = Bound::new(py, Capture::default())?;
        Ok(Self {
            catch: capture.getattr("catch")?.unbind(),
            capture: capture.unbind(),
            attributes: event_loop.getattr("__dict__")?.cast_into::<PyDict>()?.unbind(),
            call_soon: PyString::intern(py, "call_soon").unbind(),
        })
    }
}

impl Tasks {
    pub fn new(event_loop: &Bound<'_, PyAny>, task_type: Py<PyAny>, wrap: Py<PyAny>) -> PyResult<Self> {
        let py = event_loop.py();
        let is_eager = py.version_info() >= (3, 12);
        let names: &[&str] = match is_eager {
            true => &["loop", "context", "name", "eager_start"],
            false => &["loop", "context", "name"],
        };
        Ok(Self {
            event_loop: event_loop.clone().unbind(),
            task_type,
            wrap,
            capture: if is_eager {
                None
            } else {
                Some(Catcher::new(event_loop)?)
            },
            names: PyTuple::new(py, names.iter().map(|name| PyString::intern(py, name)))?.unbind(),
            name: PyString::intern(py, "hostler-request").unbind(),
        })
    }

    /// Runs what the app returned in a task of its own, as far as it goes. The caller is in a callback of the loop.
    pub fn start<'py>(
        &self,
        py: Python<'py>,
        awaitable: Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: only looks at the type.
        let is_coroutine = unsafe { ffi::PyCoro_CheckExact(awaitable.as_ptr()) != 0 };
        let coroutine = if is_coroutine {
            awaitable
        } else {
            self.wrap.bind(py).call1((awaitable,))?
        };
        match &self.capture {
            None => self.task(
                py,
                &[
                    coroutine.as_ptr(),
                    self.event_loop.as_ptr(),
                    context.as_ptr(),
                    self.name.as_ptr(),
                    py_true(),
                ],
            ),
            Some(catcher) => {
                let attributes = catcher.attributes.bind(py);
                attributes.set_item(&catcher.call_soon, &catcher.catch)?;
                let arguments = [
                    coroutine.as_ptr(),
                    self.event_loop.as_ptr(),
                    context.as_ptr(),
                    self.name.as_ptr(),
                ];
                let task = self.task(py, &arguments);
                attributes.del_item(&catcher.call_soon)?;
                let step = catcher.capture.bind(py).try_borrow_mut()?.step.take();
                let task = task?;
                let step = step.ok_or_else(|| PyRuntimeError::new_err("the task gave no first step"))?;
                enter(context, || step.bind(py).call0())?;
                Ok(task)
            }
        }
    }

    fn task<'py>(&self, py: Python<'py>, arguments: &[*mut ffi::PyObject]) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: one positional argument and as many values as names, all valid for the call.
        unsafe {
            let task = ffi::PyObject_Vectorcall(self.task_type.as_ptr(), arguments.as_ptr(), 1, self.names.as_ptr());
            Bound::from_owned_ptr_or_err(py, task)
        }
    }
}

fn py_true() -> *mut ffi::PyObject {
    // SAFETY: True lives as long as the interpreter.
    unsafe { ffi::Py_True() }
}

/// A copy of a context.
pub fn copy_context<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the object is a Context; a new reference or null comes back.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr())) }
}

/// Runs `code` inside a context.
fn enter<'py, T>(context: &Bound<'py, PyAny>, code: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    // SAFETY: the object is a Context; entered and left in order, whatever the code does.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(context.py()));
    }
    let result = code();
    // Leaving needs the error indicator clear, which it is: errors are values here.
    // SAFETY: as above.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(context.py()));
    }
    result
}

/// Where the first step goes when it is not scheduled.
#[pyclass(module = "hostler._native")]
#[derive(Default)]
pub struct Capture {
    step: Option<Py<PyAny>>,
}

#[pymethods]
impl Capture {
    /// Called as `loop.call_soon`. (A method, since Python passes its arguments without a tuple and a dict.)
    #[pyo3(signature = (callback, /, *, context=None))]
    fn catch(&mut self, callback: Py<PyAny>, context: Option<&Bound<'_, PyAny>>) {
        let _ = context;
        self.step = Some(callback);
    }
}
