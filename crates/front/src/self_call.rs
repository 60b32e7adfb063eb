//! An application that calls its own server while every permit is taken: found out, and helped with one permit more.
//!
//! A view that asks its own server for something waits for an answer that nobody can make, because it keeps the thread for it. What waits for
//! longer than a moment and comes from this machine is therefore looked at, once: the embedding process is asked whether the other end of the
//! connection is a socket of one of the workers ([`LocalCalls`]; this thread must not read `/proc`). If it is, the request goes past the
//! queue to a spare thread of that worker (see `penstock_link::Errand`), with a permit beyond the worker's own that ends with it.
//!
//! Nothing of this is on the way of a request that does not wait. Bounds: [`MOST_ASKED`] requests in a question; a question each
//! [`FIRST_MS`] at most, and ever more rarely, down to one each [`LAST_MS`], while the answer is no (a proxy on the same machine in front of a
//! server at its limit); as many permits lent at once as there are threads, so that a request which calls itself without end is stopped by
//! the queue's time-out like anything else that waits. Runs on the front's thread.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use penstock_link::{Errand, Phase};
use socket2::Socket;

use crate::connection_table::ConnectionId;
use crate::dispatch::{Dispatch, Place};
use crate::event_loop::EventLoop;
use crate::exchange::State;
use crate::notices::Level;
use crate::worker_link::{Holding, Waiting};

/// How long a request waits before it is looked at: longer than most requests take, so that what only waits its turn is left alone.
const FIRST_MS: u64 = 50;
/// The longest pause between two questions.
const LAST_MS: u64 = 1000;
/// Requests in one question; the others come in the next.
const MOST_ASKED: usize = 1024;
/// Recognised requests that wait until a lent permit is given back; further ones wait like any other request.
const MOST_WANTING: usize = 1024;
/// Permits that may be lent however few threads there are: with one thread, a view that calls one that calls a third is no recursion yet.
const LEAST_LENT: usize = 4;
/// Between two lines about permits that are not lent.
const COMPLAIN_EVERY_MS: u64 = 60_000;

/// What is done about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelfCallPolicy {
    /// Nothing is looked at.
    #[default]
    Off,
    /// The worker reports it.
    Warn,
    /// The worker reports it, and gets a permit more for it.
    Lend,
}

/// Where a connection comes from, if that is this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The addresses of both ends, the client's first.
    Tcp(SocketAddr, SocketAddr),
    /// A unix socket, connected by this process.
    Process(u32),
}

/// A request that waits and that was made on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalCall {
    /// By which the answer names it.
    pub number: u64,
    /// See [`Origin`].
    pub origin: Origin,
}

/// A question: which of these were made by the workers? [`crate::FrontHandle::called_itself`] answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalCalls {
    /// The requests.
    pub calls: Vec<LocalCall>,
    /// The workers' processes.
    pub workers: Vec<u32>,
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub(crate) struct SelfCalls {
    look_at: u64,
    pause: u64,
    /// The last request that was asked about; those before it have been, too.
    asked: u64,
    /// Recognised requests and their callers' processes, while all that may be lent is lent.
    wanting: VecDeque<(u64, u32)>,
    complain_at: u64,
}

impl SelfCalls {
    /// Milliseconds until the next look.
    pub(crate) fn due_in(&self, now_ms: u64) -> u64 {
        self.look_at.saturating_sub(now_ms)
    }

    /// There is a look now; gives the number after which requests have not been asked about.
    pub(crate) fn begin_look(&mut self, now_ms: u64) -> u64 {
        // Nothing has waited for a while: what the last answers said is over.
        if now_ms >= self.look_at + LAST_MS {
            self.pause = 0;
        }
        self.look_at = now_ms + FIRST_MS;
        self.asked
    }

    /// It has led to a question: the next one comes later, unless this one is answered.
    pub(crate) fn note_question(&mut self, now_ms: u64) {
        self.pause = (self.pause * 2).clamp(FIRST_MS, LAST_MS);
        self.look_at = now_ms + self.pause;
    }

