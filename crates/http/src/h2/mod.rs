//! HTTP/2 (RFC 9113) without I/O: bytes and the time in, events and bytes out.
//!
//! ```text
//!   bytes ──► connection ──► frame, hpack::decode, request ──► Event, Head
//!                 │  streams, flow, budget (what a client may do, and how often)
//!   bytes ◄── sending ◄── response, hpack::encode, frame ◄── heads, data, ends, resets
//! ```
//!
//! Imports run one way: `connection` and `sending` know all the others, and those know neither them nor each other, except that all may
//! use `frame`. What a request or a response may say is not decided here but in `request_policy` and `response`, which HTTP/1
//! shares.
//!
//! **Every bound has a name.** What a client may cost is limited by [`Bounds`], each with an entry of its own in [`Fault`]; a stream
//! counts until the exchange behind it is over ([`Connection::release`]), not until the client has lost interest in it.

mod bounds;
mod budget;
pub mod connection;
mod fault;
mod flow;
pub mod frame;
mod hpack;
mod priority;
mod request;
mod response;
mod sending;
mod settings;
mod stream;
pub mod websocket;

pub use bounds::Bounds;
pub use connection::{Connection, Event, PREFACE, Step};
pub use fault::Fault;
pub use frame::ErrorCode;
