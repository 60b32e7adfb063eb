//! start_response, write, pieces and lengths.

mod support;

use support::outcome::{get, head};

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