    /// A request was recognised: where there is one, there may be more.
    pub(crate) fn note_answer(&mut self, now_ms: u64) {
        self.pause = 0;
        self.look_at = self.look_at.min(now_ms + FIRST_MS);
    }
}

impl Dispatch {
    /// Whether requests wait and no worker has a permit for them.
    #[inline]
    pub fn is_short(&self) -> bool {
        // Asked in each turn, and nearly always this is all.
        self.slots_in_use() + self.queued() > self.permits() && self.is_really_short()
    }

    fn is_really_short(&self) -> bool {
        let mut waits = !self.queue.is_empty();
        for worker in self.workers.iter().flatten() {
            if worker.is_willing() && worker.free_permits() > 0 {
                return false;
            }
            waits |= worker.beyond() > 0;
        }
        waits
    }

    /// Requests lent a permit now, and reports that nobody has read yet.
    pub fn lent(&self) -> usize {
        self.workers.iter().flatten().map(|worker| worker.spare()).sum()
    }

    /// Those that have waited since `until_ms` or longer and came after `after`, by number.
    pub(crate) fn waiting(&self, after: u64, until_ms: u64) -> Vec<(u64, ConnectionId)> {
        let in_slots =
            self.workers.iter().flatten().filter(|worker| worker.beyond() > 0).flat_map(|worker| {
                let used =
                    |slot| worker.slot_use(slot).and_then(|one| Some((one.turn, one.owner?, one.since_ms)));
                worker.ready_slots().into_iter().filter_map(used)
            });
        let queued = self.queue.iter().map(|one| (one.turn, one.id, one.since_ms));
        let mut found: Vec<_> = in_slots
            .chain(queued)
            .filter(|(turn, _, since)| *turn > after && *since <= until_ms)
            .map(|(turn, id, _)| (turn, id))
            .collect();
        found.sort_unstable_by_key(|(turn, _)| *turn);
        found
    }

    /// Where a request waits, if a worker has it already.
    fn slot_of(&self, turn: u64) -> Option<Place> {
        self.workers().find_map(|(seat, worker)| {
            let has_it = |slot: &u16| worker.slot_use(*slot).is_some_and(|one| one.turn == turn);
            worker.ready_slots().into_iter().find(has_it).map(|slot| Place { seat, slot })
        })
    }

    /// Takes a waiting request from where it waits; None when it does not any more.
    pub(crate) fn extract(&mut self, turn: u64) -> Option<Waiting> {
        if let Some(index) = self.queue.iter().position(|waiting| waiting.turn == turn) {
            return self.queue.remove(index);
        }
        let place = self.slot_of(turn)?;
        let waiting = self.worker(place.seat)?.take_back(place.slot)?;
        self.in_use -= 1;
        Some(waiting)
    }

    /// A copy of a waiting request, without its body.
    pub(crate) fn copy_of(&mut self, turn: u64) -> Option<Waiting> {
        let copy = |id, since_ms, record| Waiting { id, turn, since_ms, record, holding: Holding::default() };
        if let Some(one) = self.queue.iter().find(|waiting| waiting.turn == turn) {
            return Some(copy(one.id, one.since_ms, one.record.clone()));
        }
        let place = self.slot_of(turn)?;
        let worker = self.worker(place.seat)?;
        let one = worker.slot_use(place.slot)?;
        let (id, since_ms, record) =
            (one.owner?, one.since_ms, worker.end.record(u32::from(place.slot)).to_vec());
        // A thread that has taken it meanwhile may have damaged the record.
        (worker.end.phase(u32::from(place.slot)) == Some(Phase::Ready)).then(|| copy(id, since_ms, record))
    }

