//! HTTP/1.0 and HTTP/1.1: the receiving half ([`connection`], `parse`, `body`) and the sending half ([`encode`]).
//!
//! Imports run one way: `connection` decides what comes next and asks `parse` for heads and `body` for chunk lines;
//! neither of them knows the connection. `encode` knows none of the three.

pub(crate) mod body;
pub mod connection;
pub mod encode;
pub(crate) mod parse;
pub(crate) mod status;
