//! Requests that take too long: found, interrupted, and nobody else with them.
#![allow(clippy::unwrap_used, reason = "failing is how a test reports")]

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pelton_link::{Phase, Why, coarse_ms};
use pyo3::prelude::*;
use support::Stage;
use support::beside::{ask, until, value, wait_for};

const TIMEOUT: &str = r#"
class Timeout(BaseException): pass
ended = []
"#;

/// [`support::beside::beside`] with what these applications share.
fn beside(source: &str, front: impl FnOnce(&mut Stage)) {
    support::beside::beside(&format!("{TIMEOUT}{source}"), front);
}

fn failures(stage: &Stage) -> Vec<(String, String)> {
    value(stage, "observer.failures")
}

fn next_overdue(stage: &Stage, timeout: f64) -> Option<Py<PyAny>> {
    Python::attach(|py| {
        let found = stage.worker(py).call_method1(py, "next_overdue", (timeout,)).unwrap();
        (!found.is_none(py)).then_some(found)
    })
}

fn interrupt(stage: &Stage, overdue: &Py<PyAny>) -> bool {
    Python::attach(|py| {
        let exception: Bound<'_, PyAny> = stage.eval(py, "Timeout");
        stage.worker(py).call_method1(py, "interrupt", (overdue, exception)).unwrap().extract(py).unwrap()
    })
}

/// The next request on a thread that was interrupted runs as if nothing had been.
fn assert_unharmed(stage: &mut Stage) {
    for _ in 0..20 {
        let slot = ask(stage, "/quick");
        until(|| stage.half.end.is_done(slot));
        let response = stage.read_finished(slot);
        assert_eq!((response.status, response.broken), (200, false));
    }
}

const LOOPS: &str = r#"
def app(environ, start_response):
    if environ['PATH_INFO'] != '/quick':
        entered.set()
        while True: pass
    start_response('200 OK', [])
    return [b'ok']
"#;

#[test]
fn a_request_in_a_loop_is_found_once_and_ended() {
    beside(LOOPS, |stage| {
        assert!(next_overdue(stage, 0.0).is_none());
        let slot = ask(stage, "/loop/ä?secret");
        wait_for(stage, "entered");
        stage.half.end.abandon(slot, Why::Gone);
        assert!(next_overdue(stage, 0.0).is_none(), "its client has gone, which is no reason to end it");
        stage.half.end.abandon(slot, Why::Overdue);
        let overdue = next_overdue(stage, 20.0).unwrap();
        Python::attach(|py| {
            let get = |name: &str| overdue.getattr(py, name).unwrap();
            let text = |name: &str| get(name).extract::<String>(py).unwrap();
            assert_eq!(
                (text("method"), text("path"), text("client")),
                ("GET".into(), "/loop/ä".into(), "127.0.0.1".into())
            );
            assert!((0.0..20.0).contains(&get("age").extract::<f64>(py).unwrap()));
            let thread: u64 = get("thread").extract(py).unwrap();
            assert!(stage.eval::<Vec<u64>>(py, "list(sys._current_frames())").contains(&thread));
        });
        assert!(next_overdue(stage, 0.0).is_none(), "each is found once");
        assert!(!stage.half.end.is_done(slot), "to be found is not to be interrupted");
        assert!(interrupt(stage, &overdue));
        until(|| stage.half.end.is_done(slot));
        assert!(!interrupt(stage, &overdue), "it is over");
        assert!(stage.half.end.release(slot));
        assert_eq!(failures(stage), [("/loop/Ã¤".to_owned(), "Timeout".to_owned())]);
        assert_unharmed(stage);
    });
}

const NO_BYTECODE: &str = r#"
pieces = queue.SimpleQueue()
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/quick': return [b'ok']
    entered.set()
    return iter(pieces.get, b'')
"#;

#[test]
fn an_exception_that_came_too_late_to_be_raised_hits_nobody() {
    beside(NO_BYTECODE, |stage| {
        for round in 0..20 {
            let slot = ask(stage, "/in-c");
            wait_for(stage, "entered");
            stage.half.end.abandon(slot, Why::Overdue);
            let overdue = next_overdue(stage, 20.0).unwrap();
            assert!(interrupt(stage, &overdue), "round {round}");
            Python::attach(|py| stage.eval::<Option<bool>>(py, "(entered.clear(), pieces.put(b''))[1]"));
            until(|| stage.half.end.is_done(slot));
            assert!(stage.half.end.release(slot));
            assert_unharmed(stage);
        }
        assert_eq!(failures(stage), []);
    });
}

const SWALLOWS: &str = r#"
class Pieces:
    def __iter__(self):
        yield b''
    def close(self):
        entered.set()
        while not go.is_set(): pass
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/quick': return [b'ok']
    if environ['PATH_INFO'] == '/close': return Pieces()
    try:
        entered.set()
        while True: pass
    except Timeout:
        ended.append('caught')
        while not go.is_set(): pass
    return [b'late']
"#;

