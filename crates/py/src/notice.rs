//! The class `Notice`: something the front wants a person or the supervisor to know.

use std::net::SocketAddr;

use pelton_front::{Level, LocalCall, News, Origin};
use pyo3::prelude::*;

/// An address and a port.
type Address = (String, u16);
/// A request's number, the process at the other end of its connection, or the addresses of both ends.
type Call = (u64, Option<u32>, Option<(Address, Address)>);

/// Something the front wants a person to know.
#[pyclass(frozen, module = "pelton._engine")]
pub struct Notice {
    pub(crate) notice: pelton_front::Notice,
}

#[pymethods]
impl Notice {
    /// How serious it is: "debug", "info", "warning" or "error".
    #[getter]
    fn level(&self) -> &'static str {
        match self.notice.level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }

    /// What happened, where, what to do; empty when there is only an event.
    #[getter]
    fn message(&self) -> &str {
        &self.notice.message
    }

    /// What happened to a worker, if that is it.
    #[getter]
    fn event(&self) -> Option<&'static str> {
        if self.notice.question.is_some() {
            return Some("waiting");
        }
        self.notice.news.map(|(news, _)| match news {
            News::Added => "added",
            News::Quiet => "quiet",
            News::Spent => "spent",
            News::Stuck => "stuck",
            News::Frozen => "frozen",
        })
    }

    /// A request on an admin listener that is to be responded to: number, method, path, query, what is accepted, and
    /// what the front knows, as JSON.
    #[getter]
    fn asked(&self) -> Option<(u64, &str, &str, &str, &str, &str)> {
        let one = self.notice.asked.as_deref()?;
        Some((one.number, &one.method, &one.path, &one.query, &one.accept, &one.state))
    }

    /// The worker that it happened to.
    #[getter]
    fn worker(&self) -> Option<u64> {
        self.notice.news.map(|(_, worker)| worker)
    }

    /// Requests that wait and were made on this machine: number, and either the process at the other end or the addresses of both ends.
    #[getter]
    fn local_calls(&self) -> Vec<Call> {
        let described = |call: &LocalCall| match call.origin {
            Origin::Process(pid) => (call.number, Some(pid), None),
            Origin::Tcp(peer, own) => {
                let parts = |address: SocketAddr| (address.ip().to_string(), address.port());
                (call.number, None, Some((parts(peer), parts(own))))
            }
        };
        self.notice.question.iter().flat_map(|question| &question.calls).map(described).collect()
    }

    /// The processes of all workers, where there are such requests.
    #[getter]
    fn processes(&self) -> Vec<u32> {
        self.notice.question.iter().flat_map(|question| &question.workers).copied().collect()
    }
}
