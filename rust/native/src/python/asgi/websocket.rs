//! One WebSocket of an ASGI app: `receive` and `send` (ASGI HTTP & WebSocket specification 2.5, "WebSocket").

use super::super::forked;
use super::super::responder::internal_error;
use super::super::thread::Asked;
use super::awaitable::{Awaitable, Source};
use super::http::expect_room;
use super::hub::{Hub, Party};
use super::late::LateSends;
use super::messages::{each_header, misplaced, part, Kind, Message};
use super::outcome::{is_disconnect, outcome, release, Outcome};
use crate::core::{Ending, Exchange, Finished, News, Request, Room, Token};
use hostler_wire::http1::response::{is_field_value, is_hop_by_hop, is_token};
use hostler_wire::websocket::{handshake, is_sendable_close_code, Event};
use pyo3::exceptions::{PyConnectionResetError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where the WebSocket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The app has not answered the handshake.
    Connecting,
    /// It refuses with an answer of its own (extension websocket.http.response), whose head is known.
    Denying,
    Open,
    Closed,
}

impl Stage {
    fn text(self) -> &'static str {
        match self {
            Self::Connecting => "before websocket.accept",
            Self::Denying => "after websocket.http.response.start",
            Self::Open => "after websocket.accept",
            Self::Closed => "after the WebSocket was closed",
        }
    }
}

/// One WebSocket, from its handshake to its end.
#[pyclass(module = "hostler._native")]
pub struct SocketExchange {
    hub: Arc<Hub>,
    exchange: Exchange,
    token: Token,
    /// Until its line is in the access log.
    request: Option<Box<Request>>,
    asked: Asked,
    stage: Stage,
    /// The app has had websocket.connect.
    connected: bool,
    /// Messages that came before the end.
    rest: VecDeque<Event>,
    /// How it ended; the app is told behind `rest`.
    ending: Option<Ending>,
    late: LateSends,
    sent: u64,
    waiting: Vec<Py<PyAny>>,
    task: Option<Py<PyAny>>,
}

impl SocketExchange {
    pub fn new(hub: Arc<Hub>, request: Box<Request>) -> Self {
        let mut exchange = Exchange::default();
        exchange.reset(&request);
        Self {
            hub,
            exchange,
            token: request.token,
            asked: Asked::of(&request),
            request: Some(request),
            stage: Stage::Connecting,
            connected: false,
            rest: VecDeque::new(),
            ending: None,
            late: LateSends::default(),
            sent: 0,
            waiting: Vec::new(),
            task: None,
        }
    }

    pub fn keep_task(&mut self, task: &Bound<'_, PyAny>) {
        self.task = Some(task.clone().unbind());
    }

    /// The task of the request with this number, if it is this one.
    pub fn task_of(&self, py: Python<'_>, number: usize) -> Option<Py<PyAny>> {
        self.request.as_deref().filter(|request| request.thread == number)?;
        self.task.as_ref().map(|task| task.clone_ref(py))
    }

    /// From here on it hears of its connection.
    pub fn enlist(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (hub, token) = {
            let this = slf.try_borrow()?;
            (Arc::clone(&this.hub), this.token)
        };
        hub.enlist(token, Party::Socket(slf.clone().unbind()));
        Ok(())
    }

    // --- What the app reads ---

