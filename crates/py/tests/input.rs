//! `wsgi.input` against `io.BytesIO`, for bodies in each place.

mod support;

use pelton_link::request::BodyParts;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use support::{Request, Stage, spooled};

/// Calls every method with many sizes on the input and on an `io.BytesIO` of the same bytes.
const COMPARE: &str = r#"
import io, random, traceback
wrong = []
def step(rng, length):
    size = rng.choice([0, 1, 2, 3, 7, 63, 64, 1000, 8192, 65535, 65536, 65537, 200_000, length, length + 1, -1, -7, None])
    return rng.choice([
        lambda f: f.read(size), lambda f: f.read(), lambda f: f.readline(size), lambda f: f.readline(),
        lambda f: f.readlines(size) if rng.seeded < 0.05 else f.readline(),
        lambda f: next(iter(f), None), lambda f: fill(f, size),
    ])
def fill(f, size):
    place = bytearray(b'.' * min(max(size or 0, 0), 300_000))
    return f.readinto(place), place
def app(environ, start_response):
    stream = environ['wsgi.input']
    rng = random.Random(seed)
    rng.seeded = rng.random()
    oracle = io.BytesIO(expected)
    for _ in range(60):
        act = step(rng, len(expected))
        ours, theirs = act(stream), act(oracle)
        if type(ours) is not type(theirs) or ours != theirs:
            wrong.append((len(expected), seed, ours if len(repr(ours)) < 99 else len(ours), len(theirs or b'')))
            break
    start_response('200 OK', [])
    return []
"#;

fn body(length: usize, line: usize) -> Vec<u8> {
    (0..length)
        .map(|i| if line > 0 && i % line == line - 1 { b'\n' } else { b'a' + (i % 23) as u8 })
        .collect()
}

fn with_place<'a>(body: &'a [u8], place: &str, chunks: &'a [u32]) -> BodyParts<'a> {
    match place {
        "inline" => BodyParts::Inline(body),
        "chunks" => BodyParts::Chunks(chunks, body.len() as u64),
        _ => BodyParts::File(0, body.len() as u64),
    }
}

#[test]
fn reads_like_a_file_wherever_the_body_is() {
    Python::attach(|py| compare(py, Stage::new(py, COMPARE), 8));
}

#[test]
fn reads_the_same_from_another_process() {
    Python::attach(|py| compare(py, Stage::joined(py, COMPARE), 1));
}

