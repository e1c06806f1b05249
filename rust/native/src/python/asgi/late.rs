//! Messages that an app sends after its client has left.
//!
//! ASGI has `send` raise an OSError then. An app that a message of its own wakes (Channels, by its layer) meets that before it
//! comes to the disconnect, and its clean-up never runs. So `send_after_disconnect = ignore` drops such messages, as daphne
//! does. Whether the app has received the disconnect does not count: Channels receives it in a task of its own, and comes to
//! it when the handler that sends has ended.

use super::hub::Hub;
use crate::sys;

/// The late messages of one request or WebSocket.
#[derive(Default)]
pub struct LateSends {
    /// When the first was ignored (monotonic ns).
    since: Option<u64>,
}

impl LateSends {
    /// Whether one more is ignored. That ends after `disconnect_grace`, since an app that never receives must end some time.
    pub fn is_ignored(&mut self, hub: &Hub) -> bool {
        let settings = &hub.core.settings;
        if !settings.ignores_late_sends {
            return false;
        }
        let now = sys::monotonic_ns();
        let since = *self.since.get_or_insert(now);
        settings.disconnect_grace == 0 || now.saturating_sub(since) <= settings.disconnect_grace
    }
}
