//! An app thread: takes requests, runs the WSGI app, and polls when there is nothing to run.

use super::environ::{Environs, Facts};
use super::forked;
use super::input::Input;
use super::responder::{internal_error, Responder};
use super::result;
use super::upgrade::Upgrade;
use crate::core::{Core, Exchange, Finished, Next, PollSpace, Request};
use crate::log::{Entry, Pending, Stamp};
use crate::sys::{self, Peer};
use hostler_wire::escape::escaped;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

/// What a driver needs of Python.
pub struct App {
    /// By mount; none: an ASGI app.
    pub callables: Vec<Option<Py<PyAny>>>,
    pub facts: Facts,
    /// Logs an exception of the app: (request line, client, exception).
    pub log_error: Py<PyAny>,
    /// With greenlets: waits until a descriptor takes bytes again, while others run.
    pub wait_writable: Option<Py<PyAny>>,
}

/// The objects that one request needs and the next can use again, unless the app has kept them.
struct Reused {
    responder: Py<Responder>,
    start_response: Py<PyAny>,
    write: Py<PyAny>,
    input: Py<Input>,
}

impl Reused {
    fn new(py: Python<'_>, core: &Arc<Core>, app: &App) -> PyResult<Self> {
        let wait = app.wait_writable.as_ref().map(|wait| wait.clone_ref(py));
        let responder = Bound::new(py, Responder::new(Arc::clone(core), wait))?;
        Ok(Self {
            start_response: responder.getattr("start_response")?.unbind(),
            write: responder.getattr("write")?.unbind(),
            input: Py::new(py, Input::new())?,
            responder: responder.unbind(),
        })
    }

    /// Lets go of the request's buffer. An input that a thread of the app's own reads right now, which gives the
    /// interpreter's lock away only for a file or an awaited body, has nothing of that buffer.
    fn detach_input(&self, py: Python<'_>, kept: bool) {
        if let Ok(mut input) = self.input.try_borrow_mut(py) {
            input.detach(kept);
        }
    }

    /// Replaces what somebody else still refers to.
    fn renew(&mut self, py: Python<'_>, core: &Arc<Core>, app: &App) -> PyResult<()> {
        let input_kept = is_shared(&self.input);
        self.detach_input(py, input_kept);
        if is_shared(&self.start_response) || is_shared(&self.write) {
            *self = Self::new(py, core, app)?;
        } else if input_kept {
            self.input = Py::new(py, Input::new())?;
        }
        Ok(())
    }
}

/// One app thread's state.
pub struct AppThread {
    core: Arc<Core>,
    app: Arc<App>,
    me: usize,
    environs: Environs,
    reused: Reused,
    line: Pending,
    stamp: Stamp,
    variables: Vec<Option<String>>,
}

impl AppThread {
    pub fn new(py: Python<'_>, core: &Arc<Core>, app: &Arc<App>, me: usize) -> PyResult<Self> {
        Ok(Self {
            core: Arc::clone(core),
            app: Arc::clone(app),
            me,
            environs: Environs::new(py, &app.facts)?,
            reused: Reused::new(py, core, app)?,
            line: Pending::default(),
            stamp: Stamp::default(),
            variables: Vec::new(),
        })
    }

    /// Works until the core stops, or there was nothing to do for `thread_idle`.
    pub fn run(&mut self, py: Python<'_>) -> PyResult<()> {
        let tid = sys::thread_id();
        if tid != std::process::id() {
            sys::name_thread(&format!("hostler-app-{}", self.me)); // the main thread's name is the process's
        }
        self.core.enter(self.me, tid);
        let outcome = self.work(py, tid);
        self.core.leave(self.me);
        outcome
    }

    fn work(&mut self, py: Python<'_>, tid: u32) -> PyResult<()> {
        let mut space = PollSpace::default();
        loop {
            match self.core.next(self.me, tid) {
                Next::Run(request) => self.serve(py, request)?,
                // Looking once without waiting costs less than giving the interpreter's lock away, and keeps it from
                // a computing thread that would not give it back for a whole switch interval.
                Next::Poll => {
                    if self.core.poll(&mut space, 0) {
                        self.core.share();
                    } else {
                        py.detach(|| self.core.poll_until_work(self.me, &mut space));
                    }
                }
                Next::Park => {
                    if !py.detach(|| self.core.park(self.me, &mut space)) {
                        return Ok(());
                    }
                }
                Next::Stop => return Ok(()),
            }
            drop(self.core.take_spent());
            if self.core.is_visited() {
                if let Err(error) = py.check_signals() {
                    error.write_unraisable(py, None); // of a handler, between two requests
                }
            }
        }
    }

    /// Serves the next request, in a greenlet; false: there is none.
    pub fn serve_next(&mut self, py: Python<'_>) -> PyResult<bool> {
        let Some(request) = self.core.take(self.me) else {
            return Ok(false);
        };
        self.serve(py, request)?;
        drop(self.core.take_spent());
        Ok(true)
    }

