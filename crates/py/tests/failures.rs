//! Responses that fail, and what must not outlive them: exc_info, close(), observers, callables that were kept.

mod support;

use pyo3::prelude::*;
use support::outcome::{ask, get, stage};
use support::{Request, Stage};

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
fn kept_callables_are_distinguished_whichever_is_kept() {
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
