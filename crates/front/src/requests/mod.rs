//! From bytes to requests, and from requests to workers: heads, bodies, what the front itself has to say first, the queue. Runs on the front's thread.

pub(crate) mod begin;
pub(crate) mod bodies;
pub(crate) mod dispatching;
pub(crate) mod edge_rules;
pub(crate) mod edge_settings;
pub(crate) mod limiting;
pub(crate) mod proxy_header;
pub(crate) mod receive;
pub(crate) mod seen_as;
pub(crate) mod streaming;
pub(crate) mod upload_ends;
pub(crate) mod upload_window;
pub(crate) mod uploads;