    /// Serves one request, whatever happens: the connection gets an answer or is closed, and the thread lives on.
    fn serve(&mut self, py: Python<'_>, mut request: Box<Request>) -> PyResult<()> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.answer(py, &mut request)));
        if forked::is_child() {
            forked::end(py, outcome.map_or(Ok(()), |done| done.map(drop)));
        }
        let done = match outcome {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => self.apologise(py, &request, &error.to_string())?,
            Err(panic) => {
                let said = panic.downcast_ref::<&str>().copied();
                let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                self.apologise(py, &request, said.unwrap_or("a panic"))?
            }
        };
        self.render_line(py, &request, &done);
        self.reused.renew(py, &self.core, &self.app)?;
        self.core.finish(self.me, request, &done, &mut self.line);
        Ok(())
    }

    /// A fault of ours: 500 if nothing was sent, and objects that nobody has seen half-changed for the next request.
    fn apologise(&mut self, py: Python<'_>, request: &Request, fault: &str) -> PyResult<Finished> {
        self.core.errors.error(format_args!(
            "{}: a fault of hostler, please report it: {fault}",
            describe(request)
        ));
        let sending = self.reused.responder.try_borrow_mut(py).map_or(true, |mut responder| {
            responder.finish(); // the app may have kept it
            responder.exchange.is_sending()
        });
        self.reused.detach_input(py, true);
        self.reused = Reused::new(py, &self.core, &self.app)?;
        let mut exchange = Exchange::default();
        exchange.reset(request);
        let mut done = if sending {
            Finished {
                status: 500,
                reset: true,
                ..Finished::default()
            }
        } else {
            internal_error(&mut exchange, &self.core)
        };
        done.keep_alive = false;
        done.app_error = true;
        Ok(done)
    }

    /// Runs the app and sends what it says. An `Err` is ours, never the app's.
    fn answer(&mut self, py: Python<'_>, request: &mut Request) -> PyResult<Finished> {
        let responder = self.reused.responder.bind(py).clone();
        responder.try_borrow_mut()?.begin(request, self.reused.write.bind(py));
        let environ = self.environs.build(py, request, self.reused.input.bind(py).as_any())?;
        let upgrade = self.offer_socket(py, request, &environ)?;
        self.reused.input.try_borrow_mut(py)?.attach(request, &self.core);
        let returned = self.call(py, request.mount, &environ);
        if forked::is_child() {
            forked::end(py, returned.map(drop));
        }
        if upgrade.as_ref().is_some_and(|upgrade| upgrade.get().is_taken()) {
            return self.hang_up(py, request, returned);
        }
        let mut outcome = match &returned {
            Ok(iterable) => result::send(&self.core, &responder, iterable),
            Err(error) => Err(error.clone_ref(py)),
        };
        if forked::is_child() {
            forked::end(py, outcome);
        }
        if outcome.is_ok() {
            outcome = responder
                .try_borrow()
                .map_err(PyErr::from)
                .and_then(|responder| started(&responder));
        }
        let done = self.conclude(py, request, &responder, outcome)?;
        if let Ok(iterable) = returned {
            if let Err(error) = close(&iterable) {
                self.report(py, request, error);
            }
        }
        responder.try_borrow_mut()?.finish();
        self.read_variables(&environ);
        Ok(done)
    }

    /// Puts the raw socket into the environ of a handshake, by the name that gunicorn gives it.
    fn offer_socket<'py>(
        &self,
        py: Python<'py>,
        request: &Request,
        environ: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, Upgrade>>> {
        let Some(raw_socket) = self.app.facts.raw_socket.as_ref().filter(|_| request.upgrade) else {
            return Ok(None);
        };
        let upgrade = Bound::new(py, Upgrade::new(&self.core, request))?;
        environ.set_item("gunicorn.socket", raw_socket.bind(py).call1((&upgrade,))?)?;
        Ok(Some(upgrade))
    }

