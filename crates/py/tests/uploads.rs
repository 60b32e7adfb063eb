//! Bodies that are read while they come: each method, each cut, and what happens when they do not come to their end.
#![allow(clippy::unwrap_used, reason = "failing is how a test reports")]

mod support;

use std::time::{Duration, Instant};

use pelton_link::request::BodyParts;
use pelton_link::{BodyEnd, BodyWindow, CHUNK_BYTES, Why};
use pyo3::prelude::*;
use support::{Request, Response, Stage};

const APP: &str = r#"
import hashlib, threading, time
waiting = threading.Event()
def app(environ, start_response):
    body, how = environ['wsgi.input'], environ['PATH_INFO'][1:]
    seen['length'] = environ.get('CONTENT_LENGTH')
    seen['coding'] = 'HTTP_TRANSFER_ENCODING' in environ
    result = b''
    if how == 'read': result = body.read()
    if how.startswith('read-'):
        while piece := body.read(int(how[5:])):
            sizes.append(len(piece)); result += piece
    if how == 'read1':
        while piece := body.read1(1000):
            sizes.append(len(piece)); result += piece
    if how == 'line':
        while line := body.readline(50): sizes.append(len(line)); result += line
    if how == 'lines': result = b''.join(body.readlines())
    if how == 'iterate':
        for line in body: sizes.append(len(line)); result += line
    if how == 'into':
        buffer = bytearray(999)
        while count := body.readinto(buffer): sizes.append(count); result += buffer[:count]
    if how == 'thread':
        thread = threading.Thread(target=beside, args=(body,))
        thread.start()
        threads.append(thread)
        waiting.wait(20)
    if how == 'nothing': body.read(0), body.read1(0), body.readline(0)
    seen['end'] = [body.read(), body.read(5), body.read1(), body.readline(), body.readlines()] if result else None
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [result]
def beside(body):
    waiting.set()
    try: body.read()
    except Exception as error: met.append(type(error).__name__)
seen, sizes, threads, met = {}, [], [], []
def failed(self, environ, error):
    self.failures.append(f'{type(error).__name__}: {error}')
Observer.failed = failed
"#;

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "timed out");
        std::thread::yield_now();
    }
}

/// Runs a request on another thread, and `front` on this one meanwhile.
fn upload(path: &str, length: Option<u64>, front: impl FnOnce(&mut Stage, u32)) -> (Stage, u32) {
    let mut stage = Python::attach(|py| Stage::joined(py, APP));
    let window = BodyWindow::new(&mut stage.half.bodies, 2).unwrap();
    let chunks = window.chunks().to_vec();
    stage.window = Some(window);
    let announced = length.map(|length| length.to_string()).unwrap_or_default();
    let known = [("Content-Length", &*announced)];
    let unknown = [("Transfer-Encoding", "chunked")];
    let slot = stage.submit(&Request {
        method: "POST",
        fields: if length.is_some() { &known } else { &unknown },
        body: BodyParts::Stream { chunks: &chunks, length, waits_for_leave: true },
        ..Request::get(path)
    });
    let worker = Python::attach(|py| stage.worker(py));
    let serving =
        std::thread::spawn(move || Python::attach(|py| worker.call_method1(py, "serve", (0,)).map(drop)));
    stage.half.end.ring_bell();
    front(&mut stage, slot);
    until(|| stage.half.end.is_done(slot));
    Python::attach(|py| stage.worker(py).call_method0(py, "stop").unwrap());
    serving.join().unwrap().unwrap();
    (stage, slot)
}

/// Puts all of `data` in as fast as it is read.
fn feed(stage: &mut Stage, slot: u32, data: &[u8], step: usize) {
    let mut window = stage.window.take().unwrap();
    let mut at = 0;
    while at < data.len() {
        stage.half.end.see_body(slot, &mut window).unwrap();
        let end = data.len().min(at + step);
        at += window.push(&mut stage.half.bodies, &data[at..end]);
        stage.half.end.publish_body(slot, &window);
        std::thread::yield_now();
    }
    stage.window = Some(window);
}

fn end(stage: &mut Stage, slot: u32, how: BodyEnd) {
    let mut window = stage.window.take().unwrap();
    window.end(how);
    stage.half.end.publish_body(slot, &window);
    stage.window = Some(window);
}

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| if i % 131 == 130 { b'\n' } else { (i / 7) as u8 | 1 }).collect()
}