fn compare(py: Python<'_>, mut stage: Stage, seeds: u32) {
    for place in ["inline", "chunks", "file"] {
        for length in [1, 2, 100, 4096, 65_535, 65_536, 65_537, 131_072, 150_000, 400_000] {
            if place == "inline" && length > 150_000 {
                continue;
            }
            for line in [0, 1, 17, 80, 70_000] {
                let body = body(length, line);
                stage.define(py, "expected", PyBytes::new(py, &body));
                for seed in 0..seeds {
                    stage.define(py, "seed", seed);
                    let chunks = if place == "chunks" { stage.chunks(&body) } else { Vec::new() };
                    let parts = with_place(&body, place, &chunks);
                    let file = spooled(&body);
                    let response = stage.run(
                        py,
                        &Request { method: "POST", body: parts, file: Some(&file), ..Request::get("/") },
                    );
                    assert_eq!(
                        response.status,
                        200,
                        "{:?}",
                        stage.eval::<Vec<String>>(py, "observer.failures")
                    );
                    stage.half.bodies.put_back(chunks);
                    assert_eq!(
                        stage.eval::<Vec<String>>(py, "[str(one) for one in wrong]"),
                        [""; 0],
                        "{place}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_kept_input_is_closed() {
    Python::attach(|py| {
        let source = r#"
kept = []
def app(environ, start_response):
    stream = environ['wsgi.input']
    kept.append(stream)
    stream.read(1)
    start_response('200 OK', [])
    return []
def outcome(stream):
    results = []
    for act in [stream.read, stream.readline, stream.readlines, lambda: list(stream), lambda: stream.readinto(bytearray(1)), lambda: stream.read(0)]:
        try:
            results.append(repr(act()))
        except ValueError as error:
            results.append(str(error))
    return results
"#;
        let mut stage = Stage::new(py, source);
        for place in ["inline", "chunks", "file"] {
            let chunks = stage.chunks(b"abc");
            let parts = with_place(b"abc", place, &chunks);
            let file = spooled(b"abc");
            stage.run(py, &Request { method: "POST", body: parts, file: Some(&file), ..Request::get("/") });
            let results: Vec<String> = stage.eval(py, "outcome(kept.pop())");
            assert!(results.iter().all(|result| result.contains("closed file: the request")), "{results:?}");
        }
        // Without a body there is nothing that could be over.
        stage.run(py, &Request::get("/"));
        let results: Vec<String> = stage.eval(py, "outcome(kept.pop())[:4]");
        assert_eq!(results, ["b''", "b''", "[]", "[]"]);
    });
}

#[test]
fn what_it_refuses() {
    Python::attach(|py| {
        let source = r#"
def app(environ, start_response):
    stream = environ['wsgi.input']
    global errors
    errors = []
    for act in [lambda: stream.read('1'), lambda: stream.read(1.5), lambda: stream.read(1, 2), lambda: stream.readinto(b'x'),
                lambda: stream.readinto(memoryview(bytearray(9))[::2]), lambda: stream.readinto(5), lambda: stream.readline('x')]:
        try:
            act()
        except (TypeError, BufferError) as error:
            errors.append(str(error))
    assert stream.read(10**18) == b'ab' and stream.readable()
    start_response('200 OK', [])
    return []
"#;
        let mut stage = Stage::new(py, source);
        let response = stage.run(py, &Request { body: BodyParts::Inline(b"ab"), ..Request::get("/") });
        assert_eq!(response.status, 200, "{:?}", stage.eval::<Vec<String>>(py, "observer.failures"));
        assert_eq!(stage.eval::<usize>(py, "len(errors)"), 7);
    });
}

#[test]
fn records_that_lie_about_the_body_are_answered_500() {
    Python::attach(|py| {
        let source = "import sys\nsys.unraisablehook = lambda info: None\ndef app(environ, start_response):\n    environ['wsgi.input'].read()\n    start_response('200 OK', [])\n    return []";
        let mut stage = Stage::new(py, source);
        let file = spooled(b"abc");
        for parts in [
            BodyParts::Chunks(&[0], 70_000),
            BodyParts::Chunks(&[u32::MAX], 5),
            BodyParts::Chunks(&[], 1),
            BodyParts::File(0, 5),
        ] {
            let response = stage.run(py, &Request { body: parts, file: Some(&file), ..Request::get("/") });
            assert_eq!((response.status, response.broken), (500, false), "{parts:?}");
            let response = stage.run(py, &Request { body: parts, ..Request::get("/") });
            assert_eq!((response.status, response.broken), (500, false), "{parts:?}");
        }
    });
}

#[test]
fn threads_may_share_it() {
    Python::attach(|py| {
        let source = r#"
import threading
def app(environ, start_response):
    stream = environ['wsgi.input']
    parts = [[] for _ in range(4)]
    def drain(mine):
        while piece := stream.read(100_001 if mine is parts[0] else 777):
            mine.append(piece)
    threads = [threading.Thread(target=drain, args=(mine,)) for mine in parts]
    for one in threads: one.start()
    for one in threads: one.join()
    start_response('200 OK', [])
    return [str(sum(len(piece) for mine in parts for piece in mine)).encode()]
"#;
        let mut stage = Stage::new(py, source);
        let body = body(5_000_000, 80);
        for place in ["chunks", "file"] {
            let chunks = if place == "chunks" { stage.chunks(&body) } else { Vec::new() };
            let parts = with_place(&body, place, &chunks);
            let file = spooled(&body);
            let response = stage.run(py, &Request { body: parts, file: Some(&file), ..Request::get("/") });
            assert_eq!(response.body, b"5000000");
            stage.half.bodies.put_back(chunks);
        }
    });
}

#[test]
fn flask_and_werkzeug_can_read_it() {
    Python::attach(|py| {
        let source = r#"
from flask import Flask, request
app = Flask('test')
@app.post('/form')
def form():
    upload = request.files['file']
    return {'field': request.form['field'], 'file': len(upload.read()), 'name': upload.filename}
@app.post('/json')
def json():
    return request.get_json()
@app.post('/stream')
def stream():
    total = 0
    while piece := request.stream.read(1000):
        total += len(piece)
    return str(total)
@app.post('/lines')
def lines():
    return str(sum(1 for _ in request.stream))
@app.post('/unread')
def unread():
    return 'unread'
"#;
        let Ok(mut stage) = Stage::try_new(py, source) else { return };
        let mut ask = |path: &str, kind: &str, body: &[u8], chunked: bool| {
            let length = body.len().to_string();
            let framing =
                if chunked { ("Transfer-Encoding", "chunked") } else { ("Content-Length", &*length) };
            let fields = [("Host", "h"), ("Content-Type", kind), framing];
            let mut responses = Vec::new();
            for place in ["inline", "chunks", "file"] {
                if place == "inline" && body.len() > 150_000 {
                    continue;
                }
                let chunks = if place == "chunks" { stage.chunks(body) } else { Vec::new() };
                let parts = with_place(body, place, &chunks);
                let file = spooled(body);
                let response = stage.run(
                    py,
                    &Request {
                        method: "POST",
                        fields: &fields,
                        body: parts,
                        file: Some(&file),
                        ..Request::get(path)
                    },
                );
                assert_eq!(
                    response.status,
                    200,
                    "{path} {place} {:?}",
                    String::from_utf8_lossy(&response.body)
                );
                responses.push(String::from_utf8(response.body).unwrap());
                stage.half.bodies.put_back(chunks);
            }
            responses.dedup();
            assert_eq!(responses.len(), 1, "{responses:?}");
            responses.remove(0)
        };
        for chunked in [false, true] {
            let upload = vec![b'\n'; 300_000];
            let mut form = b"--B\r\nContent-Disposition: form-data; name=\"field\"\r\n\r\nvalue\r\n--B\r\n\
                Content-Disposition: form-data; name=\"file\"; filename=\"f.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n"
                .to_vec();
            form.extend_from_slice(&upload);
            form.extend_from_slice(b"\r\n--B--\r\n");
            let response = ask("/form", "multipart/form-data; boundary=B", &form, chunked);
            assert!(
                response.contains("\"file\":300000") && response.contains("\"field\":\"value\""),
                "{response}"
            );
            assert_eq!(ask("/json", "application/json", b"{\"a\": [1, 2]}", chunked).trim(), "{\"a\":[1,2]}");
            assert_eq!(ask("/stream", "text/plain", &body(250_000, 0), chunked), "250000");
            assert_eq!(ask("/lines", "text/plain", &body(250_000, 100), chunked), "2500");
            assert_eq!(ask("/unread", "text/plain", &body(250_000, 100), chunked), "unread");
        }
    });
}
