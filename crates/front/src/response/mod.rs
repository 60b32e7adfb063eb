//! Responses: from their source through filters and framing to the transport.
//!
//! ```text
//!   source: a worker's ring (`pass`), the front itself (`own`)
//!      └► filters (`filters`; none for most)
//!           └► framing: HTTP/1 text and chunks (`pelton_http::h1::encode`), or frames of HTTP/2
//!                └► the exchange's output (what is not taken at once) ► the connection's transport
//! ```
//!
//! Runs on the front's thread. A response that the socket takes at once is never copied except for small pieces that are gathered into one
//! write; of what the socket does not take, a bounded part is kept so that the worker's thread is free again.

pub(crate) mod attached;
pub(crate) mod beside;
pub(crate) mod filters;
pub(crate) mod gather;
pub(crate) mod head;
pub(crate) mod interim;
pub(crate) mod own;
pub(crate) mod own_body;
pub(crate) mod pass;
pub(crate) mod pump;
pub(crate) mod reading;
pub(crate) mod respond;
