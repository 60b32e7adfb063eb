//! How long the worker's side of a request takes: a bare application, and Flask where the interpreter has it.
//!
//! This program plays the front, on the same thread: it fills slots with a request, lets the worker run them, and drops the responses. Only
//! the worker's part is timed. Run: `cargo bench -p pelton-py --bench hello [-- ROUNDS CASE]`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use pelton_link::request::BodyParts;
use pyo3::prelude::*;
use support::{Request, Stage};

const BATCH: usize = 64;

const BARE: &str = "
def app(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '13')])
    return [b'Hello, world!']
";

const FLASK: &str = "
from flask import Flask
app = Flask('bench')
@app.get('/')
def index():
    return 'Hello, world!'
";

fn main() {
    let rounds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(20_000);
    let wanted = std::env::args().skip(1).find(|argument| argument.starts_with(char::is_alphabetic));
    let few: &[(&str, &str)] = &[("Host", "localhost:8000")];
    let browser: &[(&str, &str)] = &[
        ("Host", "localhost:8000"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Connection", "keep-alive"),
        ("Cookie", "session=eyJ1c2VyIjoxfQ.ZxYzAb.4h2kq3yq; theme=dark"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("X-Something-Own", "1"),
    ];
    for (name, source, fields) in
        [("bare, 1 field", BARE, few), ("bare, 11 fields", BARE, browser), ("Flask, 1 field", FLASK, few)]
    {
        if wanted.as_ref().is_some_and(|wanted| !name.starts_with(wanted.as_str())) {
            continue;
        }
        Python::attach(|py| match Stage::try_new(py, source) {
            Ok(mut stage) => {
                let rounds = if name.starts_with("Flask") { rounds / 10 } else { rounds };
                measure(py, &mut stage, fields, rounds / 10);
                let best = (0..5).map(|_| measure(py, &mut stage, fields, rounds)).min().unwrap();
                println!("{name}: {} ns per request", best.as_nanos());
                let direct = (0..5).map(|_| call_only(py, &stage, rounds * BATCH)).min().unwrap();
                println!("  of which the application called from Python: {} ns", direct.as_nanos());
            }
            Err(error) => println!("{name}: left out ({error})"),
        });
    }
}

fn measure(py: Python<'_>, stage: &mut Stage, fields: &[(&str, &str)], rounds: usize) -> Duration {
    let mut spent = Duration::ZERO;
    stage.with_runner(py, |stage, runner| {
        for round in 0..rounds {
            for at in 0..BATCH {
                // As a load generator does: some connections, one client.
                let port = 40_000 + (round * BATCH + at) as u16 % 64;
                stage.submit(&Request { fields, port, body: BodyParts::None, ..Request::get("/") });
            }
            let began = Instant::now();
            while let Some(taken) = stage.end().take() {
                runner.run_guarded(taken).unwrap();
            }
            spent += began.elapsed();
            stage.drop_responses();
        }
    });
    spent / (rounds * BATCH) as u32
}

/// The application's own share, called in a loop of Python with a start_response that does nothing.
fn call_only(py: Python<'_>, stage: &Stage, calls: usize) -> Duration {
    let driver = cr#"
import time
def drive(app, calls):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "x",
               "SERVER_PORT": "80", "HTTP_HOST": "x", "wsgi.url_scheme": "http", "SERVER_PROTOCOL": "HTTP/1.1"}
    def start_response(status, headers, exc_info=None):
        pass
    repeat = [None] * calls
    began = time.perf_counter_ns()
    for _ in repeat:
        result = app(environ, start_response)
    return (time.perf_counter_ns() - began) // calls
"#;
    let module = PyModule::from_code(py, driver, c"drive.py", c"drive").unwrap();
    let calls = calls / 10;
    let nanoseconds: u64 =
        module.getattr("drive").unwrap().call1((stage.application(py), calls)).unwrap().extract().unwrap();
    Duration::from_nanos(nanoseconds)
}