#[test]
fn who_swallows_the_exception_is_not_interrupted_again() {
    beside(SWALLOWS, |stage| {
        let slot = ask(stage, "/swallow");
        wait_for(stage, "entered");
        stage.half.end.abandon(slot, Why::Overdue);
        let overdue = next_overdue(stage, 20.0).unwrap();
        assert!(interrupt(stage, &overdue) && !interrupt(stage, &overdue));
        until(|| Python::attach(|py| stage.eval::<usize>(py, "len(ended)")) == 1);
        assert!(next_overdue(stage, 0.0).is_none() && !interrupt(stage, &overdue));
        Python::attach(|py| stage.eval::<Option<bool>>(py, "go.set()"));
        until(|| stage.half.end.release(slot));
        assert_eq!(failures(stage), []);
        assert_unharmed(stage);
    });
}

#[test]
fn close_is_still_the_application() {
    beside(SWALLOWS, |stage| {
        let slot = ask(stage, "/close");
        wait_for(stage, "entered");
        stage.half.end.abandon(slot, Why::Overdue);
        let overdue = next_overdue(stage, 20.0).unwrap();
        assert!(interrupt(stage, &overdue));
        until(|| stage.half.end.release(slot));
        assert_eq!(failures(stage), [("/close".to_owned(), "Timeout".to_owned())]);
        assert_unharmed(stage);
    });
}

const REPORTS: &str = r#"
def failed(self, environ, error):
    entered.set()
    while not go.is_set(): pass
    self.failures.append((environ['PATH_INFO'], type(error).__name__))
Observer.failed = failed
def app(environ, start_response):
    if environ['PATH_INFO'] == '/fails': raise ValueError
    start_response('200 OK', [])
    return [b'ok']
"#;

#[test]
fn our_own_report_is_not_torn() {
    beside(REPORTS, |stage| {
        let slot = ask(stage, "/fails");
        wait_for(stage, "entered");
        stage.half.end.abandon(slot, Why::Overdue);
        assert!(next_overdue(stage, 0.0).is_none());
        Python::attach(|py| stage.eval::<Option<bool>>(py, "go.set()"));
        until(|| stage.half.end.release(slot));
        assert_eq!(failures(stage), [("/fails".to_owned(), "ValueError".to_owned())]);
    });
}

const STORM: &str = r#"
sys.setswitchinterval(0.00001)
work = 3000
def app(environ, start_response):
    for number in range(hash(environ['PATH_INFO']) % work): pass
    start_response('200 OK', [('Content-Length', '2')])
    if environ['PATH_INFO'].endswith('g'): return (b'k' for _ in range(2))
    return [b'ok']
"#;

#[test]
fn in_a_storm_of_interrupts_only_the_overdue_are_hit() {
    beside(STORM, |stage| {
        let mut abandoned = HashSet::new();
        let over = AtomicBool::new(false);
        let (worker, exception) =
            Python::attach(|py| (stage.worker(py), stage.eval::<Bound<'_, PyAny>>(py, "Timeout").unbind()));
        let hits = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    Python::attach(|py| {
                        let found = worker.call_method1(py, "next_overdue", (0.001,)).unwrap();
                        if !found.is_none(py) {
                            let hit = worker.call_method1(py, "interrupt", (found, &exception)).unwrap();
                            hits.fetch_add(hit.extract::<bool>(py).unwrap().into(), Ordering::SeqCst);
                        }
                    });
                }
            });
            // Few arrive while the request still runs: as many as it takes, within reason.
            for number in 0..100_000 {
                if number > 3000 && hits.load(Ordering::SeqCst) > 50 {
                    break;
                }
                if number % 3000 == 2999 && hits.load(Ordering::SeqCst) == 0 {
                    // Whether an interrupt comes in time is a matter of what else the machine does.
                    Python::attach(|py| {
                        let work: u64 = stage.eval(py, "work");
                        stage.define(py, "work", 4 * work);
                    });
                }
                let path = format!("/{number}{}", if number % 2 == 0 { "g" } else { "" });
                let slot = ask(stage, &path);
                if number % 3 != 0 {
                    // At any point of its life, so that every step meets an interrupt sooner or later.
                    until(|| stage.half.end.phase(slot) != Some(Phase::Ready));
                    for _ in 0..number % 97 {
                        std::hint::spin_loop();
                    }
                    stage.half.end.abandon(slot, Why::Overdue);
                    abandoned.insert(path.clone());
                }
                until(|| stage.half.end.is_done(slot));
                let response = stage.read_finished(slot);
                assert!(
                    abandoned.contains(&path) || (response.status, response.broken) == (200, false),
                    "{path}"
                );
            }
            over.store(true, Ordering::SeqCst);
        });
        let hits = hits.into_inner();
        let failures = failures(stage);
        assert!(
            failures.iter().all(|(path, what)| abandoned.contains(path) && what == "Timeout"),
            "{failures:?}"
        );
        assert!(!failures.is_empty() && failures.len() <= hits, "{} of {hits} arrived", failures.len());
    });
}

#[test]
fn the_watch_is_the_heart_and_returns_in_time() {
    beside(LOOPS, |stage| {
        let before = coarse_ms();
        assert_eq!(stage.half.end.heartbeat_ms(), 0);
        let began = Instant::now();
        assert!(next_overdue(stage, 0.05).is_none());
        assert!(began.elapsed() >= Duration::from_millis(50));
        assert!((before..=coarse_ms()).contains(&stage.half.end.heartbeat_ms()));
        Python::attach(|py| {
            let worker = stage.worker(py);
            assert!(worker.call_method1(py, "next_overdue", (f64::NAN,)).is_err());
        });
    });
}
