//! How a response ends that its app would continue for ever: the client has left, or the worker drains.
//!
//! An app learns of both by `http.disconnect`. An app that does not wait in `receive()` meanwhile would never hear it: its
//! task is cancelled, after `disconnect_grace` where the client has left, at the end of the drain otherwise.

use super::{HttpExchange, Stage};
use crate::core::Finished;
use pyo3::prelude::*;
use std::sync::Arc;

impl HttpExchange {
    fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Started | Stage::Streaming | Stage::Trailers)
    }

    /// The worker drains, and this response would take a time that is unknown. One with a Content-Length will end.
    pub(super) fn is_dismissed(&self) -> bool {
        self.hub.ends_streams() && self.has_begun() && self.exchange.declared().is_none()
    }

    /// Ends a response whose app has ended because of the drain. Server-sent events are whole at any moment; of other
    /// streams the client must be able to tell that something is missing.
    pub(super) fn end_dismissed(&mut self) -> Finished {
        let hub = Arc::clone(&self.hub);
        let _ = self.exchange.push(&hub.core); // nothing follows
        let mut done = match self.exchange.is_event_stream() {
            true => self.exchange.end(&hub.core),
            false => self.exchange.abort(),
        };
        done.keep_alive = false;
        done
    }

    /// The client has left while the response is under way: looks after `disconnect_grace` whether the app knows.
    pub(super) fn watch_leaver(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (hub, grace) = {
            let mut this = slf.try_borrow_mut()?;
            let grace = this.hub.core.settings.disconnect_grace;
            if grace == 0 || !this.left || this.told || !this.has_begun() || this.leaver.is_some() {
                return Ok(());
            }
            this.leaver = Some(this.exchange.sent());
            (Arc::clone(&this.hub), grace)
        };
        hub.call_later(slf.py(), grace, slf.getattr("look_after_leaver")?)
    }

    /// `disconnect_grace` has passed: cancels a task that has not heard of it. A client that only sends no more (a half
    /// close, RFC 9293 3.6) and takes what the app goes on to send is looked at again.
    pub(super) fn look_after(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let mut this = slf.try_borrow_mut()?;
        let before = this.leaver.take();
        let Some(task) = this.task.as_ref().map(|task| task.clone_ref(py)) else {
            return Ok(());
        };
        if this.told || !this.has_begun() {
            return Ok(());
        }
        let takes_more = before.is_some_and(|before| this.exchange.sent() > before);
        if takes_more && !this.exchange.is_gone() && !this.hub.core.is_gone(this.token) {
            drop(this);
            return Self::watch_leaver(slf);
        }
        this.is_ended_by_us = true;
        let cancel = this.hub.words.cancel.clone_ref(py);
        drop(this);
        task.bind(py).call_method0(&cancel).map(drop)
    }
}
