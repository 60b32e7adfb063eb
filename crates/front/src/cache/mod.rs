//! The memory of the response cache. What may be kept and reused decides `pelton_http::caching`.

pub(crate) mod store;
