//! One HTTP request of an ASGI app: `receive` and `send` (ASGI HTTP & WebSocket specification 2.5, "HTTP").

use super::super::forked;
use super::super::responder::{internal_error, Kept};
use super::super::thread::{describe, Asked};
use super::awaitable::{Awaitable, Failed, HttpReceive, HttpRoom};
use super::hub::{Hub, Party};
use super::late::LateSends;
use super::messages::{each_header, misplaced, part, Kind, Message};
use super::outcome::{is_disconnect, outcome, release, Outcome};
use crate::core::{Body, Exchange, FilePart, Finished, HeadError, Letter, News, Owner, Part, Request, Room, Token};
use crate::sys::{self, FileSize};
use pyo3::exceptions::{PyConnectionResetError, PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::fs::File;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;

mod leaving;

/// Parts from this size on are lent to the reactor where a slow client makes them wait, not copied.
const LEND: usize = 16 * 1024;
/// Bytes of a file that are read at once where the kernel cannot send it by itself.
const FILE_PART: usize = 256 * 1024;
/// Parts of a body that the response does not have, between two turns that the loop gets: an app that streams for ever
/// would block it, since such a part waits for nothing. Finite streams seldom have as many.
const DROPPED: u32 = 64;

/// Where the answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent.
    Fresh,
    /// Status and headers are known.
    Started,
    /// Part of the body was sent.
    Streaming,
    /// The body is whole; trailers were announced.
    Trailers,
    /// All was sent, or nobody is there to read it.
    Complete,
}

impl Stage {
    fn text(self) -> &'static str {
        match self {
            Self::Fresh => "before http.response.start",
            Self::Started => "after http.response.start",
            Self::Streaming => "in the middle of the body",
            Self::Trailers => "after the whole body, where http.response.trailers must follow",
            Self::Complete => "after the response was complete",
        }
    }
}

/// A file whose size is not known, on its way.
struct Copying {
    file: OwnedFd,
    offset: u64,
    left: u64,
    /// More of the body follows it.
    more: bool,
}

/// What the app has of the request body.
enum Incoming {
    /// It lies in the request's buffer.
    Whole(usize, usize),
    Memory(Vec<u8>),
    /// What is left of a file: where it goes on, and where it ends.
    File(File, u64, u64),
    Stream,
    /// The app has all of it.
    Given,
}

/// One request and its answer.
#[pyclass(module = "hostler._native")]
pub struct HttpExchange {
    hub: Arc<Hub>,
    exchange: Exchange,
    token: Token,
    /// Until the answer is complete.
    request: Option<Box<Request>>,
    incoming: Incoming,
    stage: Stage,
    trailers: bool,
    /// The client is gone, or sends no more; `told`: the app knows.
    left: bool,
    told: bool,
    late: LateSends,
    /// `request_timeout` has passed.
    given_up: bool,
    /// We have cancelled its task.
    is_ended_by_us: bool,
    /// While its end is awaited of a client that left: bytes sent before.
    leaver: Option<u64>,
    /// The app was told of the drain.
    dismissed: bool,
    /// Futures of those that wait for news.
    waiting: Vec<Py<PyAny>>,
    /// While it is pending.
    task: Option<Py<PyAny>>,
    asked: Asked,
    /// Parts wait for the next one, and are to be flushed when none comes.
    is_due: bool,
    /// A file that is sent in parts, as room allows.
    copying: Option<Copying>,
    /// Parts that were dropped.
    dropped: u32,
}

