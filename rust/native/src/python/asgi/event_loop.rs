//! `hostler._native.Loop`: the event loop's side of a worker, as Python drives it.

use super::super::{forked, module_core};
use super::http::{enlist, HttpExchange};
use super::hub::{Hub, Parts, Party};
use super::outcome::{outcome, Outcome};
use super::scope::AppFacts;
use super::tasks::copy_context;
use super::websocket::SocketExchange;
use crate::core::{PollSpace, Request, Turn};
use crate::sys;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

/// Exchanges kept for the next requests.
const SPARE: usize = 64;

/// The objects of one request that the next can use again, unless the app has kept them.
struct Reused {
    exchange: Py<HttpExchange>,
    receive: Py<PyAny>,
    send: Py<PyAny>,
    task_done: Py<PyAny>,
}

impl Reused {
    fn new(py: Python<'_>, hub: &Arc<Hub>) -> PyResult<Self> {
        let exchange = Bound::new(py, HttpExchange::new(Arc::clone(hub)))?;
        Ok(Self {
            receive: hub.functions.receive(&exchange)?,
            send: hub.functions.send(&exchange)?,
            task_done: exchange.getattr("task_done")?.unbind(),
            exchange: exchange.unbind(),
        })
    }

    /// Nobody but us refers to any of it: the exchange has its three methods and us.
    fn is_ours(&self) -> bool {
        let count = |object: *mut ffi::PyObject| {
            // SAFETY: a valid reference, under the interpreter's lock.
            unsafe { ffi::Py_REFCNT(object) }
        };
        count(self.exchange.as_ptr()) == 4
            && count(self.receive.as_ptr()) == 1
            && count(self.send.as_ptr()) == 1
            && count(self.task_done.as_ptr()) == 1
    }
}

/// An app, its root_path, and its state.
type Mounted = (Py<PyAny>, String, Py<PyDict>);

/// What runs ASGI apps on one event loop. See `_native.pyi`.
#[pyclass(module = "hostler._native", frozen)]
pub struct Loop {
    hub: Arc<Hub>,
    space: Mutex<PollSpace>,
    turn: Mutex<Turn>,
    spare: Mutex<Vec<Reused>>,
}

