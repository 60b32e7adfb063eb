//! The native module `pelton._engine`: the border between Python and the rest.
//!
//! Thin on purpose: configuration goes in as one object, requests go to the application and its responses to the link, errors are
//! mapped in both directions. Decisions about protocol, queues and time are made in `pelton_front`, about threads in
//! `pelton_link`. Panics do not cross: each request runs inside a guard that ends it, see `worker`.
//!
//! Reading order: `worker` (the loop of a thread), `request_runner` and `call` (one request from slot to slot), `request`, `names` and
//! `strings` (environ), `start_response`, `responder`, `shared_response`, `response`, `uncopied` and `head` (the response), `input`, `body`
//! and `stream` (wsgi.input), `file_wrapper`, `errors`. `fork` is for children that come back, `client_socket` for WebSockets, `green` and
//! `pauses` for greenlets; `client_gone`, `interrupt` and `overdue` for requests whose response nobody waits for. Beside them stand `link`,
//! `front` and `process`. The crate is a library as well, so that its tests can play the front: they are the only users of what is public here.

mod body;
mod builtin;
mod call;
mod client_gone;
mod client_socket;
mod errors;
mod file_ranges;
mod file_wrapper;
mod fork;
mod front;
mod front_settings;
mod green;
mod head;
mod input;
mod interrupt;
mod link;
mod names;
mod notice;
mod overdue;
mod pauses;
mod process;
mod processor_time;
mod rate;
mod request;
mod request_runner;
mod responder;
mod response;
mod route;
mod shared_response;
mod start_response;
mod stream;
mod strings;
mod system;
mod tls;
mod uncopied;
mod worker;

pub use client_socket::SocketOffer;
pub use front::Front;
pub use link::Link;
pub use notice::Notice;
pub use overdue::Overdue;
pub use rate::Rate;
pub use request_runner::RequestRunner;
pub use worker::Worker;

use pyo3::prelude::*;

/// Types of this module are described in `_engine.pyi`.
#[pymodule(gil_used = false)]
#[pyo3(name = "_engine")]
mod engine {
    #[pymodule_export]
    use super::Front;
    #[pymodule_export]
    use super::Link;
    #[pymodule_export]
    use super::Notice;
    #[pymodule_export]
    use super::Overdue;
    #[pymodule_export]
    use super::Rate;
    #[pymodule_export]
    use super::SocketOffer;
    #[pymodule_export]
    use super::Worker;
    #[pymodule_export]
    use super::fork::KeptDescriptor;
    #[pymodule_export]
    use super::fork::Origin;
    #[pymodule_export]
    use super::process::adopt_orphans;
    #[pymodule_export]
    use super::process::body_memory;
    #[pymodule_export]
    use super::process::die_with_parent;
    #[pymodule_export]
    use super::process::link_memory;
    #[pymodule_export]
    use super::process::own_signal;
    #[pymodule_export]
    use super::tls::Certificate;
    #[pymodule_export]
    use super::tls::TicketKeys;
    #[pymodule_export]
    use super::tls::Tls;
    #[pymodule_export]
    use super::tls::make_certificate;
    #[pymodule_export]
    use super::tls::make_challenge_certificate;
    #[pymodule_export]
    use super::tls::read_certificates;

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("IncompleteBodyError", module.py().get_type::<super::errors::IncompleteBodyError>())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
