//! What applications find in environ.

mod support;

use std::collections::HashMap;

use pelton_link::request::BodyParts;
use pyo3::prelude::*;
use support::{Request, Stage};

const KEEP: &str = "
def app(environ, start_response):
    global seen
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    global size; size = len(environ)
    global body; body = environ['wsgi.input'].read()
    start_response('200 OK', [])
    return []
";

fn seen(stage: &mut Stage, py: Python<'_>, request: &Request<'_>) -> HashMap<String, String> {
    let response = stage.run(py, request);
    assert_eq!((response.status, response.broken), (200, false));
    stage.eval(py, "seen")
}

#[test]
fn a_plain_request_has_every_key_of_pep_3333() {
    Python::attach(|py| {
        let mut stage = Stage::new(py, KEEP);
        let seen = seen(&mut stage, py, &Request { path: b"/a b", ..Request::get("/a%20b?x=1&y") });
        let expected = [
            ("REQUEST_METHOD", "GET"),
            ("SCRIPT_NAME", ""),
            ("PATH_INFO", "/a b"),
            ("QUERY_STRING", "x=1&y"),
            ("RAW_URI", "/a%20b?x=1&y"),
            ("REQUEST_URI", "/a%20b?x=1&y"),
            ("SERVER_NAME", "localhost"),
            ("SERVER_PORT", "8000"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_SOFTWARE", "pelton/0"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("REMOTE_PORT", "4711"),
            ("HTTP_HOST", "example.org"),
            ("wsgi.url_scheme", "http"),
        ];
        assert_eq!(seen, expected.iter().map(|&(k, v)| (k.into(), v.into())).collect());
        assert_eq!(stage.eval::<Vec<u8>>(py, "body"), b"");
    });
}

#[test]
fn nothing_of_a_request_is_left_in_the_next() {
    Python::attach(|py| {
        let mut stage = Stage::new(py, KEEP);
        let rich = Request {
            method: "POST",
            path: b"/one",
            fields: &[
                ("Host", "a"),
                ("Cookie", "c=1"),
                ("X-Own", "1"),
                ("Content-Type", "t"),
                ("Content-Length", "2"),
            ],
            peer: "::1",
            port: 1,
            version: 10,
            listener: 1,
            body: BodyParts::Inline(b"ab"),
            ..Request::get("/one?q")
        };
        let poor = Request { fields: &[], peer: "", port: 0, ..Request::get("/") };
        let mut alone = Stage::new(py, KEEP);
        for _ in 0..2 {
            seen(&mut stage, py, &rich);
            assert_eq!(stage.eval::<Vec<u8>>(py, "body"), b"ab");
            let after = seen(&mut stage, py, &poor);
            assert_eq!(after, seen(&mut alone, py, &poor));
            assert!(!after.contains_key("HTTP_HOST"));
            assert_eq!((&*after["REMOTE_PORT"], &*after["REMOTE_ADDR"]), ("", ""));
        }
        // The same in one runner, where the caches are.
        let slots = [&rich, &poor, &rich, &poor].map(|request| (stage.submit(request), request));
        stage.with_runner(py, |stage, runner| {
            for (slot, request) in slots {
                let taken = stage.end().take().unwrap();
                runner.run_guarded(taken).unwrap();
                stage.read_finished(slot);
                let seen: HashMap<String, String> = stage.eval(py, "seen");
                assert_eq!(seen["SERVER_PORT"], if request.listener == 1 { "9000" } else { "8000" });
                assert_eq!(seen["REQUEST_METHOD"], request.method);
                assert_eq!(
                    seen["SERVER_PROTOCOL"],
                    if request.version == 10 { "HTTP/1.0" } else { "HTTP/1.1" }
                );
                assert_eq!(seen.contains_key("HTTP_X_OWN"), request.listener == 1);
                assert_eq!(seen.contains_key("CONTENT_LENGTH"), request.listener == 1);
                assert_eq!(seen.contains_key("HTTP_HOST"), request.listener == 1);
                assert_eq!(stage.eval::<usize>(py, "size") - seen.len(), 10);
            }
        });
    });
}

#[test]
fn fields_become_keys() {
    Python::attach(|py| {
        let mut stage = Stage::new(py, KEEP);
        let fields = [
            ("X-Twice", "1"),
            ("hOsT", "h"),
            ("x-tWICE", "2"),
            ("Cookie", "a=1"),
            ("Cookie", "b=2"),
            ("Accept", "x"),
            ("ACCEPT", "y"),
            ("accept", "z"),
            ("Content-Type", "text/plain"),
            ("X-Latin", "\u{e9}\u{ff}"),
            ("!#$%&'*+.^`|~", "odd"),
            ("X-Empty", ""),
        ];
        let fields: Vec<_> = fields.into_iter().collect();
        let found = seen(&mut stage, py, &Request { fields: &fields, ..Request::get("/") });
        assert_eq!(found["HTTP_X_TWICE"], "1,2");
        assert_eq!(found["HTTP_COOKIE"], "a=1; b=2");
        assert_eq!(found["HTTP_ACCEPT"], "x,y,z");
        assert_eq!(found["CONTENT_TYPE"], "text/plain");
        assert_eq!(found["HTTP_HOST"], "h");
        assert_eq!(found["HTTP_!#$%&'*+.^`|~"], "odd");
        assert_eq!(found["HTTP_X_EMPTY"], "");
        // The support module puts UTF-8 on the wire; here its bytes are characters.
        assert_eq!(found["HTTP_X_LATIN"], "\u{c3}\u{a9}\u{c3}\u{bf}");
        let again = seen(&mut stage, py, &Request { fields: &fields, ..Request::get("/") });
        assert_eq!(found, again);
    });
}

#[test]
fn more_names_than_are_remembered_still_work() {
    Python::attach(|py| {
        let mut stage = Stage::new(py, KEEP);
        let names: Vec<String> = (0..700).map(|i| format!("X-{i}-{}", "n".repeat(i % 80))).collect();
        for batch in names.chunks(100) {
            let fields: Vec<(&str, &str)> = batch.iter().map(|name| (&**name, "v")).collect();
            let found = seen(&mut stage, py, &Request { fields: &fields, ..Request::get("/") });
            for name in batch {
                assert_eq!(found[&format!("HTTP_{}", name.to_uppercase().replace('-', "_"))], "v");
            }
        }
    });
}

#[test]
fn a_chunked_body_gets_its_length() {
    Python::attach(|py| {
        let mut stage = Stage::new(py, KEEP);
        let fields = &[("Host", "h"), ("Transfer-Encoding", "chunked")];
        for body in [&b"12345"[..], b""] {
            let parts = if body.is_empty() { BodyParts::None } else { BodyParts::Inline(body) };
            let request = Request { method: "POST", fields, body: parts, ..Request::get("/") };
            let seen = seen(&mut stage, py, &request);
            assert_eq!(seen["CONTENT_LENGTH"], body.len().to_string());
            assert!(!seen.contains_key("HTTP_TRANSFER_ENCODING"));
            assert_eq!(stage.eval::<Vec<u8>>(py, "body"), body);
        }
    });
}

#[test]
fn an_unknown_listener_is_answered_without_the_application() {
    Python::attach(|py| {
        let mut stage =
            Stage::new(py, "import sys; sys.unraisablehook = print\ndef app(environ, start_response): 1/0");
        let response = stage.run(py, &Request { listener: 9, ..Request::get("/") });
        assert_eq!((response.status, response.broken), (500, false));
    });
}
