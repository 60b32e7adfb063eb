//! The corpus of wire files; its format is described in `tests/corpus/README.md` at the root.

#![allow(clippy::unwrap_used, reason = "a failing test may say so bluntly")]

mod common;

use std::path::{Path, PathBuf};

use common::{OwnedHead, Seen, every_cut};
use pelton_http::{Length, Limits, Version};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .collect();
    files.sort();
    files
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("unknown escape {other:?} in {text}"),
        });
    }
    out
}

fn check_statement(head: &OwnedHead, keyword: &str, argument: &str, fields_seen: &mut usize, place: &str) {
    let bytes = unescape(argument);
    let yes = || match argument {
        "yes" => true,
        "no" => false,
        other => panic!("{place}: {other} is neither yes nor no"),
    };
    match keyword {
        "method" => assert_eq!(head.method, bytes, "{place}"),
        "target" => assert_eq!(head.target, bytes, "{place}"),
        "path" => assert_eq!(head.path, bytes, "{place}"),
        "query" => assert_eq!(head.query, bytes, "{place}"),
        "host" => assert_eq!(head.authority, bytes, "{place}"),
        "version" => {
            let version = if argument == "1.0" { Version::Http10 } else { Version::Http11 };
            assert_eq!(head.version, version, "{place}");
        }
        "length" => {
            let length = match argument {
                "none" => Length::None,
                "chunked" => Length::Chunked,
                digits => Length::Exact(digits.parse().unwrap()),
            };
            assert_eq!(head.length, length, "{place}");
        }
        "keep-alive" => assert_eq!(head.keep_alive, yes(), "{place}"),
        "expect-continue" => assert_eq!(head.expect_continue, yes(), "{place}"),
        "fields" => assert_eq!(head.fields.len(), argument.parse::<usize>().unwrap(), "{place}"),
        "field" => {
            let (name, value) = argument.split_once(' ').unwrap_or((argument, ""));
            let wanted = (name.as_bytes().to_vec(), unescape(value));
            let found = head.fields[*fields_seen..].iter().position(|field| *field == wanted);
            *fields_seen += 1 + found.unwrap_or_else(|| panic!("{place}: not in {:?}", head.fields));
        }
        "no-field" => assert!(head.fields.iter().all(|(name, _)| *name != bytes), "{place}"),
        other => panic!("{place}: unknown keyword {other}"),
    }
}

fn check(path: &Path) {
    let wire = std::fs::read(path).unwrap();
    let expect = std::fs::read_to_string(path.with_extension("expect")).unwrap();
    let mut seen = every_cut(&wire, &Limits::default()).into_iter().peekable();

    let lines: Vec<(usize, &str)> = expect
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| (number + 1, line))
        .collect();
    let mut lines = lines.into_iter().peekable();
    while let Some((number, line)) = lines.next() {
        let place = format!("{}:{number}: {line}", path.with_extension("expect").display());
        match line.split_once(' ').unwrap_or((line, "")) {
            ("request", "") => {
                let Some(Seen::Head(head)) = seen.next() else { panic!("{place}: no further request") };
                let mut body = Vec::new();
                let mut fields_seen = 0;
                while let Some((number, line)) = lines.next_if(|(_, line)| {
                    *line != "request" && !line.starts_with("error ") && *line != "incomplete"
                }) {
                    let place = format!("{}:{number}: {line}", path.with_extension("expect").display());
                    let (keyword, argument) = line.split_once(' ').unwrap_or((line, ""));
                    if keyword == "body" {
                        body = unescape(argument);
                    } else {
                        check_statement(&head, keyword, argument, &mut fields_seen, &place);
                    }
                }
                let data = match seen.next_if(|event| matches!(event, Seen::Data(_))) {
                    Some(Seen::Data(data)) => data,
                    _ => Vec::new(),
                };
                if seen.next_if_eq(&Seen::End).is_some() {
                    assert_eq!(data, body, "{place}: body");
                } else {
                    assert!(lines.peek().is_some(), "{place}: never complete: {:?}", seen.peek());
                }
            }
            ("error", argument) => {
                let Some(Seen::Error(error)) = seen.next() else { panic!("{place}: accepted") };
                assert_eq!(format!("{} {error:?}", error.status()), argument, "{place}");
                assert!(lines.peek().is_none(), "{place}: not the last statement");
            }
            ("incomplete", "") => {
                assert_eq!(seen.next(), Some(Seen::Incomplete), "{place}");
                assert!(lines.peek().is_none(), "{place}: not the last statement");
            }
            _ => panic!("{place}: a request must begin with `request`"),
        }
    }
    assert_eq!(seen.next(), None, "{}: more than expected", path.display());
}

/// Checks all files of a folder and names every one that fails.
fn check_all(folder: &str) {
    let failed: Vec<_> = files(folder)
        .into_iter()
        .filter(|path| std::panic::catch_unwind(|| check(path)).is_err())
        .map(|path| path.file_name().unwrap_or_default().to_owned())
        .collect();
    assert!(failed.is_empty(), "{folder}: {failed:?}");
}

#[test]
fn valid() {
    check_all("valid");
}

#[test]
fn invalid() {
    check_all("invalid");
}

#[test]
fn smuggling() {
    check_all("smuggling");
}

#[test]
fn is_a_corpus() {
    let count: usize = ["valid", "invalid", "smuggling"].iter().map(|folder| files(folder).len()).sum();
    assert!(count >= 500, "only {count} files found");
}
