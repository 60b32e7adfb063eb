//! What is said of requests whose worker failed them: enough to find them again in the application.
//!
//! The record lies in memory that the worker could write to, so nothing in it is trusted, and nothing of it reaches the log unescaped. Without
//! the query, which may hold secrets.

use std::fmt::Write;

use pelton_link::request::RequestView;

use crate::scheduling::worker_link::Worker;

/// Longer paths are cut: a log line is for reading.
const MOST_CHARACTERS: usize = 200;

/// `GET /path from 10.0.0.1` for the request in a slot.
pub fn describe(worker: &Worker, slot: u16) -> String {
    let Some(request) = RequestView::new(worker.end.record(u32::from(slot))) else {
        return "a request whose record is damaged".to_owned();
    };
    let peer = if request.peer().is_empty() { &b"a unix socket"[..] } else { request.peer() };
    format!("{} {} from {}", printable(request.method()), printable(request.path()), printable(peer))
}

/// How a worker is called in the log.
pub fn name(worker: &Worker) -> String {
    format!("worker {} (pid {})", worker.number, worker.pid)
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MOST_CHARACTERS {
            out.push('…');
            break;
        }
        if c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        {
            // Writing into a String cannot fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_path_can_forge_a_line_or_drive_a_terminal() {
        assert_eq!(printable(b"/a b/\xc3\xa9"), "/a b/é");
        assert_eq!(printable(b"/x\n2026 ERROR\x1b[31m"), "/x\\u{a}2026 ERROR\\u{1b}[31m");
        assert_eq!(printable(b"\xff"), "\u{fffd}");
        assert_eq!(printable(&[b'a'; 1000]).chars().count(), MOST_CHARACTERS + 1);
    }
}
