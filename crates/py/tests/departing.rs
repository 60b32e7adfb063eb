//! Clients who go: what the application learns, and responses without an end that nobody waits for.
#![allow(clippy::unwrap_used, reason = "failing is how a test reports")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pelton_link::{Phase, Why};
use pyo3::prelude::*;
use support::beside::{ask, until, value, wait_for};
use support::{Request, Response, Stage};

const GONE: &str = r#"
class Gone(BaseException): pass
log = []
"#;

/// [`support::beside::beside`] with what these applications share.
fn beside(source: &str, front: impl FnOnce(&mut Stage)) {
    support::beside::beside(&format!("{GONE}{source}"), front);
}

/// What the watch does: looks once, and interrupts what it finds; gives what became of that.
fn watch(stage: &Stage) -> Option<bool> {
    Python::attach(|py| {
        let worker = stage.worker(py);
        let found = worker.call_method1(py, "next_overdue", (0.0,)).unwrap();
        if found.is_none(py) {
            return None;
        }
        assert!(found.getattr(py, "client_gone").unwrap().extract::<bool>(py).unwrap());
        let exception: Bound<'_, PyAny> = stage.eval(py, "Gone");
        Some(worker.call_method1(py, "interrupt", (found, exception)).unwrap().extract(py).unwrap())
    })
}

const ENDLESS: &str = r#"
class Pieces:
    def __init__(self, path): self.path, self.count = path, 0
    def __iter__(self): return self
    def __next__(self):
        self.count += 1
        if self.path == '/silent' or self.count > 1:
            entered.set()
            while not go.is_set(): pass
            if self.path != '/goes-on': raise StopIteration
        return b'data'
    def close(self):
        for number in range(20000): pass
        log.append('closed')
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/quick': return [b'ok']
    if environ['PATH_INFO'] == '/called':
        entered.set()
        while not go.is_set(): pass
        return [b'ok']
    if environ['PATH_INFO'] == '/writes':
        write = start_response('200 OK', [], (None, ValueError(), None))
        write(b'begun')
        entered.set()
        while not go.is_set(): pass
        return []
    return Pieces(environ['PATH_INFO'])
"#;

#[test]
fn an_iterable_that_the_client_has_seen_a_part_of_is_interrupted_and_closed() {
    beside(ENDLESS, |stage| {
        let slot = ask(stage, "/endless");
        wait_for(stage, "entered");
        assert_eq!(watch(stage), None);
        stage.half.end.abandon(slot, Why::Gone);
        assert_eq!(watch(stage), None, "it may still find out by itself");
        stage.half.end.abandon(slot, Why::Departed);
        assert_eq!(watch(stage), Some(true));
        assert_eq!(watch(stage), None, "once is enough");
        until(|| stage.half.end.release(slot));
        let expected = [("/endless".to_owned(), "Gone".to_owned())];
        assert_eq!(value::<Vec<(String, String)>>(stage, "observer.failures"), expected);
        assert_eq!(value::<Vec<String>>(stage, "log"), ["closed"]);
        for _ in 0..20 {
            let slot = ask(stage, "/quick");
            until(|| stage.half.end.is_done(slot));
            assert_eq!(stage.read_finished(slot).body, b"ok");
        }
    });
}

#[test]
fn what_may_matter_to_others_is_not() {
    for path in ["/silent", "/called", "/writes"] {
        beside(ENDLESS, |stage| {
            let slot = ask(stage, path);
            wait_for(stage, "entered");
            stage.half.end.abandon(slot, Why::Departed);
            assert_eq!(watch(stage), None);
            value::<Option<bool>>(stage, "go.set()");
            until(|| stage.half.end.release(slot));
            assert!(value::<Vec<(String, String)>>(stage, "observer.failures").is_empty());
        });
    }
}

#[test]
fn time_that_is_over_still_counts() {
    beside(ENDLESS, |stage| {
        let slot = ask(stage, "/silent");
        wait_for(stage, "entered");
        stage.half.end.abandon(slot, Why::Departed);
        assert_eq!(watch(stage), None);
        stage.half.end.abandon(slot, Why::Overdue);
        Python::attach(|py| {
            let worker = stage.worker(py);
            let found = worker.call_method1(py, "next_overdue", (20.0,)).unwrap();
            assert!(!found.getattr(py, "client_gone").unwrap().extract::<bool>(py).unwrap());
            let exception: Bound<'_, PyAny> = stage.eval(py, "Gone");
            worker.call_method1(py, "interrupt", (found, exception)).unwrap();
        });
        until(|| stage.half.end.release(slot));
    });
}

const EMPTY: &str = r#"
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/begun': yield b'begun'
    entered.set()
    try:
        while True: yield b''
    finally:
        log.append('closed')
"#;

#[test]
fn empty_pieces_are_an_occasion_to_find_out() {
    for path in ["/begun", "/silent"] {
        beside(EMPTY, |stage| {
            let slot = ask(stage, path);
            wait_for(stage, "entered");
            stage.half.end.leave(slot);
            assert_eq!(stage.half.end.phase(slot), Some(Phase::Running), "who has left may still read");
            stage.half.end.abandon(slot, Why::Gone);
            until(|| stage.half.end.release(slot));
            assert_eq!(value::<Vec<String>>(stage, "log"), ["closed"]);
        });
    }
}