    /// The app took the socket, and has ended. What it returns was never meant to be sent; libraries raise StopIteration
    /// to say so.
    fn hang_up(&self, py: Python<'_>, request: &Request, returned: PyResult<Bound<'_, PyAny>>) -> PyResult<Finished> {
        self.reused.responder.try_borrow_mut(py)?.finish();
        let outcome = returned.and_then(|iterable| close(&iterable));
        let failed = match outcome {
            Err(error) if !error.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) => {
                self.report(py, request, error);
                true
            }
            _ => false,
        };
        Ok(Finished {
            status: 101,
            app_error: failed,
            ..Finished::default()
        })
    }

    /// `app(environ, start_response)`.
    fn call<'py>(&self, py: Python<'py>, mount: usize, environ: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let Some(callable) = self.app.callables.get(mount).and_then(Option::as_ref) else {
            return Err(pyo3::exceptions::PyRuntimeError::new_err(
                "no WSGI app is mounted there",
            ));
        };
        let arguments = [environ.as_ptr(), self.reused.start_response.as_ptr()];
        // SAFETY: two valid references that outlive the call; the result is a new reference or null with an error set.
        unsafe {
            let result = ffi::PyObject_Vectorcall(
                callable.as_ptr(),
                arguments.as_ptr(),
                arguments.len(),
                std::ptr::null_mut(),
            );
            Bound::from_owned_ptr_or_err(py, result)
        }
    }

    /// Ends the answer: complete, or with what an error leaves.
    fn conclude(
        &mut self,
        py: Python<'_>,
        request: &Request,
        responder: &Bound<'_, Responder>,
        outcome: PyResult<()>,
    ) -> PyResult<Finished> {
        let Err(error) = outcome else {
            let done = responder.try_borrow_mut()?.exchange.end(&self.core);
            self.complain_of_length(request, &done);
            return Ok(done);
        };
        let is_gone = responder.try_borrow()?.exchange.is_gone();
        if !is_gone {
            self.report(py, request, error);
        }
        let mut responder = responder.try_borrow_mut()?;
        let exchange = &mut responder.exchange;
        let mut done = if exchange.is_sending() {
            exchange.abort()
        } else {
            internal_error(exchange, &self.core)
        };
        done.app_error = !is_gone;
        Ok(done)
    }

    fn complain_of_length(&self, request: &Request, done: &Finished) {
        if done.missing > 0 && !done.client_gone {
            self.core.errors.error(format_args!(
                "{} sent {} bytes less than its Content-Length: the connection is closed so that the client can tell",
                describe(request),
                done.missing
            ));
        }
        if done.excess {
            self.core.errors.error(format_args!(
                "{} sent more than its Content-Length: the excess was cut off",
                describe(request)
            ));
        }
    }

    /// Logs an exception of the app.
    fn report(&self, py: Python<'_>, request: &Request, error: PyErr) {
        // Before 3.12 an exception and its traceback are two things; into_value() puts them together.
        let raised = error.clone_ref(py).into_value(py);
        let logged = self
            .app
            .log_error
            .bind(py)
            .call1((describe(request), request.peer.to_string(), raised));
        if let Err(failure) = logged {
            self.core.errors.error(format_args!(
                "{}: {error}; logging it failed: {failure}",
                describe(request)
            ));
        }
    }

    /// The environ values that the access log's format asks for, as the app left them.
    fn read_variables(&mut self, environ: &Bound<'_, PyDict>) {
        let Some((access, _)) = &self.core.access else { return };
        self.variables.clear();
        for name in access.variables() {
            let value = environ.get_item(name).ok().flatten().and_then(|value| value.str().ok());
            self.variables
                .push(value.map(|value| value.to_string_lossy().into_owned()));
        }
    }

    fn render_line(&mut self, py: Python<'_>, request: &Request, done: &Finished) {
        self.line.text.clear();
        let Some((access, _)) = &self.core.access else { return };
        let Ok(responder) = self.reused.responder.try_borrow(py) else {
            return;
        };
        self.stamp.refresh();
        let entry = Entry {
            request: Some(request),
            peer: request.peer,
            status: done.status,
            bytes: done.bytes,
            head: responder.exchange.head_lines(),
            duration_ns: sys::monotonic_ns().saturating_sub(request.started_ns),
            queue_ns: request.started_ns.saturating_sub(request.queued_ns),
            variables: &self.variables,
        };
        access.render(&entry, &self.stamp, &mut self.line);
    }
}

/// Whether anybody but us refers to the object.
fn is_shared<T>(object: &Py<T>) -> bool {
    // SAFETY: a valid reference; the interpreter's lock is held wherever requests are served.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) > 1 }
}

/// `GET /path` for log lines, which escape what must not stand there.
pub fn describe(request: &Request) -> String {
    Asked::of(request).text()
}

/// What was asked, and by which client: for messages about a request that may be over by then.
pub struct Asked {
    line: Vec<u8>,
    pub peer: Peer,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            line: Vec::new(),
            peer: Peer::Unix,
        }
    }
}

impl Asked {
    pub fn of(request: &Request) -> Self {
        let mut asked = Self::default();
        asked.note(request);
        asked
    }

    /// Notes another request; of each part what a line shows.
    pub fn note(&mut self, request: &Request) {
        let shown = |bytes: &'_ [u8]| bytes.len().min(200);
        let (method, target) = (request.method(), request.target());
        self.line.clear();
        self.line.extend_from_slice(&method[..shown(method)]);
        self.line.push(b' ');
        self.line.extend_from_slice(&target[..shown(target)]);
        self.peer = request.peer;
    }

    /// `GET /path`, as it can be logged.
    pub fn text(&self) -> String {
        escaped(&self.line)
    }
}

fn started(responder: &Responder) -> PyResult<()> {
    if responder.exchange.is_started() {
        return Ok(());
    }
    Err(pyo3::exceptions::PyRuntimeError::new_err(
        "the app returned without calling start_response (PEP 3333)",
    ))
}

/// Calls `close()` of the iterable if there is one (PEP 3333); plain lists and tuples have none.
fn close(iterable: &Bound<'_, PyAny>) -> PyResult<()> {
    if iterable.is_exact_instance_of::<pyo3::types::PyList>() || iterable.is_exact_instance_of::<PyTuple>() {
        return Ok(());
    }
    match iterable.getattr_opt("close")? {
        Some(close) => close.call0().map(drop),
        None => Ok(()),
    }
}
