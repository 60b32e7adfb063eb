//! Whether a worker takes what it is given: one whose interpreter or hub is blocked does not, however many permits it has.
//!
//! A request that has a permit is taken within a millisecond or so by any worker that runs at all: by an idle thread, by the sentinel that finds the
//! others busy, by a greenlet. Not where native code keeps the interpreter's lock, or a greenlet the hub. Nothing tells the front of that, but
//! the head of the ready ring does not move, and nothing comes back.
//!
//! Owns what is remembered of that for one worker. What follows from it is in `stuck` and `placing`. Must not know requests. Runs on the front's thread.

use pelton_link::FrontEnd;

/// How long a request lies untaken before its worker counts as silent. Long beside the interpreter's switch interval (5 ms), for which a thread may have to wait
/// several times over before it can take one; short beside what people notice.
pub const SILENT_MS: u64 = 50;

/// How long nobody relies on a worker that has been silent.
pub const RELIABLE_MS: u64 = 1000;

#[derive(Debug, Default)]
pub struct Taking {
    /// How many requests it had taken when last looked at with some untaken, and when that was seen first. A count that was seen with some
    /// untaken cannot be seen again once it has moved.
    seen: u32,
    seen_ms: u64,
    /// How many it had been given when all that could go elsewhere was taken back: entries up to there are of no interest.
    emptied: u32,
    /// It was silent when last looked at.
    is_silent: bool,
    /// When it last was.
    silent_ms: Option<u64>,
}

impl Taking {
    /// All that it was given until now has been taken back, but for what nobody else can have.
    pub fn note_emptied(&mut self, end: &FrontEnd) {
        self.emptied = end.given();
    }

    /// Whether there are untaken requests beside idle threads (`permits`), so that silence would matter.
    #[inline]
    pub fn may_fall_silent(&self, end: &FrontEnd, permits: isize) -> bool {
        let given = end.given();
        given != self.emptied && given != end.taken() && permits > 0
    }

    /// Looks at what has been taken; whether its worker is silent. It is not where it lets go of requests: then it is about to take the next ones.
    /// Nor without permits: then it is just busy, which is for `stuck_seats` to see.
    #[inline]
    pub fn look(&mut self, end: &FrontEnd, now_ms: u64, may_be_silent: bool) -> bool {
        let taken = end.taken();
        if taken == end.given() {
            self.is_silent = false;
        } else if taken != self.seen {
            self.seen = taken;
            self.seen_ms = now_ms;
            self.is_silent = false;
        } else {
            self.is_silent = may_be_silent && now_ms.saturating_sub(self.seen_ms) >= SILENT_MS;
        }
        if self.is_silent {
            self.silent_ms = Some(now_ms);
        }
        self.is_silent
    }

    /// Whether it has not been silent for a while: so what is moved to it will run there. Where all compute for long, each is silent in turns, and what
    /// is moved back and forth between them keeps nobody busy.
    pub fn is_reliable(&self, now_ms: u64) -> bool {
        self.silent_ms.is_none_or(|silent| now_ms.saturating_sub(silent) >= RELIABLE_MS)
    }

    /// Whether it was silent at the last look and has taken nothing since.
    pub fn is_silent(&self, end: &FrontEnd) -> bool {
        self.is_silent && end.taken() == self.seen
    }
}
