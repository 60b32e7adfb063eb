//! A worker that sleeps on a descriptor: what its event loop waits for together with the application's own sockets.
//!
//! Owns how such a worker listens (the *bell*), and how the front rings it and says which requests have news (*roused*). The worker kinds with
//! threads never listen; theirs sleep on futexes. Must not know event loops, nor greenlets: who listens looks after its own waiting.
//!
//! # What the bell is
//! Within one process an eventfd. Between processes the link's own socket, over which files travel anyway: a packet without a file is a ring. So
//! no further descriptor has to find its way, and a broken worker cannot make the front wait by handing it something that blocks: a
//! packet is sent without waiting, or not at all where so many lie there that the worker is woken by those.
//!
//! Whoever looks for a file takes all packets out of that socket, on any thread, and with them perhaps a ring that the event loop has not seen. So it rings
//! an eventfd of this end's own in its place, and what the event loop waits for is an epoll instance over both.
//!
//! # Who touches what
//! | word | who |
//! |---|---|
//! | `listens` | the worker sets it, once, before it first sleeps |
//! | `bell` | [`BELL_LISTENING`] set by the worker before it sleeps; taken back by whoever rings, or by the worker when it looks |
//! | `roused` | bits set by the front (and by `sever`), taken by the worker |
//!
//! Named race. *Sleep against news*: the worker sets the bell, then looks at the ready ring and at `roused`; the front pushes or sets a bit, then
//! looks at the bell; all sequentially consistent, so that at least one of them sees the other. A ring for what has been seen meanwhile
//! is a wake-up too many, no more.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;

use crate::front_end::FrontEnd;
use crate::layout::{BELL_AWAKE, BELL_LISTENING};
use crate::slot_bits::take_bits;
use crate::worker_end::WorkerEnd;

impl FrontEnd {
    /// Wakes whoever sleeps on the words of this slot in a worker that listens. Nothing for all others.
    pub(crate) fn rouse(&self, slot: u32) {
        let control = self.control();
        if control.sleepers.0.listens.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(bits) = control.roused.0.get(slot as usize / 64) {
            bits.fetch_or(1 << (slot % 64), Ordering::SeqCst);
        }
        let bell = &control.sleepers.0.bell;
        if bell.load(Ordering::SeqCst) == BELL_LISTENING
            && bell.swap(BELL_AWAKE, Ordering::SeqCst) == BELL_LISTENING
        {
            self.post.ring();
        }
    }
}

impl WorkerEnd {
    /// From now on this worker sleeps on the descriptor that is returned, which becomes readable when it is rung. It lives as long as this end. Fails
    /// when the process has no descriptor left.
    pub fn listen(&self) -> io::Result<RawFd> {
        let bell = self.post.bell()?;
        self.sleepers().listens.store(1, Ordering::SeqCst);
        Ok(bell)
    }

    /// Announces that the worker is about to sleep on the bell; false (and nothing announced) when there is something to do already. With
    /// `takes_requests` false, a ready request is nothing to do.
    pub fn prepare_sleep(&self, takes_requests: bool) -> bool {
        let bell = &self.sleepers().bell;
        bell.store(BELL_LISTENING, Ordering::SeqCst);
        let has_news = takes_requests && self.ready() > 0
            || self
                .control()
                .roused
                .0
                .iter()
                .take(self.layout.slots / 64)
                .any(|word| word.load(Ordering::SeqCst) != 0);
        if has_news {
            bell.store(BELL_AWAKE, Ordering::SeqCst);
        }
        !has_news
    }

    /// Whether the worker has said that it is about to sleep, and nobody has rung since.
    pub fn is_asleep(&self) -> bool {
        self.sleepers().bell.load(Ordering::SeqCst) == BELL_LISTENING
    }

    /// The bell may have rung: silences it. False when it never will again, because the front's process has ended; its descriptor stays
    /// readable then and must not be waited for.
    pub fn answer_bell(&self) -> bool {
        self.sleepers().bell.store(BELL_AWAKE, Ordering::SeqCst);
        self.post.silence(|owner| self.is_wanted(owner))
    }

    /// Appends the slots that were roused since the last call.
    pub fn take_roused(&self, slots: &mut Vec<u32>) {
        let words = self.control().roused.0.get(..self.layout.slots / 64).unwrap_or_default();
        take_bits(words, |slot| slots.push(slot));
    }

    /// Wakes whoever sleeps in this worker for any slot: its own `sever` has released all of them.
    pub(crate) fn rouse_all(&self) {
        if self.sleepers().listens.load(Ordering::Relaxed) == 0 {
            return;
        }
        for bits in self.control().roused.0.iter().take(self.layout.slots / 64) {
            bits.store(u64::MAX, Ordering::SeqCst);
        }
        self.post.ring_ourselves();
    }
}
