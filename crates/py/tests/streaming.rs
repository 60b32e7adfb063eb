//! Responses while they are made: publishing, clients that are slow or gone, files, several threads.
#![allow(clippy::unwrap_used, reason = "failing is how a test reports")]

mod support;

use pelton_link::{Progress, Why};
use pyo3::prelude::*;
use support::beside::{ask, beside, until};
use support::{Request, Response, Stage};

fn read_all(stage: &mut Stage, slot: u32) -> Response {
    let mut response = Response::default();
    until(|| {
        let progress = stage.read(slot, &mut response);
        response.broken = progress == Progress::Broken;
        progress != Progress::Open
    });
    until(|| stage.half.end.is_done(slot));
    stage.read(slot, &mut response);
    assert!(stage.half.end.release(slot));
    response
}

const SOURCE: &str = r#"
import os, threading, tempfile, io, itertools
go, closed, gone = threading.Event(), [], []
class Pieces:
    def __init__(self, pieces): self.pieces = pieces
    def __iter__(self): return iter(self.pieces)
    def close(self): closed.append(threading.get_ident())
def waiting():
    yield b'first'
    go.wait(20)
    yield b'second'
def counted():
    for number in itertools.count():
        gone.append(number)
        yield b'x' * 100_000
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/slow-close':
        start_response('200 OK', [('Content-Length', '1')])
        pieces = Pieces([b'x'])
        pieces.close = lambda: go.wait(20)
        return pieces
    write = start_response('200 OK', [])
    if path == '/waiting': return Pieces(waiting())
    if path == '/large': return [bytes(range(256)) * 8000]
    if path == '/many': return [bytes([n % 256]) * 5000 for n in range(500)]
    if path == '/generated': return Pieces(bytes([n % 256]) * 5000 for n in range(500))
    if path == '/endless': return Pieces(counted())
    if path == '/written':
        for n in range(500): write(bytes([n % 256]) * 5000)
        return []
    if path == '/write-endless':
        while True: write(b'x' * 100_000)
    if path == '/threads':
        def fill(byte):
            for _ in range(100): write(byte * 5000)
        threads = [threading.Thread(target=fill, args=(bytes([n]),)) for n in b'ab']
        for one in threads: one.start()
        if not environ['QUERY_STRING']:
            for one in threads: one.join()
        else:
            go.wait(20)
        return []
"#;

#[test]
fn a_piece_is_published_at_once() {
    beside(SOURCE, |stage| {
        let slot = ask(stage, "/waiting");
        let mut response = Response::default();
        until(|| stage.read(slot, &mut response) == Progress::Open && response.body == b"first");
        Python::attach(|py| stage.eval::<Option<bool>>(py, "go.set()"));
        let rest = read_all(stage, slot);
        assert_eq!((&*rest.body, rest.broken), (&b"second"[..], false));
    });
}

#[test]
fn a_whole_response_does_not_wait_for_close() {
    beside(SOURCE, |stage| {
        let slot = ask(stage, "/slow-close");
        let mut response = Response::default();
        until(|| stage.read(slot, &mut response) == Progress::Complete);
        assert_eq!(response.body, b"x");
        assert!(!stage.half.end.is_done(slot));
        Python::attach(|py| stage.eval::<Option<bool>>(py, "go.set()"));
        until(|| stage.half.end.release(slot));
    });
}

#[test]
fn responses_larger_than_the_ring_arrive_whole() {
    let pieces: Vec<u8> = (0..500u32).flat_map(|n| [(n % 256) as u8; 5000]).collect();
    let large: Vec<u8> = (0..=255).cycle().take(256 * 8000).collect();
    beside(SOURCE, |stage| {
        for (path, body, known) in [
            ("/large", &large, Some(large.len() as u64)),
            ("/many", &pieces, Some(pieces.len() as u64)),
            ("/generated", &pieces, None),
            ("/written", &pieces, None),
        ] {
            let slot = ask(stage, path);
            let response = read_all(stage, slot);
            assert!(response.body == *body, "{path}: {} bytes", response.body.len());
            assert_eq!((response.known_length, response.broken), (known, false), "{path}");
        }
        Python::attach(|py| assert_eq!(stage.eval::<usize>(py, "len(closed)"), 1));
    });
}

#[test]
fn a_client_that_goes_ends_the_iteration() {
    beside(SOURCE, |stage| {
        for path in ["/endless", "/write-endless"] {
            for read_some in [false, true] {
                let slot = ask(stage, path);
                let mut response = Response::default();
                until(|| {
                    if read_some {
                        stage.read(slot, &mut response);
                    }
                    read_some && response.body.len() > 1_000_000
                        || !read_some && !stage.half.end.response(slot).0.is_at_end()
                });
                stage.half.end.abandon(slot, Why::Gone);
                until(|| stage.half.end.is_done(slot));
                assert_eq!(stage.half.end.response(slot).1, Progress::Broken);
                assert!(stage.half.end.release(slot));
            }
        }
        Python::attach(|py| {
            assert_eq!(stage.eval::<usize>(py, "len(closed)"), 2);
            assert_eq!(stage.eval::<Vec<String>>(py, "observer.failures + observer.misuses"), [""; 0]);
        });
    });
}

#[test]
fn threads_may_write_for_a_request() {
    beside(SOURCE, |stage| {
        let slot = ask(stage, "/threads");
        let response = read_all(stage, slot);
        assert_eq!(response.body.len(), 1_000_000);
        assert_eq!(response.body.iter().filter(|&&byte| byte == b'a').count(), 500_000);
    });
}