#[test]
fn every_way_to_read_gives_the_whole_body() {
    for path in ["/read", "/read-1", "/read-70000", "/read1", "/line", "/lines", "/iterate", "/into"] {
        for (len, step) in [(1000, 7), (3 * CHUNK_BYTES + 5, 50_001)] {
            if path == "/read-1" && len > 1000 {
                continue;
            }
            for length in [None, Some(len as u64)] {
                let body = data(len);
                let (mut stage, slot) = upload(path, length, |stage, slot| {
                    feed(stage, slot, &body, step);
                    end(stage, slot, BodyEnd::Complete);
                });
                let mut response = Response::default();
                stage.read(slot, &mut response);
                assert!(response.body == body, "{path} {len} {step}");
                Python::attach(|py| {
                    let announced = length.map(|length| length.to_string());
                    assert_eq!(stage.eval::<Option<String>>(py, "seen['length']"), announced);
                    assert!(!stage.eval::<bool>(py, "seen['coding']"));
                    assert!(stage.eval::<bool>(py, "seen['end'] == [b'', b'', b'', b'', []]"));
                    // Short only at the end, whatever came at once.
                    let sizes: Vec<usize> = stage.eval(py, "sizes");
                    let full = match path {
                        "/read-70000" => 70_000,
                        "/into" => 999,
                        _ => return,
                    };
                    assert!(sizes.iter().rev().skip(1).all(|&size| size == full), "{sizes:?}");
                });
            }
        }
    }
}

#[test]
fn the_client_is_asked_for_its_body_by_the_first_read_that_needs_it() {
    upload("/read", None, |stage, slot| {
        until(|| stage.half.end.is_body_asked_for(slot));
        feed(stage, slot, b"abc", 3);
        end(stage, slot, BodyEnd::Complete);
    });
    let (stage, slot) = upload("/nothing", None, |_, _| {});
    assert!(!stage.half.end.is_body_asked_for(slot));
}

#[test]
fn a_body_that_does_not_come_to_its_end_raises() {
    for (how, word) in [
        (BodyEnd::Gone, "closed its connection"),
        (BodyEnd::Late, "nothing of its request body for too long"),
        (BodyEnd::Malformed, "malformed"),
        (BodyEnd::TooLarge, "larger than it may be"),
        (BodyEnd::Abandoned, "nobody waits"),
    ] {
        for path in ["/read", "/read-2", "/read1", "/line", "/lines", "/iterate", "/into"] {
            let (stage, slot) = upload(path, Some(100), |stage, slot| {
                feed(stage, slot, b"abcde", 5);
                end(stage, slot, how);
            });
            Python::attach(|py| {
                let failures: Vec<String> = stage.eval(py, "observer.failures");
                assert!(
                    matches!(&*failures, [one] if one.starts_with("IncompleteBodyError: ") && one.contains(word)),
                    "{path} {failures:?}"
                );
                assert!(stage.eval::<bool>(py, "seen.get('end') is None"));
            });
            let mut stage = stage;
            assert_eq!(stage.read_finished(slot).status, 500);
        }
    }
}

#[test]
fn a_reader_is_released_when_nobody_waits_and_when_the_front_dies() {
    let (stage, _) = upload("/read", None, |stage, slot| {
        until(|| stage.half.end.is_body_asked_for(slot));
        stage.half.end.abandon(slot, Why::Gone);
        end(stage, slot, BodyEnd::Abandoned);
    });
    let (severed, _) = upload("/read", None, |stage, slot| {
        until(|| stage.half.end.is_body_asked_for(slot));
        stage.end().sever();
    });
    for stage in [stage, severed] {
        Python::attach(|py| assert_eq!(stage.eval::<usize>(py, "len(observer.failures)"), 1));
    }
}

#[test]
fn a_thread_that_waits_for_the_body_keeps_nobody_from_ending_the_request() {
    for _ in 0..50 {
        // Nothing ever comes; the request ends all the same, with the other thread asleep or about to be.
        let (stage, _) = upload("/thread", None, |_, _| {});
        Python::attach(|py| {
            stage.eval::<Vec<Option<bool>>>(py, "[thread.join(20) for thread in threads]");
            assert_eq!(stage.eval::<Vec<String>>(py, "met"), ["ValueError"]);
            assert!(!stage.eval::<bool>(py, "threads[0].is_alive()"));
        });
    }
}

#[test]
fn a_record_without_a_window_is_an_error_and_no_danger() {
    Python::attach(|py| {
        let mut stage = Stage::new(py, APP);
        let response = stage.run(
            py,
            &Request {
                body: BodyParts::Stream { chunks: &[1, 2, 3], length: None, waits_for_leave: false },
                ..Request::get("/read")
            },
        );
        assert_eq!(response.status, 500);
    });
}