impl HttpExchange {
    pub fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            exchange: Exchange::default(),
            token: Token {
                index: 0,
                generation: 0,
            },
            request: None,
            incoming: Incoming::Given,
            stage: Stage::Complete,
            trailers: false,
            left: false,
            told: false,
            late: LateSends::default(),
            given_up: false,
            is_ended_by_us: false,
            leaver: None,
            dismissed: false,
            waiting: Vec::new(),
            task: None,
            asked: Asked::default(),
            is_due: false,
            copying: None,
            dropped: 0,
        }
    }

    /// Begins with a request.
    pub fn begin(&mut self, mut request: Box<Request>) {
        self.exchange.reset(&request);
        self.token = request.token;
        self.incoming = match std::mem::take(&mut request.body) {
            Body::Inline { start, end } => Incoming::Whole(start, end),
            Body::Streamed => Incoming::Stream,
            // A worker that ran another kind of app at this path may have read it: see core/transfer.rs.
            Body::Memory(bytes) => Incoming::Memory(bytes),
            Body::File(file, length) => Incoming::File(file, 0, length),
            Body::Empty | Body::Awaited => Incoming::Whole(0, 0),
        };
        self.asked.note(&request);
        self.request = Some(request);
        self.stage = Stage::Fresh;
        self.trailers = false;
        self.left = false;
        self.told = false;
        self.late = LateSends::default();
        self.given_up = false;
        self.is_ended_by_us = false;
        self.leaver = None;
        self.dismissed = false;
        self.task = None;
        self.is_due = false;
        self.copying = None;
        self.dropped = 0;
    }

    pub fn request(&self) -> Option<&Request> {
        self.request.as_deref()
    }

    pub fn is_complete(&self) -> bool {
        self.stage == Stage::Complete
    }

    pub fn keep_task(&mut self, task: &Bound<'_, PyAny>) {
        self.task = Some(task.clone().unbind());
    }

    /// The task of the request with this number, if it is this one.
    pub fn task_of(&self, py: Python<'_>, number: usize) -> Option<Py<PyAny>> {
        self.request.as_deref().filter(|request| request.thread == number)?;
        self.task.as_ref().map(|task| task.clone_ref(py))
    }

    // --- What the app reads ---

    /// The next message for the app; none: there is none yet.
    pub fn next_message(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let mut this = slf.try_borrow_mut()?;
        if this.stage == Stage::Complete {
            this.told = true;
            return this.disconnect(py).map(Some);
        }
        let message = match this.incoming {
            Incoming::Whole(start, end) => {
                let bytes = this
                    .request
                    .as_deref()
                    .map_or(&[][..], |request| &request.buffer[start..end]);
                let message = this.body_message(py, bytes, false)?;
                this.incoming = Incoming::Given;
                return Ok(Some(message));
            }
            Incoming::Memory(ref bytes) => {
                let message = this.body_message(py, bytes, false)?;
                this.incoming = Incoming::Given;
                return Ok(Some(message));
            }
            Incoming::File(ref file, at, end) => {
                let (mut bytes, left) = (Vec::new(), end - at);
                let most = FILE_PART.min(usize::try_from(left).unwrap_or(FILE_PART));
                let count = sys::read_at(file, &mut bytes, most, at)? as u64;
                let more = count > 0 && count < left;
                let message = this.body_message(py, &bytes, more)?;
                match &mut this.incoming {
                    Incoming::File(_, at, _) if more => *at += count,
                    incoming => *incoming = Incoming::Given,
                }
                return Ok(Some(message));
            }
            Incoming::Stream => match this.hub.core.next_part(this.token) {
                Part::Bytes(bytes, more) => {
                    if !more {
                        this.incoming = Incoming::Given;
                    }
                    return this.body_message(py, &bytes, more).map(Some);
                }
                Part::Wait => None,
                Part::Broken => {
                    this.left = true;
                    Some(())
                }
            },
            Incoming::Given if this.left => Some(()),
            Incoming::Given => {
                this.dismissed = this.is_dismissed();
                this.dismissed.then_some(())
            }
        };
        if message.is_none() {
            return Ok(None);
        }
        this.told = true;
        this.disconnect(py).map(Some)
    }

    fn body_message(&self, py: Python<'_>, bytes: &[u8], more: bool) -> PyResult<Py<PyAny>> {
        let words = &self.hub.words;
        let message = PyDict::new(py);
        message.set_item(&words.kind, &words.http_request)?;
        message.set_item(&words.body, PyBytes::new(py, bytes))?;
        message.set_item(&words.more_body, more)?;
        Ok(message.into_any().unbind())
    }

    fn disconnect(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let message = PyDict::new(py);
        message.set_item(&self.hub.words.kind, &self.hub.words.http_disconnect)?;
        Ok(message.into_any().unbind())
    }

    /// Leaves a future that news resolve.
    pub fn wait(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) {
        if let Ok(mut this) = slf.try_borrow_mut() {
            this.waiting.push(future.clone().unbind());
        }
    }

    /// Wakes all who wait; they look for themselves.
    pub fn wake(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (hub, waiting) = {
            let mut this = slf.try_borrow_mut()?;
            if this.waiting.is_empty() {
                return Ok(());
            }
            (Arc::clone(&this.hub), std::mem::take(&mut this.waiting))
        };
        hub.resolve(slf.py(), waiting)
    }

    /// Something happened to the connection.
    pub fn on_news(slf: &Bound<'_, Self>, news: News) -> PyResult<()> {
        slf.try_borrow_mut()?.left |= news.left;
        if news.timed_out {
            return Self::time_out(slf);
        }
        Self::watch_leaver(slf)?;
        Self::wake(slf)
    }

    /// `request_timeout` has passed: answers in the app's place, and ends its task.
    fn time_out(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut this = slf.try_borrow_mut()?;
        if this.stage == Stage::Complete {
            return Ok(());
        }
        let hub = Arc::clone(&this.hub);
        let mut done = if this.exchange.is_sending() {
            let _ = this.exchange.push(&hub.core); // nothing follows
            this.exchange.abort()
        } else {
            plain_answer(&mut this.exchange, &hub, 504, b"request_timeout passed\n")
        };
        done.keep_alive = false;
        this.given_up = true;
        let task = this.task.as_ref().map(|task| task.clone_ref(slf.py()));
        this.finish(&done);
        drop(this);
        Self::wake(slf)?;
        match task {
            Some(task) => task.bind(slf.py()).call_method0(&hub.words.cancel).map(drop),
            None => Ok(()),
        }
    }

    // --- What the app sends ---

    fn take(&mut self, py: Python<'_>, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let kind = hub.kinds.of(message, &hub.words)?;
        let is_dropped = self.exchange.is_bodiless();
        if self.left && (self.told || is_dropped) || self.exchange.is_gone() {
            return self.late();
        }
        self.dropped += u32::from(is_dropped);
        match (kind, self.stage) {
            (Kind::Start, Stage::Fresh) => self.start(message),
            (Kind::Body, Stage::Started | Stage::Streaming) => self.body(message),
            (Kind::Path, Stage::Started) => self.path(py, message),
            (Kind::Copy, Stage::Started | Stage::Streaming) => self.copy(py, message),
            (Kind::Trailers, Stage::Trailers) => self.take_trailers(message),
            (Kind::Hint, Stage::Fresh) => self.hint(message),
            (Kind::Debug, Stage::Fresh) => Ok(Room::Direct),
            (_, stage) => Err(misplaced(kind, stage.text())),
        }
    }

    fn start(&mut self, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let words = &hub.words;
        let what = "the status of http.response.start";
        let Some(status) = message.number(&words.status, what)? else {
            return Err(PyValueError::new_err("http.response.start needs a \"status\""));
        };
        let code = u16::try_from(status).unwrap_or(0);
        self.exchange
            .start_code(code)
            .map_err(|_| PyValueError::new_err(format!("{what} must be from 200 to 999, not {status}")))?;
        if let Some(headers) = message.some(&words.headers)? {
            let exchange = &mut self.exchange;
            let taken = each_header(&headers, "http.response.start", |name, value, pair| {
                exchange
                    .field(name, value)
                    .map(drop)
                    .map_err(|error| refused(&error, pair))
            });
            if let Err(error) = taken {
                let _ = self.exchange.start_code(500); // as if it had not begun
                return Err(error);
            }
        }
        self.trailers = message.flag(&words.trailers)?;
        self.exchange.started(&hub.core);
        self.stage = Stage::Started;
        Ok(Room::Direct)
    }

    fn body(&mut self, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let more = message.flag(&hub.words.more_body)?;
        let bytes = match message.some(&hub.words.body)? {
            Some(body) => Some(part(&body, "the body of http.response.body")?),
            None => None,
        };
        let slice = bytes.as_ref().map_or(&[][..], |bytes| bytes.as_bytes());
        if !slice.is_empty() {
            expect_room(&self.exchange, "http.response.body")?;
        }
        let mut owner: Owner = match &bytes {
            Some(bytes) if slice.len() >= LEND => Some(Box::new(Kept::new(bytes))),
            _ => None,
        };
        if !more && !self.trailers && !self.exchange.is_sending() && self.post(slice) {
            return Ok(Room::Direct);
        }
        let room = match (self.exchange.is_sending(), more) {
            (false, false) if !self.trailers => self.exchange.send_whole(&hub.core, slice, &mut owner),
            (true, false) if !self.trailers => self.exchange.send_last(&hub.core, slice, &mut owner),
            (_, true) => {
                let now = sys::monotonic_ns();
                let (room, is_due) = self.exchange.send_part_of_many(&hub.core, slice, &mut owner, now);
                self.is_due |= is_due;
                room
            }
            _ => self.exchange.send_part(&hub.core, slice, &mut owner),
        };
        if more && self.stage == Stage::Started {
            self.streams();
        }
        self.advance(more, room)
    }

    /// Puts a whole short answer into the outbox, where that is open.
    fn post(&mut self, body: &[u8]) -> bool {
        let mut outbox = self.hub.outbox();
        if !outbox.is_open() || body.len() >= LEND {
            return false;
        }
        let mut bytes = outbox.buffer();
        drop(outbox);
        if !self.exchange.write_whole(&self.hub.core, body, &mut bytes) {
            return false;
        }
        let done = self.exchange.end(&self.hub.core);
        self.complain(&done);
        self.stage = Stage::Complete;
        let Some(request) = self.request.take() else {
            return true;
        };
        let lines = self.exchange.head_lines().to_vec();
        let letter = Letter {
            bytes,
            request,
            done,
            lines,
        };
        self.hub.outbox().put(letter, sys::monotonic_ns);
        true
    }

    /// The answer takes its time from here on.
    fn streams(&mut self) {
        if let Some(request) = self.request.as_deref() {
            self.hub.core.is_streaming(request.thread);
        }
    }

    /// A message for a client that has left. `Gone`: it is ignored.
    fn late(&mut self) -> PyResult<Room> {
        match self.late.is_ignored(&self.hub) {
            true => Ok(Room::Gone),
            false => Err(gone()),
        }
    }

    /// What a part of the body leads to.
    fn advance(&mut self, more: bool, room: Room) -> PyResult<Room> {
        if room == Room::Gone {
            self.left = true;
            return self.late();
        }
        self.stage = match (more, self.trailers) {
            (true, _) => Stage::Streaming,
            (false, true) => Stage::Trailers,
            (false, false) => {
                self.complete();
                return Ok(Room::Direct); // the reactor sends what is held; nothing more will come
            }
        };
        Ok(room)
    }

    fn take_trailers(&mut self, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        if let Some(headers) = message.some(&hub.words.headers)? {
            let exchange = &mut self.exchange;
            each_header(&headers, "http.response.trailers", |name, value, pair| {
                exchange
                    .trailer(name, value)
                    .map(drop)
                    .map_err(|error| refused(&error, pair))
            })?;
        }
        if !message.flag(&hub.words.more_trailers)? {
            self.complete();
        }
        Ok(Room::Direct)
    }

    /// 103 with Link fields (RFC 8297).
    fn hint(&mut self, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let Some(links) = message.some(&hub.words.links)? else {
            return Ok(Room::Direct);
        };
        let mut values = Vec::new();
        for link in links.try_iter()? {
            values.push(part(&link?, "a link of http.response.early_hint")?);
        }
        let fields: Vec<(&[u8], &[u8])> = values.iter().map(|value| (&b"link"[..], value.as_bytes())).collect();
        self.exchange
            .inform(&hub.core, 103, &fields)
            .map_err(|error| PyValueError::new_err(error.message()))
    }

    /// A file, by its path, as the whole body.
    fn path(&mut self, py: Python<'_>, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let Some(path) = message.text(&hub.words.path, "the path of http.response.pathsend")? else {
            return Err(PyValueError::new_err("http.response.pathsend needs a \"path\""));
        };
        let path = path.to_str()?;
        if !path.starts_with('/') {
            return Err(PyValueError::new_err(format!(
                "the path of http.response.pathsend must be absolute, not {path:?}"
            )));
        }
        let file = sys::open_file(path)?;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        let room = match sys::file_size(fd) {
            FileSize::Known(length) => self.send_file(FilePart { fd, offset: 0, length }, false),
            FileSize::Unknown => return py.detach(|| self.copy_unknown(fd, 0, u64::MAX, false)),
            FileSize::NoFile => return Err(PyOSError::new_err(format!("{path} is not a regular file"))),
        };
        self.advance(false, room)
    }

    /// The next part of the body, or the last, from a file: by the kernel, never through our memory.
    fn send_file(&mut self, part: FilePart, more: bool) -> Room {
        let hub = Arc::clone(&self.hub);
        let keep = || sys::duplicate(part.fd);
        let has_more = more || self.trailers;
        self.exchange.send_file(&hub.core, part, has_more, keep)
    }

    /// Bytes of an open file.
    fn copy(&mut self, py: Python<'_>, message: &Message<'_>) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let words = &hub.words;
        let what = "http.response.zerocopysend";
        let Some(file) = message.some(&words.file)? else {
            return Err(PyValueError::new_err(format!("{what} needs a \"file\"")));
        };
        let fd: RawFd = match file.extract() {
            Ok(fd) => fd,
            Err(_) => file.call_method0(&words.fileno)?.extract()?,
        };
        let (size, is_known) = match sys::file_size(fd) {
            FileSize::Known(size) => (size, true),
            FileSize::Unknown => (u64::MAX, false),
            FileSize::NoFile => return Err(PyTypeError::new_err(format!("{what}: not a regular file"))),
        };
        let offset = match message.number(&words.offset, "the offset of http.response.zerocopysend")? {
            Some(offset) => u64::try_from(offset).map_err(|_| PyValueError::new_err("a negative offset"))?,
            None => file.call_method0("tell").and_then(|at| at.extract()).unwrap_or(0),
        };
        let most = size.saturating_sub(offset);
        let count = match message.number(&words.count, "the count of http.response.zerocopysend")? {
            Some(count) => most.min(u64::try_from(count).unwrap_or(0)),
            None => most,
        };
        let more = message.flag(&words.more_body)?;
        if count > 0 {
            expect_room(&self.exchange, what)?;
        }
        let part = FilePart {
            fd,
            offset,
            length: count,
        };
        if more && self.stage == Stage::Started {
            self.streams();
        }
        if !is_known {
            return py.detach(|| self.copy_unknown(fd, offset, count, more));
        }
        let room = py.detach(|| self.send_file(part, more));
        self.advance(more, room)
    }

    /// Begins to send a file whose size is not known, as those of /proc: it is read, and sent as parts of the body.
    fn copy_unknown(&mut self, fd: RawFd, offset: u64, left: u64, more: bool) -> PyResult<Room> {
        let file = sys::duplicate(fd).ok_or_else(|| PyOSError::new_err("no descriptor is free for the file"))?;
        self.copying = Some(Copying {
            file,
            offset,
            left,
            more,
        });
        self.copy_on()
    }

    /// Reads and sends as far as there is room for it, and as the response takes it. `Full`: it goes on when there is again.
    fn copy_on(&mut self) -> PyResult<Room> {
        let hub = Arc::clone(&self.hub);
        let mut room = Room::Direct;
        let mut bytes = Vec::new();
        let Some(mut copying) = self.copying.take() else {
            return Ok(room);
        };
        while copying.left > 0 && !self.exchange.is_satisfied() {
            bytes.clear();
            let most = FILE_PART.min(usize::try_from(copying.left).unwrap_or(FILE_PART));
            let count = sys::read_at(&copying.file, &mut bytes, most, copying.offset)?;
            if count == 0 {
                break;
            }
            copying.offset += count as u64;
            copying.left -= count as u64;
            room = self.exchange.send_part(&hub.core, &bytes, &mut None);
            if room == Room::Full {
                self.copying = Some(copying);
                return Ok(room);
            }
        }
        self.advance(copying.more, room)
    }

    // --- The end ---

    fn complete(&mut self) {
        let done = self.exchange.end(&self.hub.core);
        self.complain(&done);
        self.finish(&done);
    }

    fn finish(&mut self, done: &Finished) {
        self.stage = Stage::Complete;
        if let Some(request) = self.request.take() {
            self.hub.dismiss(self.token);
            self.hub.finish(request, done, self.exchange.head_lines());
        }
    }

    /// What the app left out, and why that may be: a middleware that does not know an extension drops its messages.
    fn what_is_missing(&self) -> String {
        let text = match self.stage {
            Stage::Fresh => "the app returned without sending a response",
            Stage::Trailers => {
                "the app returned before it sent the trailers that it announced (extension http.response.trailers)"
            }
            _ => "the app returned before its response was complete",
        };
        match self.hub.core.settings.pathsend && matches!(self.stage, Stage::Fresh | Stage::Started) {
            true => format!(
                "{text}; a middleware that does not know http.response.pathsend drops such messages: set pathsend = off"
            ),
            false => text.to_owned(),
        }
    }

    fn complain(&self, done: &Finished) {
        let Some(request) = self.request.as_deref() else { return };
        let errors = &self.hub.core.errors;
        if done.missing > 0 && !done.client_gone {
            errors.error(format_args!(
                "{} sent {} bytes less than its Content-Length: the connection is closed so that the client can tell",
                describe(request),
                done.missing
            ));
        }
        if done.excess {
            errors.error(format_args!(
                "{} sent more than its Content-Length: the excess was cut off",
                describe(request)
            ));
        }
    }

    /// The app has ended, with this error if any. Whatever it left open is closed.
    pub fn end(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        let py = slf.py();
        let mut this = slf.try_borrow_mut()?;
        this.task = None;
        let hub = Arc::clone(&this.hub);
        let is_gone = this.left || this.exchange.is_gone();
        let was_complete = this.stage == Stage::Complete;
        let mut excused = None;
        let failure = match outcome {
            _ if this.given_up => None, // it was cancelled, and said in the log
            Outcome::Cancelled if this.is_ended_by_us || hub.is_cancelling() => None,
            Outcome::Returned if was_complete || is_gone || this.dismissed => None,
            Outcome::Returned => Some(PyRuntimeError::new_err(this.what_is_missing())),
            Outcome::Raised(error) if (is_gone || this.dismissed) && is_disconnect(py, &error) => {
                excused = Some(error);
                None
            }
            ended => ended.into_error(),
        };
        if !was_complete {
            let mut done = this.what_is_left(is_gone);
            done.app_error = failure.is_some();
            this.finish(&done);
        }
        if let Some(error) = failure {
            if was_complete {
                hub.core.count_late_error(); // its counters were written with the response
            }
            let asked = std::mem::take(&mut this.asked); // reporting runs code that may come back to here
            drop(this);
            hub.report(py, &asked, &error);
        } else {
            drop(this);
        }
        if let Some(error) = excused {
            release(py, error);
        }
        Self::wake(slf)
    }

    /// Ends the answer that the app did not.
    fn what_is_left(&mut self, is_gone: bool) -> Finished {
        let hub = Arc::clone(&self.hub);
        if self.dismissed && !is_gone && self.exchange.is_sending() {
            return self.end_dismissed();
        }
        if self.exchange.is_sending() {
            let _ = self.exchange.push(&hub.core); // nothing follows
            let mut done = self.exchange.abort();
            done.client_gone |= is_gone;
            return done;
        }
        if is_gone {
            return Finished {
                status: 499,
                client_gone: true,
                ..Finished::default()
            };
        }
        if hub.is_cancelling() {
            return plain_answer(&mut self.exchange, &hub, 503, b"the server is stopping\n");
        }
        internal_error(&mut self.exchange, &hub.core)
    }

    /// Sends a head whose body did not come with it, or parts that waited for the next one.
    pub fn flush(&mut self) {
        if self.has_unsent_head() {
            let _ = self.exchange.send_head(&self.hub.core); // one head
            self.streams();
        } else if self.exchange.push(&self.hub.core) == Room::Gone {
            self.left = true;
        }
    }

    fn has_unsent_head(&self) -> bool {
        self.stage == Stage::Started && !self.exchange.is_sending()
    }

    /// Whether a slow client has taken enough: None, or an error when it is gone.
    pub fn room(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let mut this = slf.try_borrow_mut()?;
        if this.stage == Stage::Complete {
            return Ok(Some(py.None()));
        }
        if this.hub.core.is_gone(this.token) {
            return this.late().map(|_| Some(py.None()));
        }
        if this.copying.is_some() {
            let has_room = this.hub.core.has_room(this.token);
            drop(this);
            let is_through = has_room && slf.try_borrow_mut()?.copy_on()? != Room::Full;
            return Ok(is_through.then(|| py.None()));
        }
        Ok(this.hub.core.has_room(this.token).then(|| py.None()))
    }
}

