//! What comes of an application that is written as the body of one function: its response, and what was reported of it.

use pyo3::prelude::*;

use crate::support::{Request, Response, Stage};

/// `app` calls `start(start_response)` and returns `Pieces(...)`, which counts how often it is closed.
const TOOLS: &str = "
import sys
closed = 0
class Pieces:
    def __init__(self, pieces, in_close=None):
        self.pieces, self.in_close = iter(pieces), in_close
    def __iter__(self):
        return self.pieces
    def close(self):
        global closed
        closed += 1
        if self.in_close: raise self.in_close
def error():
    try:
        raise LookupError('first')
    except LookupError:
        return sys.exc_info()
OK = '200 OK'
";

pub fn stage(py: Python<'_>, body: &str) -> Stage {
    let indented: String = body.lines().map(|line| format!("    {line}\n")).collect();
    Stage::new(py, &format!("{TOOLS}\ndef app(environ, start_response):\n{indented}"))
}

pub struct Outcome {
    pub response: Response,
    pub failures: Vec<String>,
    pub misuses: Vec<String>,
    pub closed: usize,
}

pub fn ask(py: Python<'_>, body: &str, method: &str) -> Outcome {
    let mut stage = stage(py, body);
    let response = stage.run(py, &Request { method, ..Request::get("/") });
    // The next request on the same thread must not feel what happened in this one.
    let again = stage.run(py, &Request { method, ..Request::get("/") });
    if !body.contains("global") {
        assert_eq!(response, again);
    }
    Outcome {
        response,
        failures: stage.eval(py, "observer.failures[:(len(observer.failures) + 1) // 2]"),
        misuses: stage.eval(py, "observer.misuses[:(len(observer.misuses) + 1) // 2]"),
        closed: stage.eval::<usize>(py, "closed"),
    }
}

pub fn get(body: &str) -> Outcome {
    Python::attach(|py| ask(py, body, "GET"))
}

pub fn head(body: &str) -> Outcome {
    Python::attach(|py| ask(py, body, "HEAD"))
}

impl Outcome {
    #[track_caller]
    pub fn is_fine(&self, status: u16, body: &str) {
        assert_eq!((self.response.status, self.response.broken), (status, false));
        assert_eq!(String::from_utf8_lossy(&self.response.body), body);
        assert!(
            self.failures.is_empty() && self.misuses.is_empty(),
            "{:?} {:?}",
            self.failures,
            self.misuses
        );
    }

    #[track_caller]
    pub fn is_error(&self, failure: &str) {
        assert_eq!((self.response.status, self.response.broken), (500, false), "{:?}", self.failures);
        assert_eq!(self.response.body, b"Internal Server Error");
        assert!(self.response.fields.contains(&("Content-Length".into(), "21".into())));
        self.failed_with(failure);
    }

    #[track_caller]
    pub fn is_cut(&self, failure: &str) {
        assert!(self.response.broken);
        self.failed_with(failure);
    }

    #[track_caller]
    pub fn failed_with(&self, failure: &str) {
        assert_eq!(self.failures.len(), 1, "{:?}", self.failures);
        assert!(self.failures[0].contains(failure), "{:?}", self.failures);
    }
}