fn take<T: Default>(mutex: &Mutex<T>) -> T {
    std::mem::take(&mut *mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

#[pymethods]
impl Loop {
    #[new]
    #[pyo3(signature = (core, event_loop, task_type, wrap, context, log_error, apps, servers, root_path))]
    #[allow(clippy::too_many_arguments)] // the contract of _native.pyi: one call, made once
    fn new(
        py: Python<'_>,
        core: &module_core::Core,
        event_loop: Py<PyAny>,
        task_type: Py<PyAny>,
        wrap: Py<PyAny>,
        context: Py<PyAny>,
        log_error: Py<PyAny>,
        apps: Vec<Option<Mounted>>,
        servers: Vec<Py<PyAny>>,
        root_path: String,
    ) -> PyResult<Self> {
        let (callables, facts) = apps
            .into_iter()
            .map(|app| match app {
                Some((callable, root, state)) => (Some(callable), Some(AppFacts { root, state })),
                None => (None, None),
            })
            .unzip();
        let parts = Parts {
            event_loop,
            task_type,
            wrap,
            context,
            log_error,
            apps: callables,
            facts,
            servers,
            front: root_path,
        };
        core.inner().enter_loop();
        Ok(Self {
            hub: Arc::new(Hub::new(py, Arc::clone(core.inner()), parts)?),
            space: Mutex::default(),
            turn: Mutex::default(),
            spare: Mutex::default(),
        })
    }

    /// The descriptors to read: when one is readable, `run` has something to do.
    fn filenos(&self) -> Vec<RawFd> {
        let core = &self.hub.core;
        let mut fds = vec![core.loop_wake.as_raw_fd()];
        if core.settings.loop_polls {
            fds.push(core.poll_fd());
        }
        fds
    }

    /// One turn: what has come is read, and apps run as far as they go.
    fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if forked::is_child() {
            forked::end_in_loop(py);
        }
        let this = slf.get();
        let core = &this.hub.core;
        this.ensure_flush(slf)?;
        let mut space = take(&this.space);
        core.begin_turn(&mut space);
        *this.space.lock().unwrap_or_else(PoisonError::into_inner) = space;
        let mut turn = take(&this.turn);
        core.take_turn(&mut turn);
        for token in turn.ready.drain(..) {
            let Some(news) = core.news(token) else { continue };
            let heard = match this.hub.party(py, token) {
                Some(Party::Http(exchange)) => HttpExchange::on_news(exchange.bind(py), news),
                Some(Party::Socket(exchange)) => SocketExchange::on_news(exchange.bind(py), news),
                None => Ok(()),
            };
            this.confess(heard);
        }
        this.serve_all(py, &mut turn);
        let letters = this.hub.outbox().close();
        this.hub.send(letters);
        *this.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
        core.end_turn();
        drop(core.take_spent());
        Ok(())
    }

    /// Sends heads whose bodies did not come with them.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        if forked::is_child() {
            forked::end_in_loop(py);
        }
        for exchange in self.hub.take_unflushed() {
            exchange.try_borrow_mut(py)?.flush();
        }
        Ok(())
    }

    /// The task of the request with this number; None: it is over, or has not been suspended yet.
    fn task_of(&self, py: Python<'_>, number: usize) -> Option<Py<PyAny>> {
        self.hub.task_of(py, number)
    }

    /// Open streams have had their time: the app of each reads http.disconnect.
    fn end_streams(&self, py: Python<'_>) {
        for exchange in self.hub.end_streams(py) {
            self.confess(HttpExchange::wake(exchange.bind(py)));
        }
    }

    /// The caller cancels every task now.
    fn begin_cancelling(&self) {
        self.hub.begin_cancelling();
    }

    /// Tasks that go on by themselves.
    fn pending(&self, py: Python<'_>) -> Py<PyAny> {
        self.hub.pending.clone_ref(py).into_any()
    }
}

impl Loop {
    /// The loop calls `flush` by way of this object, which cannot hold itself from the start.
    fn ensure_flush(&self, slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut flush = self.hub.flush.lock().unwrap_or_else(PoisonError::into_inner);
        if flush.is_none() {
            *flush = Some(slf.getattr("flush")?.unbind());
        }
        Ok(())
    }

    /// Steps the apps of all requests; what they answer at once leaves together.
    fn serve_all(&self, py: Python<'_>, turn: &mut Turn) {
        self.hub.outbox().open(turn.requests.len(), sys::monotonic_ns());
        for request in turn.requests.drain(..) {
            self.confess(self.serve(py, request));
            let letters = self.hub.outbox().after_step(sys::monotonic_ns());
            if !letters.is_empty() {
                self.hub.send(letters);
            }
        }
    }

    /// A fault of ours in one request: said, and the others go on.
    fn confess(&self, outcome: PyResult<()>) {
        if let Err(fault) = outcome {
            let errors = &self.hub.core.errors;
            errors.error(format_args!("a fault of hostler, please report it: {fault}"));
        }
    }