/// An answer of ours, in the app's place.
fn plain_answer(exchange: &mut Exchange, hub: &Hub, code: u16, text: &[u8]) -> Finished {
    // These are constants; they cannot be refused.
    let _ = exchange.start_code(code);
    let _ = exchange.field(b"Content-Type", b"text/plain; charset=utf-8");
    let _ = exchange.field(b"Connection", b"close");
    exchange.started(&hub.core);
    let _ = exchange.send_whole(&hub.core, text, &mut None); // one line
    exchange.end(&hub.core)
}

fn refused(error: &HeadError, pair: &Bound<'_, PyAny>) -> PyErr {
    PyValueError::new_err(format!("{}: {pair:?}", error.message()))
}

/// Refuses a part behind a complete body: an app may go on for ever, and none of it would wait for anything.
pub fn expect_room(exchange: &Exchange, what: &str) -> PyResult<()> {
    if !exchange.is_complete() {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(format!(
        "the app sent {what} after the Content-Length was complete"
    )))
}

/// What `send` raises when nobody is there to read it (ASGI 2.4: a subclass of OSError).
fn gone() -> PyErr {
    PyConnectionResetError::new_err("the client has left: its connection is closed")
}

#[pymethods]
impl HttpExchange {
    /// ASGI's receive.
    fn receive(slf: &Bound<'_, Self>) -> PyResult<Awaitable> {
        forked::refuse()?;
        let hub = Arc::clone(&slf.try_borrow()?.hub);
        Ok(Awaitable::new(Box::new(HttpReceive(slf.clone().unbind(), hub))))
    }

