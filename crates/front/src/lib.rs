//! The front: owns listeners and clients' connections, speaks HTTP, and hands complete requests over a link.
//!
//! A native thread without the GIL and without a line of application code. Read `event_loop` first, then `receive` and `respond`; `exchange`
//! has the states a request goes through, `dispatch` the way to the worker.
#![deny(missing_docs)]

mod accept;
mod access_record;
mod body;
mod close;
mod connection;
mod connection_table;
mod control;
mod counters;
mod dispatch;
mod event_loop;
mod exchange;
mod gather;
mod listener;
mod notices;
mod output;
mod own_answer;
mod receive;
mod respond;
mod settings;
mod timers;

pub use control::{FrontHandle, start};
pub use notices::{Level, Notice};
pub use settings::Settings;
