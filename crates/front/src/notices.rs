//! What the front wants a person to know, on its way to the log.
//!
//! The front must never wait for a log, and must not know how one is written: it puts notices into a bounded queue, a thread of
//! the embedding process takes them out. When that is too slow, notices are counted instead of kept.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::scheduling::self_call::LocalCalls;

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For people who look for something.
    Debug,
    /// Worth a line.
    Info,
    /// Somebody should look at it.
    Warning,
    /// Something is lost or broken.
    Error,
}

/// Something of a worker that the supervisor acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Requests are handed to it from now on.
    Added,
    /// It was retired, and nothing of it runs any more.
    Quiet,
    /// It has had as many requests as it should.
    Spent,
    /// A thread has not let go of a request whose time was over.
    Stuck,
    /// It gives no sign of life: its interpreter does not run.
    Frozen,
}

/// A request on an admin listener that the embedding process is to respond to (`FrontHandle::respond`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Names it in the response.
    pub number: u64,
    /// The method.
    pub method: String,
    /// The path, as it was sent.
    pub path: String,
    /// The query, as it was sent.
    pub query: String,
    /// What the client accepts.
    pub accept: String,
    /// All that the front knows at this moment, as JSON.
    pub state: String,
}

/// A line for the log, or news for the supervisor, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How serious it is.
    pub level: Level,
    /// What happened, where, what to do. Empty: nothing is to be logged.
    pub message: String,
    /// What happened to which worker (by the supervisor's number).
    pub news: Option<(News, u64)>,
    /// Something that this thread cannot find out itself.
    pub question: Option<Box<LocalCalls>>,
    /// Somebody wants to know.
    pub asked: Option<Box<Asked>>,
}

/// More than this many unread notices say the same thing over and over.
const CAPACITY: usize = 256;

#[derive(Debug, Default)]
struct Inside {
    waiting: VecDeque<Notice>,
    dropped: u64,
    closed: bool,
}

/// What the front has to say to Python, in order and bounded.
#[derive(Debug, Default)]
pub struct Notices {
    inside: Mutex<Inside>,
    changed: Condvar,
}

impl Notices {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        // Nothing in here can be left half done by a panic.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line for the log.
    pub fn post(&self, level: Level, message: String) {
        let mut inside = self.lock();
        if inside.waiting.len() >= CAPACITY {
            inside.dropped += 1;
            return;
        }
        inside.waiting.push_back(Notice { level, message, news: None, question: None, asked: None });
        self.changed.notify_one();
    }

    /// Adds news; never dropped, since each of them comes once in a worker's life.
    pub fn tell(&self, news: News, worker: u64, message: String) {
        let level = if message.is_empty() { Level::Debug } else { Level::Error };
        self.lock().waiting.push_back(Notice {
            level,
            message,
            news: Some((news, worker)),
            question: None,
            asked: None,
        });
        self.changed.notify_one();
    }

    /// Adds a question; dropped like a line when nobody reads: there is a next one.
    pub fn ask(&self, question: LocalCalls) {
        let question = Some(Box::new(question));
        let mut inside = self.lock();
        if inside.waiting.len() < CAPACITY {
            inside.waiting.push_back(Notice {
                level: Level::Debug,
                message: String::new(),
                news: None,
                question,
                asked: None,
            });
            self.changed.notify_one();
        }
    }

    /// Passes a request on; false when nobody reads, and there is no room for it.
    pub fn pass_on(&self, asked: Asked) -> bool {
        let mut inside = self.lock();
        let has_room = inside.waiting.len() < CAPACITY && !inside.closed;
        if has_room {
            inside.waiting.push_back(Notice {
                level: Level::Debug,
                message: String::new(),
                news: None,
                question: None,
                asked: Some(Box::new(asked)),
            });
            self.changed.notify_one();
        }
        has_room
    }

    /// No more will come.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The next notice; waits for it. None when the front has ended.
    pub fn next(&self) -> Option<Notice> {
        let mut inside = self.lock();
        loop {
            if let Some(notice) = inside.waiting.pop_front() {
                return Some(notice);
            }
            if inside.dropped > 0 {
                let message =
                    format!("{} notices of the front were dropped: the log is too slow", inside.dropped);
                inside.dropped = 0;
                return Some(Notice {
                    level: Level::Warning,
                    message,
                    news: None,
                    question: None,
                    asked: None,
                });
            }
            if inside.closed {
                return None;
            }
            inside = self.changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_come_in_order_and_the_overflow_is_reported() {
        let notices = Notices::default();
        for i in 0..CAPACITY + 3 {
            notices.post(Level::Info, i.to_string());
        }
        notices.close();
        let all: Vec<_> = std::iter::from_fn(|| notices.next()).collect();
        assert_eq!(all.len(), CAPACITY + 1);
        assert_eq!(all[0].message, "0");
        assert!(all[CAPACITY].message.starts_with("3 notices"));
    }
}
