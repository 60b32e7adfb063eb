//! What is kept of requests: the access log, statsd, metrics, and the records and ids that these need.
//!
//! Owns the state; `request_records` and `metering` fill it. Costs nothing where none of it is wanted. Runs on the front's thread.

pub(crate) mod metering;
pub(crate) mod request_records;

use std::io;

use crate::access::log::AccessLog;
use crate::access::record::Records;
use crate::access::request_ids::RequestIds;
use crate::metrics::Meter;
use crate::settings::Settings;
use crate::statsd::sender::Statsd;

/// See the module's head.
pub(crate) struct Recording {
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) statsd: Option<Statsd>,
    /// What is counted of requests; None without an admin listener, where nobody could ask.
    pub(crate) meter: Option<Box<Meter>>,
    /// Whether anything is to be recorded of requests, and whether of how they end; see `request_records`.
    pub(crate) wants_requests: bool,
    pub(crate) wants_ends: bool,
    pub(crate) records: Records,
    pub(crate) ids: RequestIds,
    /// The head of a request with its id behind it; reused.
    pub(crate) identified: Vec<u8>,
}

impl Recording {
    pub(crate) fn new(settings: &Settings, has_admin: bool) -> io::Result<Self> {
        Ok(Recording {
            access_log: AccessLog::new(settings.access_log)?,
            statsd: Statsd::new(&settings.statsd)?,
            meter: has_admin.then(Box::default),
            wants_requests: false,
            wants_ends: false,
            records: Records::default(),
            ids: RequestIds::new(),
            identified: Vec::new(),
        })
    }
}