    /// The worker of the process that calls: only there can the caller be found. If it has gone: the one with the fewest lent.
    pub(crate) fn seat_for(&self, pid: u32) -> Option<u16> {
        let is_own =
            |worker: &crate::worker_link::Worker| worker.pid == pid && !worker.is_dead && !worker.told.quiet;
        let own = self.workers().find(|(_, worker)| is_own(worker));
        let any = || {
            self.workers().filter(|(_, worker)| worker.is_willing()).min_by_key(|(_, worker)| worker.spare())
        };
        own.or_else(any).map(|(seat, _)| seat)
    }

    /// Hands a request to a spare thread; gives it back when it cannot be had.
    pub(crate) fn place_spare(
        &mut self,
        seat: u16,
        waiting: Waiting,
        errand: Errand,
        now_ms: u64,
    ) -> Result<(ConnectionId, Place), Waiting> {
        let Some(worker) = self.worker(seat) else { return Err(waiting) };
        let (id, slot) = worker.place_waiting(waiting, now_ms, Some(errand))?;
        self.in_use += 1;
        Ok((id, Place { seat, slot }))
    }

    /// The process of a worker has gone, and with it the spare threads: what they were to take waits like any other request.
    pub fn revoke_spare(&mut self, seat: u16) {
        if let Some(worker) = self.worker(seat) {
            let before = worker.in_use();
            worker.revoke_spare();
            let voided = before - worker.in_use();
            self.in_use -= voided;
        }
    }

    /// Puts a request back where it was in the queue.
    pub(crate) fn put_back(&mut self, waiting: Waiting) {
        let index = self.queue.partition_point(|one| one.turn < waiting.turn);
        self.queue.insert(index, waiting);
    }
}

impl EventLoop {
    /// Asks about requests that have waited for a moment, if it is time to.
    #[inline]
    pub(crate) fn look_for_self_calls(&mut self) {
        if self.settings.self_call == SelfCallPolicy::Off {
            return;
        }
        if self.dispatch.is_short() {
            self.help_self_calls();
        }
    }

    #[cold]
    fn help_self_calls(&mut self) {
        if !self.self_calls.wanting.is_empty() && self.dispatch.lent() < self.most_lent() {
            self.lend_to_the_wanting();
        }
        if self.self_calls.due_in(self.now_ms) == 0 {
            self.ask_about_the_waiting();
        }
    }

    /// Milliseconds until [`EventLoop::look_for_self_calls`] has something to do although nothing happens.
    #[inline]
    pub(crate) fn next_self_call_ms(&self) -> Option<u64> {
        let must = self.settings.self_call != SelfCallPolicy::Off && self.dispatch.is_short();
        must.then(|| self.self_calls.due_in(self.now_ms))
    }

    fn ask_about_the_waiting(&mut self) {
        let now = self.now_ms;
        let after = self.self_calls.begin_look(now);
        let waiting = self.dispatch.waiting(after, now.saturating_sub(FIRST_MS));
        let mut question = LocalCalls::default();
        for (number, id) in waiting {
            if question.calls.len() == MOST_ASKED {
                break;
            }
            self.self_calls.asked = number;
            let origin = self.table.get_mut(id).and_then(|connection| origin_of(&connection.socket));
            question.calls.extend(origin.map(|origin| LocalCall { number, origin }));
        }
        if question.calls.is_empty() {
            return;
        }
        question.workers =
            self.dispatch.all().filter(|worker| !worker.is_dead).map(|worker| worker.pid).collect();
        self.self_calls.note_question(now);
        self.shared.notices.ask(question);
    }

    /// The answer to a question: a request was made by the worker process `pid`.
    pub(crate) fn on_self_call(&mut self, number: u64, pid: u32) {
        self.self_calls.note_answer(self.now_ms);
        match self.settings.self_call {
            SelfCallPolicy::Off => {}
            SelfCallPolicy::Warn => self.have_reported(number, pid),
            SelfCallPolicy::Lend => {
                if self.self_calls.wanting.len() < MOST_WANTING {
                    self.self_calls.wanting.push_back((number, pid));
                }
                self.lend_to_the_wanting();
            }
        }
    }

