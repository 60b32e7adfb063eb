//! start_response, write, pieces, lengths, failures and close().

mod support;

use pyo3::prelude::*;
use support::{Request, Response, Stage};

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

fn stage(py: Python<'_>, body: &str) -> Stage {
    let indented: String = body.lines().map(|line| format!("    {line}\n")).collect();
    Stage::new(py, &format!("{TOOLS}\ndef app(environ, start_response):\n{indented}"))
}

struct Outcome {
    response: Response,
    failures: Vec<String>,
    misuses: Vec<String>,
    closed: usize,
}

fn ask(py: Python<'_>, body: &str, method: &str) -> Outcome {
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

fn get(body: &str) -> Outcome {
    Python::attach(|py| ask(py, body, "GET"))
}

fn head(body: &str) -> Outcome {
    Python::attach(|py| ask(py, body, "HEAD"))
}

impl Outcome {
    #[track_caller]
    fn is_fine(&self, status: u16, body: &str) {
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
    fn is_error(&self, failure: &str) {
        assert_eq!((self.response.status, self.response.broken), (500, false), "{:?}", self.failures);
        assert_eq!(self.response.body, b"Internal Server Error");
        assert!(self.response.fields.contains(&("Content-Length".into(), "21".into())));
        self.failed_with(failure);
    }

    #[track_caller]
    fn is_cut(&self, failure: &str) {
        assert!(self.response.broken);
        self.failed_with(failure);
    }

    #[track_caller]
    fn failed_with(&self, failure: &str) {
        assert_eq!(self.failures.len(), 1, "{:?}", self.failures);
        assert!(self.failures[0].contains(failure), "{:?}", self.failures);
    }
}

#[test]
fn a_list_of_one_piece() {
    let outcome = get(
        "start_response('200 All right', [('X-A', '1'), ('Content-Type', 'text/plain')])\nreturn [b'hello']",
    );
    outcome.is_fine(200, "hello");
    assert_eq!(outcome.response.reason, "All right");
    assert_eq!(outcome.response.known_length, Some(5));
    let fields = [("X-A", "1"), ("Content-Type", "text/plain")].map(|(n, v)| (n.to_string(), v.to_string()));
    assert_eq!(outcome.response.fields, fields);
}

#[test]
fn the_length_is_known_where_it_is_certain() {
    for (result, body, known) in [
        ("[]", "", Some(0)),
        ("()", "", Some(0)),
        ("[b'']", "", Some(0)),
        ("[b'a', b'', b'bc']", "abc", Some(3)),
        ("(b'ab',)", "ab", Some(2)),
        ("iter([b'ab'])", "ab", None),
        ("iter([])", "", Some(0)),
        ("Pieces([b'', b''])", "", Some(0)),
        ("b''", "", Some(0)),
    ] {
        let outcome = get(&format!("start_response(OK, [])\nreturn {result}"));
        outcome.is_fine(200, body);
        assert_eq!(outcome.response.known_length, known, "{result}");
    }
    let outcome = get("start_response(OK, [('content-length', '2')])\nreturn [b'ab']");
    outcome.is_fine(200, "ab");
    assert_eq!(outcome.response.known_length, None);
}

#[test]
fn responses_without_a_body() {
    for status in ["204 No Content", "304 Not Modified"] {
        let outcome =
            get(&format!("start_response('{status}', [('Content-Length', '9')])\nreturn [b'ignored']"));
        assert_eq!(
            (outcome.response.body.len(), outcome.response.known_length, outcome.response.broken),
            (0, None, false)
        );
        assert!(outcome.misuses.is_empty());
    }
    let outcome = head("start_response(OK, [])\nreturn [b'hello']");
    outcome.is_fine(200, "");
    assert_eq!(outcome.response.known_length, Some(5));
    let outcome = head("start_response(OK, [])\nreturn []");
    outcome.is_fine(200, "");
    assert_eq!(outcome.response.known_length, None);
    head("start_response(OK, [('Content-Length', '5')])\nreturn []").is_fine(200, "");
    let endless = "import itertools\nstart_response(OK, [])\nreturn Pieces(itertools.repeat(b'x'))";
    let outcome = head(endless);
    outcome.is_fine(200, "");
    assert_eq!(outcome.closed, 2);
    let outcome = head("1/0");
    assert_eq!(
        (outcome.response.status, outcome.response.body.len(), outcome.response.broken),
        (500, 0, false)
    );
}

#[test]
fn heads_that_are_refused() {
    for (arguments, message) in [
        ("'200', []", "is no status"),
        ("'2000 OK', []", "is no status"),
        ("' 200 OK', []", "is no status"),
        ("'', []", "is no status"),
        ("'20x OK', []", "is no status"),
        ("'100 Continue', []", "not a final status"),
        ("'200 O\\nK', []", "control characters"),
        ("b'200 OK', []", "the status must be str, not bytes"),
        ("200, []", "the status must be str, not int"),
        ("'200 \\u20ac', []", "beyond latin-1"),
        ("OK, (('a', 'b'),)", "must be a list, not tuple"),
        ("OK, {}", "must be a list, not dict"),
        ("OK, None", "must be a list, not NoneType"),
        ("OK, ['ab']", "tuple of two str"),
        ("OK, [('a',)]", "tuple of two str"),
        ("OK, [('a', 'b', 'c')]", "tuple of two str"),
        ("OK, [['a', 'b']]", "tuple of two str"),
        ("OK, [(b'a', 'b')]", "a header name must be str, not bytes"),
        ("OK, [('a', 5)]", "a header value must be str, not int"),
        ("OK, [('', 'b')]", "is no header name"),
        ("OK, [('a b', 'b')]", "is no header name"),
        ("OK, [('a:', 'b')]", "is no header name"),
        ("OK, [('a\\r\\nX', 'b')]", "is no header name"),
        ("OK, [('\\u00fc', 'b')]", "is no header name"),
        ("OK, [('a', 'b\\r\\nSet-Cookie: evil=1')]", "has control characters"),
        ("OK, [('a', 'b\\0')]", "has control characters"),
        ("OK, [('a', '\\u20ac')]", "beyond latin-1"),
        ("OK, [('Content-Length', '+5')]", "is no Content-Length"),
        ("OK, [('Content-Length', '5, 5')]", "is no Content-Length"),
        ("OK, [('Content-Length', '5'), ('content-length', '6')]", "two Content-Lengths"),
        ("OK, [('a', 'x' * 70_000)]", "more than 65536 bytes"),
        ("OK, [('a', 'x' * 1000)] * 66", "more than 65536 bytes"),
        ("OK, [('a', '')] * 8000", "more than 65536 bytes"),
        ("OK", "takes a status and headers"),
        ("", "takes a status and headers"),
        ("OK, [], None, 1", "takes a status and headers"),
        ("OK, [], nonsense=1", "no argument nonsense"),
        ("OK, [], None, exc_info=None", "no argument exc_info left"),
        ("OK, [], 5", "tuple"),
    ] {
        // Without the second call the refusal of exc_info=5 would not be reached.
        let first = if arguments.ends_with(", 5") { "start_response(OK, [])(b'')\n" } else { "" };
        let outcome = get(&format!("{first}start_response({arguments})\nreturn [b'x']"));
        assert_eq!(outcome.failures.len(), 1, "{arguments}");
        assert!(outcome.failures[0].contains(message), "{arguments}: {:?}", outcome.failures);
        assert_eq!(outcome.response.status, if first.is_empty() { 500 } else { 200 }, "{arguments}");
    }
}

#[test]
fn heads_that_are_odd_but_right() {
    let outcome = get(
        "class S(str): pass\nclass L(list): pass\nstart_response(S('299 '), L([(S('A'), S('\\u00e9\\tx'))]))\nreturn []",
    );
    outcome.is_fine(299, "");
    assert_eq!(outcome.response.fields, [("A".to_string(), "\u{e9}\tx".to_string())]);
    let same = get("start_response(OK, [('Content-Length', '1'), ('content-length', ' 1 ')])\nreturn [b'x']");
    same.is_fine(200, "x");
    assert_eq!(same.response.fields.len(), 1);
    let largest = get("start_response(OK, [('a', 'x' * 65_000)])\nreturn [b'x' * 96_000]");
    assert_eq!((largest.response.status, largest.response.body.len()), (200, 96_000));
}

#[test]
fn later_changes_of_the_list_do_not_count() {
    let outcome = get(
        "headers = [('A', 'b')]\nstart_response(OK, headers)\nheaders[0] = ('B', 'x\\r\\ny')\nreturn [b'x']",
    );
    outcome.is_fine(200, "x");
    assert_eq!(outcome.response.fields, [("A".to_string(), "b".to_string())]);
}

#[test]
fn start_response_is_called_once_or_with_exc_info() {
    get("return [b'x']").is_error("start_response was not called");
    get("return []").is_error("start_response was not called");
    get("return iter([b'x'])").is_error("start_response was not called");
    get("start_response(OK, [])\nstart_response(OK, [])\nreturn []").is_error("a second time");
    get("start_response(OK, [])\nstart_response(OK, [], None)\nreturn []").is_error("a second time");
    let replaced =
        get("start_response(OK, [('A', 'b')])\nstart_response('404 No', [], error())\nreturn [b'x']");
    replaced.is_fine(404, "x");
    assert!(replaced.response.fields.is_empty());
    get("start_response(OK, [('Content-Length', '9')])\nstart_response('404 No', [], exc_info=error())\nreturn [b'x']")
        .is_fine(404, "x");
    get("start_response('404 No', [], error())\nreturn [b'x']").is_fine(404, "x");
    // A generator may start late.
    get("def late():\n    yield b''\n    start_response(OK, [])\n    yield b'x'\nreturn late()")
        .is_fine(200, "x");
}

#[test]
fn exc_info_after_the_head_is_raised_again() {
    let outcome = get(
        "def late():\n    yield b'x'\n    start_response('500 No', [], error())\nstart_response(OK, [])\nreturn late()",
    );
    outcome.is_cut("LookupError('first')");
    assert_eq!((outcome.response.status, &*outcome.response.body), (200, &b"x"[..]));
    let traced = "
global lines
import traceback
start_response(OK, [])(b'x')
try:
    start_response('500 No', [], error())
except LookupError as caught:
    lines = [frame.name for frame in traceback.extract_tb(caught.__traceback__)]
return []";
    Python::attach(|py| {
        let mut stage = stage(py, traced);
        stage.run(py, &Request::get("/"));
        assert_eq!(stage.eval::<Vec<String>>(py, "lines"), ["app", "error"]);
    });
}

#[test]
fn a_start_response_that_was_kept_is_of_no_use_later() {
    Python::attach(|py| {
        let source = "
kept = []
results = []
def app(environ, start_response):
    for one, write in kept:
        try:
            one('200 OK', [('Evil', '1')])
        except RuntimeError as error:
            results.append(str(error))
        try:
            write(b'evil')
        except RuntimeError as error:
            results.append(str(error))
    kept.append((start_response, start_response('200 OK', [])))
    return [b'x']
";
        let mut stage = Stage::new(py, source);
        let slots = [(); 3].map(|()| stage.submit(&Request::get("/")));
        stage.with_runner(py, |stage, runner| {
            for slot in slots {
                runner.run_guarded(stage.end().take().unwrap()).unwrap();
                let response = stage.read_finished(slot);
                assert_eq!((&*response.body, response.fields.len()), (&b"x"[..], 0));
            }
        });
        assert_eq!(stage.eval::<Vec<String>>(py, "results"), ["the request is over"; 6]);
        assert_eq!(stage.eval::<usize>(py, "len({id(one) for one, write in kept})"), 3);
    });
}

#[test]
fn kept_callables_are_told_apart_whichever_is_kept() {
    for keep in ["start_response", "write", "write.__self__", "start_response.__self__"] {
        let source = format!(
            "kept = []\ndef app(environ, start_response):\n    write = start_response('200 OK', [])\n    kept.append({keep})\n    return []"
        );
        Python::attach(|py| {
            let mut stage = Stage::new(py, &source);
            let slots = [(); 4].map(|()| stage.submit(&Request::get("/")));
            stage.with_runner(py, |stage, runner| {
                for slot in slots {
                    runner.run_guarded(stage.end().take().unwrap()).unwrap();
                    stage.read_finished(slot);
                }
            });
            assert_eq!(stage.eval::<usize>(py, "len({id(one) for one in kept})"), 4, "{keep}");
        });
    }
}

#[test]
fn write_sends() {
    let outcome = get("write = start_response(OK, [])\nwrite(b'a')\nwrite(b'')\nwrite(b'b')\nreturn [b'c']");
    outcome.is_fine(200, "abc");
    assert_eq!(outcome.response.known_length, None);
    get("start_response(OK, [('Content-Length', '2')])(b'ab')\nreturn []").is_fine(200, "ab");
    get("start_response(OK, [])('a')\nreturn []").is_error("write() takes bytes, not str");
    get("start_response(OK, [])(b'')\n1/0").is_cut("ZeroDivisionError");
    let outcome = get("start_response(OK, [('Content-Length', '2')])(b'abc')\nreturn []");
    assert_eq!(
        (outcome.misuses.len(), &*outcome.response.body, outcome.response.broken),
        (1, &b"ab"[..], false)
    );
}

#[test]
fn lengths_are_kept() {
    for result in
        ["[b'abc', b'd']", "[b'abcd']", "Pieces([b'a', b'bcd'])", "Pieces([b'ab', b'c', b'd'])", "(b'abcd',)"]
    {
        let outcome = get(&format!("start_response(OK, [('Content-Length', '3')])\nreturn {result}"));
        assert_eq!((&*outcome.response.body, outcome.response.broken), (&b"abc"[..], false), "{result}");
        assert_eq!(outcome.misuses.len(), 1, "{result}: {:?}", outcome.misuses);
        assert!(outcome.misuses[0].contains("longer than its Content-Length"));
    }
    for result in ["[b'a', b'b']", "[b'ab']", "Pieces([b'a', b'b'])", "[]", "Pieces([])", "(b'ab',)"] {
        let outcome = get(&format!("start_response(OK, [('Content-Length', '3')])\nreturn {result}"));
        assert!(outcome.response.broken, "{result}");
        assert_eq!(outcome.misuses.len(), 1);
        assert!(outcome.misuses[0].contains("Content-Length said 3"));
    }
    for result in ["[b'a', b'bc']", "Pieces([b'a', b'', b'bc', b'', b''])"] {
        get(&format!("start_response(OK, [('Content-Length', '3')])\nreturn {result}")).is_fine(200, "abc");
    }
    get("start_response(OK, [('Content-Length', '0')])\nreturn Pieces([b''])").is_fine(200, "");
}

#[test]
fn failures_before_the_head_become_500() {
    get("1/0").is_error("ZeroDivisionError");
    get("start_response(OK, [('A', 'b')])\n1/0").is_error("ZeroDivisionError");
    get("raise SystemExit(3)").is_error("SystemExit(3)");
    get("raise KeyboardInterrupt").is_error("KeyboardInterrupt");
    get("raise GeneratorExit").is_error("GeneratorExit");
    get("start_response(OK, [])\nreturn None").is_error("iterable of bytes, not NoneType");
    get("start_response(OK, [])\nreturn 'text'").is_error("must be bytes, not str");
    get("start_response(OK, [])\nreturn [bytearray(b'x')]").is_error("must be bytes, not bytearray");
    get("start_response(OK, [])\nreturn [memoryview(b'x')]").is_error("must be bytes, not memoryview");
    get("start_response(OK, [])\nreturn iter([None])").is_error("must be bytes, not NoneType");
    get("start_response(OK, [])\nreturn b'bytes'").is_error("must be bytes, not int");
    get("def g():\n    1/0\n    yield\nstart_response(OK, [])\nreturn g()").is_error("ZeroDivisionError");
}

#[test]
fn failures_after_the_head_cut_the_response() {
    let outcome = get("def g():\n    yield b'x'\n    1/0\nstart_response(OK, [])\nreturn Pieces(g())");
    outcome.is_cut("ZeroDivisionError");
    assert_eq!((outcome.response.status, &*outcome.response.body, outcome.closed), (200, &b"x"[..], 2));
    let outcome = get("start_response(OK, [])\nreturn [b'x', 5]");
    outcome.is_cut("must be bytes, not int");
    // When the announced length has been sent, the client's response is whole.
    let outcome =
        get("def g():\n    yield b'x'\n    1/0\nstart_response(OK, [('Content-Length', '1')])\nreturn g()");
    assert!(!outcome.response.broken);
    outcome.failed_with("ZeroDivisionError");
}

#[test]
fn close_is_called_once_whatever_happens() {
    for (result, failures) in [
        ("Pieces([b'x'])", 0),
        ("Pieces([])", 0),
        ("Pieces([b'x', 5])", 1),
        ("Pieces([5])", 1),
        ("Pieces((1/0 for _ in [1]))", 1),
        ("Pieces([b'x'], in_close=ValueError('in close'))", 1),
        ("Pieces([5], in_close=ValueError('in close'))", 2),
    ] {
        for method in ["GET", "HEAD"] {
            for start in ["start_response(OK, [])", "start_response(OK, [('Content-Length', '1')])", "pass"] {
                let outcome = Python::attach(|py| ask(py, &format!("{start}\nreturn {result}"), method));
                assert_eq!(outcome.closed, 2, "{method} {start} {result}");
                if method == "GET" && start != "pass" {
                    assert_eq!(outcome.failures.len(), failures, "{start} {result} {:?}", outcome.failures);
                }
            }
        }
    }
    let outcome = get("start_response(OK, [])\nreturn Pieces([b'x'], in_close=ValueError('in close'))");
    assert_eq!((outcome.response.broken, &*outcome.response.body), (false, &b"x"[..]));
}

#[test]
fn an_observer_that_fails_does_not_hurt() {
    Python::attach(|py| {
        let source = "
import sys
unraisable = []
sys.unraisablehook = lambda info: unraisable.append(repr(info.exc_value))
def failed(environ, error): raise KeyError('observer')
observer.failed = failed
def app(environ, start_response): 1/0
";
        let mut stage = Stage::new(py, source);
        let response = stage.run(py, &Request::get("/"));
        assert_eq!((response.status, response.broken), (500, false));
        assert!(stage.eval::<bool>(py, "\"KeyError('observer')\" in unraisable"));
    });
}

#[test]
fn nothing_of_a_request_is_kept_alive() {
    Python::attach(|py| {
        let source = "
import weakref, gc
class Thing: pass
alive = []
def app(environ, start_response):
    thing = environ['thing'] = Thing()
    alive.append(weakref.ref(thing))
    try:
        1/0
    except ZeroDivisionError:
        import sys
        start_response('200 OK', [], sys.exc_info())
    def pieces():
        yield b'x'
        thing
    return pieces()
";
        let mut stage = Stage::new(py, source);
        let slots = [(); 3].map(|()| stage.submit(&Request::get("/")));
        stage.with_runner(py, |stage, runner| {
            for slot in slots {
                runner.run_guarded(stage.end().take().unwrap()).unwrap();
                stage.read_finished(slot);
            }
        });
        assert_eq!(
            stage.eval::<usize>(py, "gc.collect() and 0 or sum(ref() is not None for ref in alive)"),
            0
        );
    });
}
