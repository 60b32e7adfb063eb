//! Requests that only one certain worker can answer: those of Werkzeug's debugger, whose frames live in the worker where the error happened, and
//! those of a session that lives in one worker, as Socket.IO's do.
//!
//! # The rules
//! A session's requests have `sid=SESSION` in the query, which ends in `-wN` where the worker has made it so (`pelton.worker.sessions`).
//! The debugger's page sends its requests with `__debugger__=yes` and `s=SECRET` in the query. Each worker's secret ends in `-wN`, its number with
//! the supervisor (`pelton.development.debugger`). Such a request waits for a free permit of worker N; if there is no such worker, or not any more, any other has
//! it, and answers that it does not know the frame. So nothing but the place is decided here: whether the secret is right, only the worker knows.
//!
//! Each is off, except where it is asked for: otherwise any client could choose the worker for its requests, and with that keep one busy.
//!
//! Owns the requests that wait for their worker, which are bounded together with the queue. Must not know connections' states. Runs on the front's thread.

use std::collections::VecDeque;

use pelton_link::request::RequestView;

use crate::ids::ExchangeId;
use crate::scheduling::attachments::Waiting;
use crate::scheduling::worker_link::Worker;

/// Finds the one worker that can answer a request.
#[derive(Debug, Default)]
pub struct Affinity {
    debugger: bool,
    sessions: bool,
    waiting: VecDeque<(u64, Waiting)>,
}

/// A worker that is there, and its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The supervisor's number for it.
    pub number: u64,
    /// Where it sits.
    pub seat: usize,
}

impl Affinity {
    /// Which requests have a worker of their own: the debugger's, those of sessions.
    pub fn new(debugger: bool, sessions: bool) -> Self {
        Affinity { debugger, sessions, waiting: VecDeque::new() }
    }

    /// Whether any request has.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.debugger || self.sessions
    }

    /// The worker that a request with this query is for; None where any will do.
    pub fn wanted(&self, workers: &[Option<Worker>], query: &[u8]) -> Option<Wanted> {
        let number = match (self.debugger, self.sessions) {
            (true, true) => worker_of_debugger(query).or_else(|| worker_of_session(query)),
            (true, false) => worker_of_debugger(query),
            (false, true) => worker_of_session(query),
            (false, false) => None,
        }?;
        Some(Wanted { number, seat: seat_of(workers, number)? })
    }

    /// Whether a request with this record is for the worker of this seat, and for no other.
    pub fn is_bound(&self, workers: &[Option<Worker>], record: &[u8], seat: usize) -> bool {
        let view = if self.is_on() { RequestView::new(record) } else { None };
        view.and_then(|view| self.wanted(workers, view.query())).is_some_and(|wanted| wanted.seat == seat)
    }

    /// Puts a request in line for its worker.
    pub fn wait(&mut self, number: u64, waiting: Waiting) {
        self.waiting.push_back((number, waiting));
    }

    /// How many wait.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Those that wait.
    pub fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().map(|(_, waiting)| waiting)
    }

    /// When the one that came first began to wait.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.waiting.iter().map(|(_, waiting)| waiting.since_ms).min()
    }

    /// The next request that need not wait any more: with a seat where its worker has a permit for it, without one where that worker has gone.
    pub fn next(&mut self, workers: &[Option<Worker>]) -> Option<(Option<Wanted>, Waiting)> {
        for index in 0..self.waiting.len() {
            let number = self.waiting.get(index)?.0;
            let wanted = seat_of(workers, number).map(|seat| Wanted { number, seat });
            if wanted.is_none_or(|wanted| has_permit(workers, wanted.seat)) {
                return self.waiting.remove(index).map(|(_, waiting)| (wanted, waiting));
            }
        }
        None
    }

    /// It could not be placed after all.
    pub fn put_back(&mut self, number: u64, waiting: Waiting) {
        self.waiting.push_front((number, waiting));
    }

    /// Takes the request of a connection out.
    pub fn leave(&mut self, id: ExchangeId) -> Option<Waiting> {
        let index = self.waiting.iter().position(|(_, waiting)| waiting.id == id)?;
        self.waiting.remove(index).map(|(_, waiting)| waiting)
    }

    /// Keeps those of `taken`, which a worker has given back, that no other worker can answer; gives the others.
    pub fn keep(&mut self, taken: Vec<Waiting>, workers: &[Option<Worker>]) -> Vec<Waiting> {
        if !self.is_on() {
            return taken;
        }
        let mut others = Vec::new();
        for waiting in taken {
            let wanted =
                RequestView::new(&waiting.record).and_then(|view| self.wanted(workers, view.query()));
            match wanted {
                Some(wanted) => self.wait(wanted.number, waiting),
                None => others.push(waiting),
            }
        }
        others
    }
}

/// Whether the worker of a seat has a thread free, and a slot.
pub fn has_permit(workers: &[Option<Worker>], seat: usize) -> bool {
    let worker = workers.get(seat).and_then(Option::as_ref);
    worker.is_some_and(|worker| worker.free_permits() > 0 && worker.end.free_slots() > 0)
}

fn seat_of(workers: &[Option<Worker>], number: u64) -> Option<usize> {
    workers
        .iter()
        .position(|seat| seat.as_ref().is_some_and(|worker| worker.number == number && worker.is_willing()))
}

/// The number at the end of the secret in a debugger's query. What is percent-encoded is not looked for: the debugger's own page encodes nothing of this.
fn worker_of_debugger(query: &[u8]) -> Option<u64> {
    let mut is_debugger = false;
    let mut secret = None;
    for pair in query.split(|byte| *byte == b'&') {
        if pair == b"__debugger__=yes" {
            is_debugger = true;
        } else if secret.is_none() {
            // Werkzeug takes the first of several, too.
            secret = pair.strip_prefix(b"s=");
        }
    }
    worker_at_end(secret.filter(|_| is_debugger)?)
}

/// The number at the end of a session's name. Its clients encode nothing of it either.
fn worker_of_session(query: &[u8]) -> Option<u64> {
    worker_at_end(query.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(b"sid="))?)
}

/// N of what ends in `-wN`.
fn worker_at_end(text: &[u8]) -> Option<u64> {
    let end = text.iter().rposition(|byte| *byte == b'-')?;
    let digits = text.get(end + 1..)?.strip_prefix(b"w")?;
    // Not by `parse` alone, which accepts a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_from_the_secret_of_a_debugger_request() {
        for (query, number) in [
            (&b"__debugger__=yes&cmd=1%2B1&frm=140&s=aB3xYz-w2"[..], Some(2)),
            (b"s=x-w17&__debugger__=yes", Some(17)),
            (b"__debugger__=yes&cmd=pinauth&pin=1-w9&s=q-w1", Some(1)),
            (b"__debugger__=yes&s=a-w1&s=b-w2", Some(1)),
            (b"__debugger__=yes&s=-w3", Some(3)),
            (b"__debugger__=yes&s=abc", None),
            (b"__debugger__=yes&s=abc-w", None),
            (b"__debugger__=yes&s=abc-w+1", None),
            (b"__debugger__=yes&s=abc-w1x", None),
            (b"__debugger__=yes&s=abc-w99999999999999999999999", None),
            (b"__debugger__=no&s=abc-w1", None),
            (b"x__debugger__=yes&s=abc-w1", None),
            (b"s=abc-w1", None),
            (b"", None),
        ] {
            assert_eq!(worker_of_debugger(query), number, "{}", String::from_utf8_lossy(query));
        }
    }
}
