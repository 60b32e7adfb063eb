//! The client's own socket, offered with a request that wants to leave HTTP (RFC 9110 section 7.8): who has it is decided here, once.
//!
//! A duplicate of the descriptor travels like a body's file (`descriptors`). Two ends that can both write to one socket must never both do so,
//! so a word of the slot says whose it is, and it changes once:
//!
//! ```text
//!            submit                 the worker: the application touches the socket
//!   None ─────────────▶ Offered ─┬─────────────────────────────────────────────────▶ Taken
//!                                └─────────────────────────────────────────────────▶ Refused
//!                                   the front: before it writes or closes by itself (504, 502, the client has gone, the end)
//! ```
//!
//! Both steps are a compare-exchange from Offered, so exactly one of them happens. A response of the application needs none of them: who sends
//! one has given up taking (`py/responder` sees to that), and the front refuses when it begins to pass it on, to be sure. After
//! Taken the worker lets go of the slot at once, and the front of the connection.
//!
//! A worker can write anything into the word; what it spoils is the connection that it has a descriptor of anyway.

use std::sync::atomic::Ordering;

use crate::front_end::FrontEnd;
use crate::layout::{SOCKET_NONE, SOCKET_OFFERED, SOCKET_REFUSED, SOCKET_TAKEN};
use crate::worker_end::{Taken, WorkerEnd};

impl FrontEnd {
    /// Says of a claimed slot, before it is submitted, that its client's socket may be taken; its descriptor has been given as a file.
    pub fn offer_socket(&mut self, slot: u32) {
        self.slot(slot).asker.0.socket.store(SOCKET_OFFERED, Ordering::Relaxed);
    }

    /// Takes the offer back, so that the front may write to the socket; false when the worker was first.
    pub fn withdraw_socket(&self, slot: u32) -> bool {
        let word = &self.slot(slot).asker.0.socket;
        let refused =
            word.compare_exchange(SOCKET_OFFERED, SOCKET_REFUSED, Ordering::AcqRel, Ordering::Acquire);
        refused != Err(SOCKET_TAKEN)
    }

    /// Whether the worker has taken the socket.
    pub fn is_socket_taken(&self, slot: u32) -> bool {
        self.slot(slot).asker.0.socket.load(Ordering::Acquire) == SOCKET_TAKEN
    }

    /// How many clients' sockets the worker says it has. For a choice between workers: it may say anything.
    pub fn sockets_held(&self) -> u32 {
        self.control().pulse.0.sockets.load(Ordering::Relaxed)
    }

    pub(crate) fn forget_socket(&self, slot: u32) {
        self.slot(slot).asker.0.socket.store(SOCKET_NONE, Ordering::Relaxed);
    }
}

impl WorkerEnd {
    /// Takes the client's socket, whose descriptor was fetched with [`WorkerEnd::take_file`]; false when the front has withdrawn it, or the
    /// link is severed. Afterwards nothing may be put into the response: end the request with [`WorkerEnd::hand_over`].
    pub fn take_socket(&self, taken: &Taken) -> bool {
        let word = &self.slot(taken.slot()).asker.0.socket;
        !self.is_severed()
            && self.is_running(taken.slot(), taken.generation())
            && word
                .compare_exchange(SOCKET_OFFERED, SOCKET_TAKEN, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// Ends a request whose socket was taken. The front is woken at once: it holds the connection until it knows, and the thread that
    /// serves it may look after no other request for hours.
    pub fn hand_over(&self, taken: Taken) {
        self.control().pulse.0.sockets.fetch_add(1, Ordering::Relaxed);
        self.finish(taken, false);
        self.settle();
    }

    /// How many were taken and are still used.
    pub fn sockets_held(&self) -> u32 {
        self.control().pulse.0.sockets.load(Ordering::Relaxed)
    }

    /// A socket that was taken is no longer used.
    pub fn socket_ended(&self) {
        self.control().pulse.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}