const STORM: &str = r#"
sys.setswitchinterval(0.00001)
work = 2000
class Pieces:
    def __init__(self, path): self.left, self.path = 3, path
    def __iter__(self): return self
    def __next__(self):
        for number in range(hash(self.path) % work): pass
        self.left -= 1
        if self.left < 0: raise StopIteration
        return b'data'
    def close(self):
        for number in range(hash(self.path) % 900): pass
        log.append(self.path)
def app(environ, start_response):
    start_response('200 OK', [])
    return Pieces(environ['PATH_INFO'])
"#;

#[test]
fn in_a_storm_of_departures_every_close_runs_to_its_end() {
    beside(STORM, |stage| {
        let (over, hits, mut asked) = (AtomicBool::new(false), AtomicUsize::new(0), 0);
        let (worker, exception) =
            Python::attach(|py| (stage.worker(py), stage.eval::<Bound<'_, PyAny>>(py, "Gone").unbind()));
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
            // Few are hit in time: as many as it takes, within reason.
            for number in 0..100_000_u32 {
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
                asked += 1;
                let slot = ask(stage, &format!("/{number}"));
                if number % 3 != 0 {
                    until(|| stage.half.end.phase(slot) != Some(Phase::Ready));
                    // At any point of its life.
                    for _ in 0..number.wrapping_mul(37) % 4001 {
                        std::hint::spin_loop();
                    }
                    stage.half.end.abandon(slot, Why::Departed);
                }
                until(|| stage.half.end.is_done(slot));
                let response = stage.read_finished(slot);
                assert!(
                    number % 3 != 0 || (response.body == b"datadatadata" && !response.broken),
                    "{number}"
                );
            }
            over.store(true, Ordering::SeqCst);
        });
        let hit: Vec<(String, String)> = value(stage, "observer.failures");
        assert!(!hit.is_empty(), "no interrupt arrived at all");
        assert!(hit.iter().all(|(path, what)| {
            what == "Gone" && path[1..].parse::<u32>().is_ok_and(|number| number % 3 != 0)
        }));
        assert_eq!(value::<Vec<String>>(stage, "log").len(), asked, "a close was torn");
    });
}

const ASKS: &str = r#"
kept, said = [], []
def app(environ, start_response):
    ask = environ['pelton.client_gone']
    said.append(ask())
    if environ['PATH_INFO'] == '/keep': kept.append(ask)
    if environ['PATH_INFO'] == '/keep-state': kept.append((lambda ask: (lambda: type(ask.__self__).__name__))(ask))
    if environ['PATH_INFO'] == '/keep-environ': kept.append(environ['pelton.client_gone'])
    if environ['PATH_INFO'] == '/circle': environ['itself'] = environ
    identities.add(id(ask))
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/waits':
        yield b'begun'
        entered.set()
        while not ask(): pass
        said.append(ask())
    yield b'ok'
identities = set()
"#;

fn run(stage: &mut Stage, py: Python<'_>, paths: &[&str]) {
    let slots: Vec<u32> = paths.iter().map(|path| stage.submit(&Request::get(path))).collect();
    stage.with_runner(py, |stage, runner| {
        for slot in slots {
            let taken = stage.end().take().unwrap();
            runner.run_guarded(taken).unwrap();
            stage.read_finished(slot);
        }
    });
}

#[test]
fn requests_that_keep_nothing_share_one_function() {
    Python::attach(|py| {
        let mut stage = Stage::new(py, ASKS);
        run(&mut stage, py, &["/a"; 10]);
        assert_eq!(stage.eval::<Vec<bool>>(py, "said"), [false; 10]);
        assert_eq!(stage.eval::<usize>(py, "len(identities)"), 1);
    });
}

#[test]
fn what_was_kept_speaks_of_the_request_that_it_came_from() {
    Python::attach(|py| {
        let mut stage = Stage::new(py, ASKS);
        let kept = ["/keep", "/a", "/keep", "/keep-environ", "/circle", "/circle", "/a", "/keep"];
        run(&mut stage, py, &kept);
        assert_eq!(stage.eval::<Vec<bool>>(py, "said"), [false; 8]);
        assert_eq!(stage.eval::<Vec<bool>>(py, "[ask() for ask in kept]"), [true; 4]);
        assert!(stage.eval::<bool>(py, "len(set(map(id, kept))) == 4"));
        // Whoever gets at what is behind it learns no more, and holds nobody up.
        run(&mut stage, py, &["/keep-state", "/a"]);
        assert!(stage.eval::<bool>(py, "all(ask() in (True, '_Asked') for ask in kept)"));
    });
}

#[test]
fn it_changes_its_word_while_the_request_runs() {
    beside(ASKS, |stage| {
        for why in [None, Some(Why::Gone), Some(Why::Overdue)] {
            let slot = ask(stage, "/waits");
            wait_for(stage, "entered");
            match why {
                None => stage.half.end.leave(slot),
                Some(why) => stage.half.end.abandon(slot, why),
            }
            until(|| stage.half.end.is_done(slot));
            let mut response = Response::default();
            stage.read(slot, &mut response);
            assert!(why.is_some() || response.body == b"begunok");
            assert!(stage.half.end.release(slot));
            value::<Option<bool>>(stage, "entered.clear()");
        }
        assert_eq!(value::<Vec<bool>>(stage, "said"), [false, true, false, true, false, true]);
    });
}
