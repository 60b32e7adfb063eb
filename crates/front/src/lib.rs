//! The front: owns listeners and clients' connections, speaks HTTP, and hands complete requests over a link.
//!
//! A native thread without the GIL and without a line of application code. The rooms: `event_loop`, the one thread and
//! everything it does in a turn; `transport`, how a client's bytes travel, and listeners; `connection`, a client and the
//! protocol it speaks; `exchange`, one request and its response; `response`, from its source through filters and framing;
//! `scheduling`, which worker gets what; `access`, `metrics` and `statsd`, what is noted. `control` is the door for the embedding
//! process, `simulation` plays all of it without sockets and clocks.
#![deny(missing_docs)]

mod access;
mod cache;
mod compression;
mod connection;
mod control;
mod counters;
mod datagrams;
mod edge;
mod event_loop;
mod exchange;
mod forwarding;
mod helpers;
pub mod memory;
mod metrics;
mod notices;
mod obituary;
mod rate_limits;
mod reactor;
mod response;
mod saturation;
mod scheduling;
mod sent_file;
mod settings;
mod static_files;
mod statsd;
mod system;
mod table;
mod transport;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use compression::CompressionSettings;
pub use control::{AdminResponse, Common, FrontHandle, start};
pub use edge::hosts::HostPattern;
pub use edge::{AccessRule, EdgeSettings, ErrorPage, FieldRules};
pub use event_loop::redirect::Challenges;
pub use event_loop::upload::Streams;
pub use forwarding::Proxies;
pub use notices::{Asked, Level, News, Notice};
pub use rate_limits::RateRule;
pub use scheduling::path_limits::{PathLimit, PathRule};
pub use scheduling::self_call::{LocalCall, LocalCalls, SelfCallPolicy};
pub use scheduling::worker_link::WorkerLink;
pub use settings::{HandshakeSettings, Rules, Settings, StatsdSettings};
pub use static_files::StaticSettings;
pub use transport::Origin;
pub use transport::listener::{ListenerSettings, Protocol, Role};
pub use transport::tls::Encryption;
