//! The front: owns listeners and clients' connections, speaks HTTP, and hands complete requests over a link.
//!
//! A native thread without the GIL and without a line of application code. From below: `transport`, how a client's bytes travel, and listeners;
//! `exchange`, one request and its response; `connection`, a client and the protocol it speaks; `scheduling`, which worker gets what; `access`,
//! `metrics` and `statsd`, what is noted; `front`, all that the thread owns. Above that, functions on it: `clients`, `requests`, `handlers`, `response`,
//! `websockets`, and `event_loop`, which calls them in turn. `handle` is the door for the embedding process, `simulation` plays all of it without
//! sockets and clocks.
#![deny(missing_docs)]

mod access;
mod cache;
mod clients;
mod compression;
mod connection;
mod control;
mod counters;
mod datagrams;
mod edge;
mod event_loop;
mod exchange;
mod forwarding;
mod front;
mod handle;
mod handlers;
mod helpers;
mod ids;
pub mod memory;
mod metrics;
mod notices;
mod obituary;
mod paths;
mod random;
mod rate_limits;
mod reactor;
mod recording;
mod requests;
mod response;
mod saturation;
mod scheduling;
mod sent_file;
mod settings;
mod site;
mod static_files;
mod statsd;
mod system;
mod table;
mod transport;
mod websockets;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use compression::CompressionSettings;
pub use control::{AdminResponse, Challenges, Common};
pub use edge::hosts::HostPattern;
pub use edge::{AccessRule, EdgeSettings, ErrorPage, FieldRules};
pub use forwarding::Proxies;
pub use handle::{FrontHandle, start};
pub use notices::{Asked, Level, News, Notice};
pub use paths::Streams;
pub use rate_limits::RateRule;
pub use scheduling::path_limits::{PathLimit, PathRule};
pub use scheduling::self_call::{LocalCall, LocalCalls, SelfCallPolicy};
pub use scheduling::worker_link::WorkerLink;
pub use settings::{Composed, HandshakeSettings, Rules, Settings, Source, StatsdSettings};
pub use static_files::StaticSettings;
pub use transport::listener::{ListenerSettings, Protocol, Role};
pub use transport::origin::Origin;
pub use transport::tls::Encryption;
