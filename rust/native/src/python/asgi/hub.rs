//! What all requests on the event loop share.

use super::super::thread::Asked;
use super::callables::CoroutineFunctions;
use super::http::HttpExchange;
use super::messages::{Kinds, Words};
use super::scope::{AppFacts, Scopes};
use super::tasks::Tasks;
use super::websocket::SocketExchange;
use crate::core::{Core, Finished, Letter, Outbox, Request, Token};
use crate::log::{Entry, Pending, Stamp};
use crate::sys;
use pyo3::prelude::*;
use pyo3::types::PySet;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `Hub::ending`: requests run; open streams are told that they end; every task is cancelled.
const SERVES: u8 = 0;
const ENDS_STREAMS: u8 = 1;
const CANCELS: u8 = 2;

/// Whoever answers a connection: told when something happens to it.
pub enum Party {
    Http(Py<HttpExchange>),
    Socket(Py<SocketExchange>),
}

/// One event loop's apps and tools.
pub struct Hub {
    pub core: Arc<Core>,
    pub words: Words,
    pub kinds: Kinds,
    pub tasks: Tasks,
    pub functions: CoroutineFunctions,
    pub apps: Vec<Option<Py<PyAny>>>,
    /// Requests run in copies of it: what the lifespan has set is seen by all.
    pub context: Py<PyAny>,
    /// Tasks that go on by themselves; the loop keeps weak references only.
    pub pending: Py<PySet>,
    /// An awaitable that is done.
    pub done: Py<PyAny>,
    /// How much of the worker's end the apps are told.
    ending: AtomicU8,
    call_later: Py<PyAny>,
    create_future: Py<PyAny>,
    call_soon: Py<PyAny>,
    log_error: Py<PyAny>,
    /// Set when the loop is to flush heads: `Loop.flush`.
    pub flush: Mutex<Option<Py<PyAny>>>,
    parties: Mutex<Vec<Option<(Token, Party)>>>,
    scopes: Mutex<Option<Box<Scopes>>>,
    make_scopes: Box<dyn Fn(Python<'_>) -> PyResult<Scopes> + Send + Sync>,
    /// Answers whose heads wait for a body that did not come at once.
    unflushed: Mutex<Vec<Py<HttpExchange>>>,
    lines: Mutex<(Pending, Stamp)>,
    outbox: Mutex<Outbox>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What Python hands over.
pub struct Parts {
    pub event_loop: Py<PyAny>,
    pub task_type: Py<PyAny>,
    pub wrap: Py<PyAny>,
    pub context: Py<PyAny>,
    pub log_error: Py<PyAny>,
    pub apps: Vec<Option<Py<PyAny>>>,
    pub facts: Vec<Option<AppFacts>>,
    pub servers: Vec<Py<PyAny>>,
    pub front: String,
}

impl Hub {
    pub fn new(py: Python<'_>, core: Arc<Core>, parts: Parts) -> PyResult<Self> {
        let event_loop = parts.event_loop.bind(py);
        let (facts, servers, front) = (parts.facts, parts.servers, parts.front);
        let sends_files = core.settings.pathsend;
        let make_scopes = Box::new(move |py: Python<'_>| Scopes::new(py, &facts, &servers, &front, sends_files));
        Ok(Self {
            core,
            words: Words::new(py),
            kinds: Kinds::new(py),
            tasks: Tasks::new(event_loop, parts.task_type, parts.wrap)?,
            functions: CoroutineFunctions::new(py)?,
            apps: parts.apps,
            context: parts.context,
            pending: PySet::empty(py)?.unbind(),
            done: Py::new(py, super::awaitable::Awaitable::done())?.into_any(),
            ending: AtomicU8::new(SERVES),
            call_later: event_loop.getattr("call_later")?.unbind(),
            create_future: event_loop.getattr("create_future")?.unbind(),
            call_soon: event_loop.getattr("call_soon")?.unbind(),
            log_error: parts.log_error,
            flush: Mutex::new(None),
            parties: Mutex::default(),
            scopes: Mutex::new(Some(Box::new(make_scopes(py)?))),
            make_scopes,
            unflushed: Mutex::default(),
            lines: Mutex::default(),
            outbox: Mutex::default(),
        })
    }

    /// The worker drains, and open streams have had their time (`stream_drain`).
    pub fn ends_streams(&self) -> bool {
        self.ending.load(Relaxed) >= ENDS_STREAMS
    }

    /// Every task is cancelled: what that raises is no fault of the app's.
    pub fn is_cancelling(&self) -> bool {
        self.ending.load(Relaxed) >= CANCELS
    }

    pub fn begin_cancelling(&self) {
        self.ending.store(CANCELS, Relaxed);
    }

    /// From here on streams end; returns those that run.
    pub fn end_streams(&self, py: Python<'_>) -> Vec<Py<HttpExchange>> {
        self.ending.fetch_max(ENDS_STREAMS, Relaxed);
        let parties = lock(&self.parties);
        let exchanges = parties.iter().flatten().filter_map(|(_, party)| match party {
            Party::Http(exchange) => Some(exchange.clone_ref(py)),
            Party::Socket(_) => None,
        });
        exchanges.collect()
    }

    /// Has the loop call something after so many nanoseconds.
    pub fn call_later(&self, py: Python<'_>, after: u64, callback: Bound<'_, PyAny>) -> PyResult<()> {
        self.call_later.bind(py).call1((after as f64 / 1e9, callback)).map(drop)
    }

    /// Sends letters in their order, and ends their requests.
    pub fn send(&self, letters: Vec<Letter>) {
        for mut letter in letters {
            if !self.core.send_letter(&letter.request, &letter.bytes) {
                letter.done = Finished {
                    status: 499,
                    client_gone: true,
                    keep_alive: false,
                    ..letter.done
                };
            }
            self.finish(letter.request, &letter.done, &letter.lines);
            self.outbox().give_back(letter.bytes);
        }
    }

    /// What waits for the end of the turn.
    pub fn outbox(&self) -> MutexGuard<'_, Outbox> {
        lock(&self.outbox)
    }

    pub fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.create_future.bind(py).call0()
    }

    /// Uses the scopes' caches, which nobody else has meanwhile: an object's end may run any code, and that a request.
    pub fn with_scopes<T>(&self, py: Python<'_>, work: impl FnOnce(&mut Scopes) -> PyResult<T>) -> PyResult<T> {
        let kept = lock(&self.scopes).take();
        let mut scopes = match kept {
            Some(scopes) => scopes,
            None => Box::new((self.make_scopes)(py)?),
        };
        let result = work(&mut scopes);
        *lock(&self.scopes) = Some(scopes);
        result
    }

    /// From here on `party` hears what happens to the connection.
    pub fn enlist(&self, token: Token, party: Party) {
        let index = token.index as usize;
        let mut parties = lock(&self.parties);
        if parties.len() <= index {
            parties.resize_with(index + 1, || None);
        }
        let earlier = parties[index].replace((token, party));
        drop(parties);
        drop(earlier);
    }

    /// The connection's request is over.
    pub fn dismiss(&self, token: Token) {
        let mut parties = lock(&self.parties);
        let is_it = |entry: &Option<(Token, Party)>| entry.as_ref().is_some_and(|(known, _)| *known == token);
        let gone = match parties.get_mut(token.index as usize) {
            Some(entry) if is_it(entry) => entry.take(),
            _ => None,
        };
        drop(parties);
        drop(gone);
    }

    /// Whoever answers this connection.
    pub fn party(&self, py: Python<'_>, token: Token) -> Option<Party> {
        let parties = lock(&self.parties);
        match parties.get(token.index as usize)? {
            Some((known, party)) if *known == token => Some(match party {
                Party::Http(exchange) => Party::Http(exchange.clone_ref(py)),
                Party::Socket(exchange) => Party::Socket(exchange.clone_ref(py)),
            }),
            _ => None,
        }
    }

    /// The task of a running request.
    pub fn task_of(&self, py: Python<'_>, number: usize) -> Option<Py<PyAny>> {
        let parties = lock(&self.parties);
        parties.iter().flatten().find_map(|(_, party)| match party {
            Party::Http(exchange) => exchange.try_borrow(py).ok()?.task_of(py, number),
            Party::Socket(exchange) => exchange.try_borrow(py).ok()?.task_of(py, number),
        })
    }

    /// The head of `exchange` is sent soon, unless its body comes first.
    pub fn flush_soon(&self, exchange: &Bound<'_, HttpExchange>) -> PyResult<()> {
        let py = exchange.py();
        let mut waiting = lock(&self.unflushed);
        waiting.push(exchange.clone().unbind());
        let is_first = waiting.len() == 1;
        drop(waiting);
        if is_first {
            let flush = lock(&self.flush).as_ref().map(|flush| flush.clone_ref(py));
            if let Some(flush) = flush {
                self.call_soon.bind(py).call1((flush,))?;
            }
        }
        Ok(())
    }

    pub fn take_unflushed(&self) -> Vec<Py<HttpExchange>> {
        std::mem::take(&mut *lock(&self.unflushed))
    }

    /// Resolves the futures of those that wait; they look for themselves.
    pub fn resolve(&self, py: Python<'_>, waiting: Vec<Py<PyAny>>) -> PyResult<()> {
        for future in waiting {
            let future = future.bind(py);
            if !future.call_method0(&self.words.done)?.is_truthy()? {
                future.call_method1(&self.words.set_result, (py.None(),))?;
            }
        }
        Ok(())
    }

    /// Ends a WebSocket: its line and its counters; the reactor has its connection.
    pub fn finish_socket(&self, request: Box<Request>, sent: u64) {
        let done = Finished {
            status: 101,
            bytes: sent,
            ..Finished::default()
        };
        let mut lines = lock(&self.lines);
        self.render(&mut lines, &request, &done, b"");
        self.core.finish_socket_request(request, &mut lines.0);
    }

    /// Ends a request: its line, its counters, its connection.
    pub fn finish(&self, request: Box<Request>, done: &Finished, head: &[u8]) {
        let mut lines = lock(&self.lines);
        self.render(&mut lines, &request, done, head);
        self.core.finish_on_loop(request, done, &mut lines.0);
    }

    /// Writes the access log's line.
    fn render(&self, lines: &mut (Pending, Stamp), request: &Request, done: &Finished, head: &[u8]) {
        let (line, stamp) = lines;
        line.text.clear();
        if let Some((access, _)) = &self.core.access {
            stamp.refresh();
            let variables = vec![None; access.variables().len()];
            let entry = Entry {
                request: Some(request),
                peer: request.peer,
                status: done.status,
                bytes: done.bytes,
                head,
                duration_ns: sys::monotonic_ns().saturating_sub(request.started_ns),
                queue_ns: request.started_ns.saturating_sub(request.queued_ns),
                variables: &variables,
            };
            access.render(&entry, stamp, line);
        }
    }

    /// Logs an exception of the app.
    pub fn report(&self, py: Python<'_>, asked: &Asked, error: &PyErr) {
        let (what, client) = (asked.text(), asked.peer.to_string());
        let raised = error.clone_ref(py).into_value(py);
        if let Err(failure) = self.log_error.bind(py).call1((&what, client, raised)) {
            self.core
                .errors
                .error(format_args!("{what}: {error}; logging it failed: {failure}"));
        }
    }
}