    fn most_lent(&self) -> usize {
        self.dispatch.permits().max(LEAST_LENT)
    }

    fn lend_to_the_wanting(&mut self) {
        while self.dispatch.lent() < self.most_lent() {
            let Some((number, pid)) = self.self_calls.wanting.pop_front() else { return };
            self.lend(number, pid);
        }
        if !self.self_calls.wanting.is_empty() && self.now_ms >= self.self_calls.complain_at {
            self.self_calls.complain_at = self.now_ms + COMPLAIN_EVERY_MS;
            let message = format!(
                "the application calls its own server, and all of the {} permits that are lent for that are taken: further \
                 calls wait until one comes back, at most {:.1} s. Does a request call itself without end?",
                self.dispatch.lent(),
                self.settings.queue_time.as_secs_f64(),
            );
            self.shared.notices.post(Level::Warning, message);
        }
    }

    fn lend(&mut self, number: u64, pid: u32) {
        let Some(seat) = self.dispatch.seat_for(pid) else { return };
        self.make_room(seat);
        let Some(waiting) = self.dispatch.extract(number) else { return };
        let (id, since_ms) = (waiting.id, waiting.since_ms);
        let Some(connection) = self.table.get_mut(id) else { return };
        if connection.exchange.state() == State::Running {
            connection.exchange.slot = None;
            connection.exchange.become_state(State::Queued);
        }
        let errand = Errand { is_report: false, caller_port: caller_port(&connection.socket) };
        match self.dispatch.place_spare(seat, waiting, errand, self.now_ms) {
            Ok((id, place)) => {
                self.shared.counters.permits_lent.up();
                self.placed(id, place);
            }
            Err(waiting) => {
                self.dispatch.put_back(waiting);
                self.timers.set(id.key, since_ms + self.settings.queue_time.as_millis() as u64);
            }
        }
    }

    /// Sends a copy of the request to the worker that waits for it, for the log; the request itself stays where it is.
    fn have_reported(&mut self, number: u64, pid: u32) {
        // Reports that are not read are no permits, but a worker that reads none needs no more of them either.
        if self.dispatch.lent() >= self.most_lent() {
            return;
        }
        let Some(seat) = self.dispatch.seat_for(pid) else { return };
        self.make_room(seat);
        let Some(copy) = self.dispatch.copy_of(number) else { return };
        let Some(connection) = self.table.get_mut(copy.id) else { return };
        let errand = Errand { is_report: true, caller_port: caller_port(&connection.socket) };
        // Where there is no slot there is no report.
        let _ = self.dispatch.place_spare(seat, copy, errand, self.now_ms);
    }

    /// A worker that is alone may have all of its slots full of requests that wait.
    fn make_room(&mut self, seat: u16) {
        if self.dispatch.worker(seat).is_some_and(|worker| worker.end.free_slots() == 0) {
            self.move_back(seat);
        }
    }
}

/// Where a connection comes from; None if from another machine, or if nobody can tell. Of the socket itself, not of what a proxy says.
fn origin_of(socket: &Socket) -> Option<Origin> {
    let peer = socket.peer_addr().ok()?;
    if peer.is_unix() {
        return peer_process(socket).map(Origin::Process);
    }
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (peer, own) = (canonical(peer.as_socket()?), canonical(socket.local_addr().ok()?.as_socket()?));
    (peer.ip().is_loopback() || peer.ip() == own.ip()).then_some(Origin::Tcp(peer, own))
}

/// The port at the client's end; 0 for a unix socket.
fn caller_port(socket: &Socket) -> u16 {
    socket.peer_addr().ok().and_then(|peer| peer.as_socket()).map_or(0, |peer| peer.port())
}

/// Who has connected a unix socket.
fn peer_process(socket: &Socket) -> Option<u32> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the socket is open; room for a ucred and its size are given.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut size,
        )
    };
    // 0: a process of another namespace.
    (failed == 0 && found.pid > 0).then_some(found.pid.unsigned_abs())
}