    fn next_message(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let mut this = slf.try_borrow_mut()?;
        if !this.connected {
            this.connected = true;
            return this.plain(py, |words| &words.websocket_connect).map(Some);
        }
        let event = match this.stage {
            Stage::Open if this.ending.is_none() => this.hub.core.next_event(this.token),
            _ => this.rest.pop_front(),
        };
        match (event, &this.ending) {
            (Some(event), _) => this.receive_message(py, event).map(Some),
            (None, Some(ending)) => this.disconnect(py, ending).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn plain(&self, py: Python<'_>, kind: impl Fn(&super::messages::Words) -> &Py<PyString>) -> PyResult<Py<PyAny>> {
        let message = PyDict::new(py);
        message.set_item(&self.hub.words.kind, kind(&self.hub.words))?;
        Ok(message.into_any().unbind())
    }

    fn receive_message(&self, py: Python<'_>, event: Event) -> PyResult<Py<PyAny>> {
        let words = &self.hub.words;
        let message = PyDict::new(py);
        message.set_item(&words.kind, &words.websocket_receive)?;
        match event {
            Event::Text(bytes) => {
                // The decoder has checked it.
                let text = PyString::new(py, std::str::from_utf8(&bytes).unwrap_or_default());
                message.set_item(&words.text, text)?;
            }
            Event::Binary(bytes) => message.set_item(&words.bytes, PyBytes::new(py, &bytes))?,
            _ => {}
        }
        Ok(message.into_any().unbind())
    }

    fn disconnect(&self, py: Python<'_>, ending: &Ending) -> PyResult<Py<PyAny>> {
        let words = &self.hub.words;
        let message = PyDict::new(py);
        message.set_item(&words.kind, &words.websocket_disconnect)?;
        message.set_item(&words.code, ending.code)?;
        message.set_item(&words.reason, String::from_utf8_lossy(&ending.reason).as_ref())?;
        Ok(message.into_any().unbind())
    }

    fn wait(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) {
        if let Ok(mut this) = slf.try_borrow_mut() {
            this.waiting.push(future.clone().unbind());
        }
    }

    fn wake(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (hub, waiting) = {
            let mut this = slf.try_borrow_mut()?;
            (Arc::clone(&this.hub), std::mem::take(&mut this.waiting))
        };
        hub.resolve(slf.py(), waiting)
    }

    /// Something happened to the connection.
    pub fn on_news(slf: &Bound<'_, Self>, news: News) -> PyResult<()> {
        let mut this = slf.try_borrow_mut()?;
        let hub = Arc::clone(&this.hub);
        if news.timed_out && matches!(this.stage, Stage::Connecting | Stage::Denying) {
            this.refuse(503, b"the app did not accept the WebSocket in time\n");
        } else if let Some((rest, ending)) = hub.core.release_if_ended(this.token) {
            if this.stage == Stage::Open {
                this.rest = rest;
            }
            this.end_with(ending);
        }
        drop(this);
        Self::wake(slf)
    }

    // --- What the app sends ---

    fn take(&mut self, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let kind = hub.kinds.of(message, &hub.words)?;
        if self.ending.is_some() {
            return self.late();
        }
        match (kind, self.stage) {
            (Kind::Accept, Stage::Connecting) => self.accept(message),
            (Kind::Close, Stage::Connecting) => {
                self.refuse(403, b"the app refused the WebSocket\n");
                Ok(Room::Direct)
            }
            (Kind::DenialStart, Stage::Connecting) => self.deny(message),
            (Kind::DenialBody, Stage::Denying) => self.denial_body(message),
            (Kind::Send, Stage::Open) => self.send_message(message),
            (Kind::Close, Stage::Open) => self.close(message),
            (_, stage) => Err(misplaced(kind, stage.text())),
        }
    }

    /// A message for a WebSocket that is over. `Gone`: it is ignored.
    fn late(&mut self) -> PyResult<Room> {
        match self.late.is_ignored(&self.hub) {
            true => Ok(Room::Gone),
            false => Err(closed()),
        }
    }

    fn accept(&mut self, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let Some(mut request) = self.request.take() else {
            return self.late();
        };
        let agreed = hub.core.negotiate(&request);
        let head = self.accept_head(message, &request, agreed.as_ref().map(|(_, field)| field.as_str()));
        let accepted = head.map(|head| {
            hub.core
                .accept_socket(&mut request, &head, agreed.map(|(deflate, _)| deflate))
        });
        self.request = Some(request);
        match accepted? {
            true => self.stage = Stage::Open,
            false => {
                self.end_with(Ending {
                    code: 1006,
                    reason: Vec::new(),
                });
                return self.late();
            }
        }
        Ok(Room::Direct)
    }

    /// RFC 6455 §4.2.2.
    fn accept_head(&mut self, message: &Message<'_>, request: &Request, extension: Option<&str>) -> PyResult<Vec<u8>> {
        let words = &self.hub.words;
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        let key = request.header(b"sec-websocket-key").unwrap_or_default();
        head.extend_from_slice(&handshake::accept_key(key));
        if let Some(subprotocol) = message.text(&words.subprotocol, "the subprotocol of websocket.accept")? {
            let subprotocol = subprotocol.to_str()?;
            if !is_token(subprotocol.as_bytes()) {
                return Err(PyValueError::new_err(format!("{subprotocol:?} is not a subprotocol")));
            }
            head.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            head.extend_from_slice(subprotocol.as_bytes());
        }
        if let Some(extension) = extension {
            head.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
            head.extend_from_slice(extension.as_bytes());
        }
        self.exchange.stamp.refresh();
        head.extend_from_slice(b"\r\nDate: ");
        head.extend_from_slice(&self.exchange.stamp.date);
        let server = &self.hub.core.settings.server_header;
        if !server.is_empty() {
            head.extend_from_slice(b"\r\nServer: ");
            head.extend_from_slice(server);
        }
        head.extend_from_slice(b"\r\n");
        if let Some(headers) = message.some(&words.headers)? {
            each_header(&headers, "websocket.accept", |name, value, pair| {
                put_header(&mut head, name, value, pair)
            })?;
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }

    fn deny(&mut self, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let what = "the status of websocket.http.response.start";
        let status = message.number(&hub.words.status, what)?.unwrap_or(0);
        self.exchange
            .start_code(u16::try_from(status).unwrap_or(0))
            .map_err(|_| PyValueError::new_err(format!("{what} must be from 200 to 999, not {status}")))?;
        if let Some(headers) = message.some(&hub.words.headers)? {
            let exchange = &mut self.exchange;
            each_header(&headers, "websocket.http.response.start", |name, value, pair| {
                let taken = exchange.field(name, value);
                taken
                    .map(drop)
                    .map_err(|error| PyValueError::new_err(format!("{}: {pair:?}", error.message())))
            })?;
        }
        self.exchange.started(&hub.core);
        self.stage = Stage::Denying;
        Ok(Room::Direct)
    }

    fn denial_body(&mut self, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let more = message.flag(&hub.words.more_body)?;
        let body = match message.some(&hub.words.body)? {
            Some(body) => Some(part(&body, "the body of websocket.http.response.body")?),
            None => None,
        };
        let bytes = body.as_ref().map_or(&[][..], |body| body.as_bytes());
        if !bytes.is_empty() {
            expect_room(&self.exchange, "websocket.http.response.body")?;
        }
        let room = match (more, self.exchange.is_sending()) {
            (false, false) => self.exchange.send_whole(&hub.core, bytes, &mut None),
            (false, true) => self.exchange.send_last(&hub.core, bytes, &mut None),
            (true, _) => self.exchange.send_part(&hub.core, bytes, &mut None),
        };
        if !more {
            let done = self.exchange.end(&hub.core);
            self.finish_http(&done);
            return Ok(Room::Direct);
        }
        Ok(room)
    }

    fn send_message(&mut self, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let words = &hub.words;
        let room = match (message.some(&words.text)?, message.some(&words.bytes)?) {
            (Some(text), None) => {
                let Ok(text) = text.cast::<PyString>() else {
                    return Err(PyTypeError::new_err("the text of websocket.send must be str"));
                };
                let text = text.to_str()?.as_bytes();
                self.sent += text.len() as u64;
                hub.core.send_message(self.token, true, text)
            }
            (None, Some(bytes)) => {
                let bytes = part(&bytes, "the bytes of websocket.send")?;
                self.sent += bytes.as_bytes().len() as u64;
                hub.core.send_message(self.token, false, bytes.as_bytes())
            }
            _ => {
                return Err(PyValueError::new_err(
                    "websocket.send needs either \"text\" or \"bytes\"",
                ))
            }
        };
        if room == Room::Gone {
            return self.late();
        }
        Ok(room)
    }

    fn close(&mut self, message: &Message<'_>) -> PyResult<Room> {
        let words = &self.hub.words;
        let code = message
            .number(&words.code, "the code of websocket.close")?
            .unwrap_or(1000);
        let code = u16::try_from(code).unwrap_or(0);
        if !is_sendable_close_code(code) {
            return Err(PyValueError::new_err(format!(
                "the code of websocket.close must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, not {code}"
            )));
        }
        let reason = match message.text(&words.reason, "the reason of websocket.close")? {
            Some(reason) => reason.to_str()?.to_owned(),
            None => String::new(),
        };
        self.hang_up(code, reason.into_bytes());
        Ok(Room::Direct)
    }

    fn hang_up(&mut self, code: u16, reason: Vec<u8>) {
        self.hub.core.close_socket(self.token, code, &reason);
        self.end_with(Ending { code, reason });
    }

    // --- The end ---

    /// Answers the handshake with an error.
    fn refuse(&mut self, code: u16, text: &[u8]) {
        let hub = Arc::clone(&self.hub);
        if self.exchange.is_sending() {
            let done = self.exchange.abort();
            return self.finish_http(&done);
        }
        // These are constants; they cannot be refused.
        let _ = self.exchange.start_code(code);
        let _ = self.exchange.field(b"Content-Type", b"text/plain; charset=utf-8");
        let _ = self.exchange.field(b"Connection", b"close");
        self.exchange.started(&hub.core);
        let _ = self.exchange.send_whole(&hub.core, text, &mut None); // one line
        let done = self.exchange.end(&hub.core);
        self.finish_http(&done);
    }

    /// The handshake had an answer that was no WebSocket.
    fn finish_http(&mut self, done: &Finished) {
        self.stage = Stage::Closed;
        self.ending.get_or_insert(Ending {
            code: 1006,
            reason: Vec::new(),
        });
        if let Some(request) = self.request.take() {
            self.hub.dismiss(self.token);
            self.hub.finish(request, done, self.exchange.head_lines());
        }
    }

    /// The WebSocket is over.
    fn end_with(&mut self, ending: Ending) {
        let was_open = self.stage == Stage::Open;
        self.ending.get_or_insert(ending);
        if !was_open {
            return; // the app may still say what it likes; nobody hears it
        }
        self.stage = Stage::Closed;
        if let Some(request) = self.request.take() {
            self.hub.dismiss(self.token);
            self.hub.finish_socket(request, self.sent);
        }
    }

    /// The app has ended, with this error if any.
    pub fn end(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        let mut this = slf.try_borrow_mut()?;
        this.task = None;
        let hub = Arc::clone(&this.hub);
        let asked = std::mem::take(&mut this.asked);
        let is_over = this.ending.is_some();
        let mut excused = None;
        let failure = match outcome {
            Outcome::Cancelled if hub.is_cancelling() => None,
            Outcome::Raised(error) if is_over && is_disconnect(slf.py(), &error) => {
                excused = Some(error);
                None
            }
            Outcome::Returned if is_over || this.stage == Stage::Open => None,
            Outcome::Returned => Some(PyRuntimeError::new_err(match this.stage {
                Stage::Denying => "the app returned before its response to the handshake was complete",
                _ => "the app returned without accepting or closing the WebSocket",
            })),
            ended => ended.into_error(),
        };
        this.settle(&hub, is_over, failure.is_some());
        drop(this);
        if let Some(error) = failure {
            hub.report(slf.py(), &asked, &error);
        }
        if let Some(error) = excused {
            release(slf.py(), error);
        }
        Self::wake(slf)
    }

    /// Ends what the app has left open.
    fn settle(&mut self, hub: &Hub, is_over: bool, has_failed: bool) {
        match self.stage {
            Stage::Open if has_failed => self.hang_up(1011, b"the app failed".to_vec()),
            Stage::Open => self.hang_up(1000, Vec::new()),
            // The head of a denial response leaves with its first body: until then there is time for a 500.
            Stage::Connecting | Stage::Denying if !is_over && !self.exchange.is_sending() => {
                let mut done = internal_error(&mut self.exchange, &hub.core);
                done.keep_alive = false;
                done.app_error = true;
                self.finish_http(&done);
            }
            Stage::Connecting | Stage::Denying => {
                let mut done = self.exchange.abort();
                done.client_gone |= is_over;
                done.app_error = has_failed;
                self.finish_http(&done);
            }
            Stage::Closed => {}
        }
    }

    fn room(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let mut this = slf.try_borrow_mut()?;
        if this.ending.is_some() || this.hub.core.is_gone(this.token) {
            return this.late().map(|_| Some(py.None()));
        }
        Ok(this.hub.core.has_room(this.token).then(|| py.None()))
    }
}

/// One header of the app's; those of the handshake itself are ours.
fn put_header(head: &mut Vec<u8>, name: &[u8], value: &[u8], pair: &Bound<'_, PyAny>) -> PyResult<()> {
    if !is_token(name) || !is_field_value(value) {
        return Err(PyValueError::new_err(format!(
            "a header must be a token and a value without control characters (RFC 9110 5.1, 5.5): {pair:?}"
        )));
    }
    let lower = name.to_ascii_lowercase();
    if lower == b"sec-websocket-protocol" {
        return Err(PyValueError::new_err(
            "Sec-WebSocket-Protocol is given as the \"subprotocol\" of websocket.accept, not as a header",
        ));
    }
    let ours: [&[u8]; 3] = [b"sec-websocket-accept", b"sec-websocket-extensions", b"content-length"];
    if is_hop_by_hop(name) || ours.contains(&lower.as_slice()) {
        return Ok(());
    }
    head.extend_from_slice(name);
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
    Ok(())
}

/// What `send` raises when nobody is there to read it.
fn closed() -> PyErr {
    PyConnectionResetError::new_err("the WebSocket is closed")
}

#[pymethods]
impl SocketExchange {
    /// ASGI's receive.
    fn receive(slf: &Bound<'_, Self>) -> PyResult<Awaitable> {
        forked::refuse()?;
        let hub = Arc::clone(&slf.try_borrow()?.hub);
        Ok(Awaitable::new(Box::new(SocketMessages(slf.clone().unbind(), hub))))
    }

    /// ASGI's send.
    #[pyo3(signature = (message, /))]
    fn send(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        forked::refuse()?;
        let py = slf.py();
        let (hub, room, ended) = {
            let mut this = slf.try_borrow_mut()?;
            let room = match Message::new(message).and_then(|message| this.take(&message)) {
                Ok(room) => room,
                Err(error) => return super::http::failed(py, &this.hub, error),
            };
            (Arc::clone(&this.hub), room, this.ending.is_some())
        };
        if ended {
            Self::wake(slf)?;
        }
        if room == Room::Full {
            let waits = Awaitable::new(Box::new(SocketRoom(slf.clone().unbind(), hub)));
            return Ok(Py::new(py, waits)?.into_any());
        }
        if room == Room::Gone {
            return Ok(Py::new(py, Awaitable::pause())?.into_any()); // ignored: it waits for nothing, so the loop has its turn
        }
        Ok(hub.done.clone_ref(py))
    }

    /// Called by the task when it is done.
    fn task_done(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        if forked::is_child() {
            let ended = outcome(task).and_then(Outcome::into_result);
            forked::end(task.py(), ended);
        }
        let hub = Arc::clone(&slf.try_borrow()?.hub);
        hub.pending.bind(slf.py()).discard(task)?;
        Self::end(slf, outcome(task)?)
    }
}

/// `receive()` of a WebSocket.
struct SocketMessages(Py<SocketExchange>, Arc<Hub>);

impl Source for SocketMessages {
    fn hub(&self) -> &Arc<Hub> {
        &self.1
    }

    fn poll(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        SocketExchange::next_message(self.0.bind(py))
    }

    fn wait(&self, py: Python<'_>, future: &Bound<'_, PyAny>) {
        SocketExchange::wait(self.0.bind(py), future);
    }
}

/// `send()` to a client that is slow.
struct SocketRoom(Py<SocketExchange>, Arc<Hub>);

impl Source for SocketRoom {
    fn hub(&self) -> &Arc<Hub> {
        &self.1
    }

    fn poll(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        SocketExchange::room(self.0.bind(py))
    }

    fn wait(&self, py: Python<'_>, future: &Bound<'_, PyAny>) {
        SocketExchange::wait(self.0.bind(py), future);
    }
}
