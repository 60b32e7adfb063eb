//! The front: owns listeners and clients' connections, speaks HTTP, and hands complete requests over a link.
//!
//! A native thread without the GIL and without a line of application code. Read `event_loop` first, then `receive` and `respond`; `exchange`
//! has the states a request goes through, `dispatch` the way to the worker.
#![deny(missing_docs)]

mod accept;
mod access_clock;
mod access_envelope;
mod access_format;
mod access_line;
mod access_log;
mod access_output;
mod access_record;
mod access_text;
mod access_trace;
mod affinity;
mod ask;
mod backlog;
mod body;
mod close;
mod connection;
mod connection_table;
mod control;
mod counters;
mod deadlines;
mod departures;
mod dispatch;
mod drain;
mod event_loop;
mod exchange;
mod forwarding;
mod gather;
mod health;
mod listener;
mod notices;
mod noting;
mod obituary;
mod offers;
mod orders;
mod output;
mod own_answer;
mod rates;
mod receive;
mod request_ids;
mod respond;
mod self_call;
mod settings;
mod spool;
mod staying;
mod streaming;
mod timers;
mod upload;
mod worker_link;

#[cfg(test)]
mod tests;

pub use control::{Common, FrontHandle, start};
pub use forwarding::Proxies;
pub use notices::{Level, News, Notice};
pub use self_call::{LocalCall, LocalCalls, Origin, SelfCallPolicy};
pub use settings::Settings;
pub use upload::Streams;
pub use worker_link::WorkerLink;
