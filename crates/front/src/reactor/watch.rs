//! When the front looks again at what sends no event. Times are `now_ms`. Runs on the front's thread.

use std::time::Duration;

use crate::settings::Settings;

/// See the module's head.
pub(crate) struct Watch {
    /// After which time in a slot a request is looked at: it has waited too long for a thread, or has run too long.
    pub(crate) first_look: Duration,
    /// When workers are to be looked at.
    pub(crate) workers_at: u64,
    /// When it is to be looked how much is in use; None: when somebody asks.
    pub(crate) load_at: Option<u64>,
    /// When memory is to be given back.
    pub(crate) memory_at: u64,
}

impl Watch {
    pub(crate) fn new(settings: &Settings) -> Self {
        let first_look =
            settings.request_time.map_or(settings.queue_time, |time| time.min(settings.queue_time));
        Watch { first_look, workers_at: 0, load_at: None, memory_at: 0 }
    }
}
