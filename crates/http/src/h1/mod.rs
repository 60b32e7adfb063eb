//! HTTP/1.0 and HTTP/1.1: the receiving half ([`connection`], `parse`, `scan`, `body`) and the sending half ([`encode`]).
//!
//! Imports run one way: `connection` decides what comes next and asks `parse` and `scan` for heads and `body` for chunk
//! lines; none of them knows the connection. `encode` knows none of them.

pub(crate) mod body;
pub mod connection;
pub mod encode;
pub(crate) mod parse;
pub(crate) mod scan;
pub(crate) mod status;