    /// ASGI's send.
    #[pyo3(signature = (message, /))]
    fn send(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        forked::refuse()?;
        let py = slf.py();
        let (hub, room, unsent, is_over, pauses, left) = {
            let mut this = slf.try_borrow_mut()?;
            let room = match Message::new(message).and_then(|message| this.take(py, &message)) {
                Ok(room) => room,
                Err(error) => return failed(py, &this.hub, error),
            };
            let is_over = (this.stage == Stage::Complete || this.is_dismissed()) && !this.waiting.is_empty();
            let unsent = this.has_unsent_head() || std::mem::take(&mut this.is_due);
            // Ignored messages wait for nothing, either: the loop has its turn after each.
            let pauses = this.dropped >= DROPPED || room == Room::Gone;
            if pauses {
                this.dropped = 0;
            }
            (Arc::clone(&this.hub), room, unsent, is_over, pauses, this.left)
        };
        if left {
            Self::watch_leaver(slf)?;
        }
        if is_over {
            Self::wake(slf)?; // a task that waits for the client's end hears that the response is out, or has to end
        }
        if unsent && slf.try_borrow()?.task.is_some() {
            hub.flush_soon(slf)?;
        }
        if room == Room::Full {
            let waits = Awaitable::new(Box::new(HttpRoom(slf.clone().unbind(), hub)));
            return Ok(Py::new(py, waits)?.into_any());
        }
        if pauses {
            return Ok(Py::new(py, Awaitable::pause())?.into_any());
        }
        Ok(hub.done.clone_ref(py))
    }

    /// Called by the loop `disconnect_grace` after the client left.
    fn look_after_leaver(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::look_after(slf)
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

/// An awaitable that raises: errors of a coroutine show where it is awaited.
pub fn failed(py: Python<'_>, hub: &Arc<Hub>, error: PyErr) -> PyResult<Py<PyAny>> {
    let failed = Awaitable::new(Box::new(Failed(error, Arc::clone(hub))));
    Ok(Py::new(py, failed)?.into_any())
}

/// Registers an exchange for news about its connection.
pub fn enlist(slf: &Bound<'_, HttpExchange>) -> PyResult<()> {
    let (hub, token) = {
        let this = slf.try_borrow()?;
        (Arc::clone(&this.hub), this.token)
    };
    hub.enlist(token, Party::Http(slf.clone().unbind()));
    Ok(())
}