    /// Runs an app on a new WebSocket.
    fn serve_socket(&self, py: Python<'_>, request: Box<Request>) -> PyResult<()> {
        let mount = request.mount;
        let scope = self.hub.with_scopes(py, |scopes| scopes.build(py, &request));
        let exchange = Bound::new(py, SocketExchange::new(Arc::clone(&self.hub), request))?;
        SocketExchange::enlist(&exchange)?;
        let functions = &self.hub.functions;
        let (receive, send) = (functions.receive(&exchange)?, functions.send(&exchange)?);
        let started = scope.and_then(|scope| self.start(py, mount, scope.as_any(), receive.bind(py), send.bind(py)));
        match started {
            Ok(task) if task.call_method0(&self.hub.words.done)?.is_truthy()? => {
                SocketExchange::end(&exchange, outcome(&task)?)
            }
            Ok(task) => {
                exchange.try_borrow_mut()?.keep_task(&task);
                self.hub.pending.bind(py).add(&task)?;
                task.call_method1(&self.hub.words.add_done_callback, (exchange.getattr("task_done")?,))
                    .map(drop)
            }
            Err(error) => SocketExchange::end(&exchange, Outcome::Raised(error)),
        }
    }

    fn serve(&self, py: Python<'_>, request: Box<Request>) -> PyResult<()> {
        if request.websocket {
            return self.serve_socket(py, request);
        }
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reused = match spare {
            Some(reused) => reused,
            None => Reused::new(py, &self.hub)?,
        };
        let exchange = reused.exchange.bind(py);
        let mount = request.mount;
        let scope = self.hub.with_scopes(py, |scopes| scopes.build(py, &request));
        exchange.try_borrow_mut()?.begin(request);
        let started = scope
            .and_then(|scope| self.start(py, mount, scope.as_any(), reused.receive.bind(py), reused.send.bind(py)));
        match started {
            Ok(task) if task.call_method0(&self.hub.words.done)?.is_truthy()? => {
                HttpExchange::end(exchange, outcome(&task)?)?;
                drop(task);
                self.keep(reused);
            }
            Ok(task) => {
                let mut this = exchange.try_borrow_mut()?;
                this.keep_task(&task);
                if !this.is_complete() {
                    this.flush();
                    drop(this);
                    enlist(exchange)?;
                } else {
                    drop(this);
                }
                self.hub.pending.bind(py).add(&task)?;
                task.call_method1(&self.hub.words.add_done_callback, (&reused.task_done,))?;
            }
            Err(error) => HttpExchange::end(exchange, Outcome::Raised(error))?,
        }
        Ok(())
    }

    /// Calls the app and steps its coroutine.
    fn start<'py>(
        &self,
        py: Python<'py>,
        mount: usize,
        scope: &Bound<'py, PyAny>,
        receive: &Bound<'py, PyAny>,
        send: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(app) = self.hub.apps.get(mount).and_then(Option::as_ref) else {
            return Err(pyo3::exceptions::PyRuntimeError::new_err(
                "no ASGI app is mounted there",
            ));
        };
        let context = copy_context(self.hub.context.bind(py))?;
        let arguments = [scope.as_ptr(), receive.as_ptr(), send.as_ptr()];
        // SAFETY: three valid references that outlive the call; the result is a new reference or null with an error set.
        let coroutine = unsafe {
            let result = ffi::PyObject_Vectorcall(app.as_ptr(), arguments.as_ptr(), 3, std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, result)?
        };
        let task = self.hub.tasks.start(py, coroutine, &context);
        if forked::is_child() {
            self.end_child(py, &task);
        }
        task
    }

    /// The app's first step has forked, and this is the child.
    fn end_child(&self, py: Python<'_>, task: &PyResult<Bound<'_, PyAny>>) -> ! {
        let ended = task.as_ref().ok().map(|task| {
            let is_done = task.call_method0(&self.hub.words.done)?.is_truthy()?;
            match is_done {
                true => outcome(task).map(Some),
                false => Ok(None),
            }
        });
        match ended {
            Some(Ok(Some(outcome))) => forked::end(py, outcome.into_result()),
            Some(Err(error)) => forked::end(py, Err(error)),
            Some(Ok(None)) => forked::end_in_loop(py),
            None => forked::end(py, task.as_ref().map(drop).map_err(|error| error.clone_ref(py))),
        }
    }

    fn keep(&self, reused: Reused) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE && reused.is_ours() {
            spare.push(reused);
        }
    }
}