#[test]
fn a_request_ends_only_when_a_waiting_writer_has_let_go() {
    beside(SOURCE, |stage| {
        let slot = ask(stage, "/threads?left");
        // The writers are stuck, as nobody reads; then the application returns, then the client goes.
        let mut last = 0;
        until(|| {
            let published = format!("{:?}", stage.half.end.response(slot)).len();
            std::mem::replace(&mut last, published) == published
                && !stage.half.end.response(slot).0.is_at_end()
        });
        Python::attach(|py| stage.eval::<Option<bool>>(py, "go.set()"));
        stage.half.end.abandon(slot, Why::Gone);
        until(|| stage.half.end.is_done(slot));
        assert!(stage.half.end.release(slot));
    });
}

const FILES: &str = r#"
import tempfile, io, gzip, os
content = os.urandom(300_000)
path = tempfile.mkstemp()[1]
open(path, 'wb').write(content)
packed = tempfile.mkstemp()[1]
with gzip.open(packed, 'wb') as file: file.write(content)
closed = []
def opened(how):
    if how == 'raw': return open(path, 'rb', buffering=0)
    if how == 'buffered': return open(path, 'rb')
    if how == 'moved':
        file = open(path, 'rb')
        file.readline(); file.seek(7); file.read(3)
        return file
    if how == 'temporary':
        file = tempfile.TemporaryFile()
        file.write(content); file.seek(0)
        return file
    if how == 'unflushed':
        file = open(tempfile.mkstemp()[1], 'w+b', buffering=1_000_000)
        file.write(content); file.seek(0)
        return file
    if how == 'named':
        file = tempfile.NamedTemporaryFile()
        file.write(content); file.flush(); file.seek(10)
        return file
    if how == 'at-end':
        file = open(path, 'rb'); file.seek(0, 2)
        return file
    if how == 'memory': return io.BytesIO(content)
    if how == 'gzip': return gzip.open(packed, 'rb')
    if how == 'pipe':
        r, w = os.pipe(); os.write(w, b'piped'); os.close(w)
        return open(r, 'rb')
    if how == 'closed':
        file = open(path, 'rb'); file.close()
        return file
def app(environ, start_response):
    how, _, length = environ['QUERY_STRING'].partition(':')
    start_response('200 OK', [('Content-Length', length)] if length else [])
    wrapper = environ['wsgi.file_wrapper'](opened(how))
    global last; last = wrapper.filelike
    return wrapper
"#;

#[test]
fn files_are_handed_over_where_that_is_certain() {
    Python::attach(|py| files_are_handed_over(py, Stage::new(py, FILES)));
    Python::attach(|py| files_are_handed_over(py, Stage::joined(py, FILES)));
    beside(FILES, |stage| {
        let content: Vec<u8> = Python::attach(|py| stage.eval(py, "content"));
        for (how, expected) in [("memory", &content[..]), ("gzip", &content), ("pipe", b"piped")] {
            let slot = ask(stage, &format!("/?{how}"));
            let response = read_all(stage, slot);
            assert!(response.body == expected, "{how}: {} bytes", response.body.len());
            assert_eq!((response.from_files, response.broken), (0, false), "{how}");
        }
        let slot = ask(stage, "/?closed");
        assert_eq!(read_all(stage, slot).status, 500);
    });
}

fn files_are_handed_over(py: Python<'_>, mut stage: Stage) {
    let content: Vec<u8> = stage.eval(py, "content");
    for (how, skipped) in
        [("raw", 0), ("buffered", 0), ("moved", 10), ("temporary", 0), ("unflushed", 0), ("named", 10)]
    {
        let response = stage.run(py, &Request::get(&format!("/?{how}")));
        assert!(response.body == content[skipped..], "{how}: {} bytes", response.body.len());
        assert_eq!(response.from_files, response.body.len() as u64, "{how}");
        assert_eq!((response.known_length, response.broken), (Some(response.from_files), false), "{how}");
        assert!(stage.eval::<bool>(py, "last.closed"), "{how}");
        let response = stage.run(py, &Request { method: "HEAD", ..Request::get(&format!("/?{how}")) });
        assert_eq!(
            (response.body.len(), response.known_length),
            (0, Some((content.len() - skipped) as u64)),
            "{how}"
        );
    }
    for (length, sent, broken, misuses) in
        [(1000, 1000, false, 1), (300_000, 300_000, false, 1), (300_001, 300_000, true, 2)]
    {
        let response = stage.run(py, &Request::get(&format!("/?buffered:{length}")));
        assert_eq!(
            (response.from_files, response.broken, response.known_length),
            (sent, broken, None),
            "{length}"
        );
        assert_eq!(stage.eval::<usize>(py, "len(observer.misuses)"), misuses, "{length}");
    }
    let response = stage.run(py, &Request::get("/?at-end"));
    assert_eq!((response.body.len(), response.known_length, response.broken), (0, Some(0), false));
}

#[test]
fn a_thread_beyond_the_last_spare_one_has_no_seat() {
    beside("def app(environ, start_response): pass", |stage| {
        Python::attach(|py| {
            let worker = stage.worker(py);
            let beyond = 2 + pelton_link::SPARE_THREADS;
            assert!(worker.call_method1(py, "serve", (beyond,)).is_err());
        });
    });
}
