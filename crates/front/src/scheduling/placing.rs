//! Who gets the next request: handed on at once, or by way of the queue. The rule is in the head of `dispatch`.
//!
//! Runs on the front's thread.

use pelton_link::request::BodyParts;

use crate::exchange::ExchangeId;
use crate::scheduling::affinity::has_permit;
use crate::scheduling::ask::{Ask, Load, decoded_path, encode};
use crate::scheduling::dispatch::{Dispatch, Dispatched, Place};
use crate::scheduling::holding::{Holding, Placing, Waiting};
use crate::scheduling::stuck::{FEW, STALL_MS};
use crate::scheduling::worker_link::Worker;

impl Dispatch {
    /// Hands a new request on, or puts it into the queue, if it may.
    #[inline]
    pub fn submit(&mut self, id: ExchangeId, ask: &Ask<'_>, load: Load<'_>, now_ms: u64) -> Dispatched {
        if !self.has_room() {
            if let Load::Stream { mut window, .. } = load {
                window.give_back(&mut self.bodies);
            }
            return Dispatched::Full;
        }
        self.turns += 1;
        let mut holding = Holding::default();
        let mut stream = None;
        let (inline, collected) = match load {
            Load::Inline(bytes) => (bytes, 0),
            Load::Collected(body) => {
                let (chunks, file, len) = std::mem::take(body).into_parts();
                holding = Holding { chunks, file, ..Holding::default() };
                (&[][..], len)
            }
            Load::Socket(socket) => {
                holding.socket = Some(socket);
                (&[][..], 0)
            }
            Load::Stream { window, length, waits_for_leave } => {
                holding.window = Some(window);
                stream = Some((length, waits_for_leave));
                (&[][..], 0)
            }
        };
        let path = decoded_path(ask, &mut self.path);
        let fill = |area: &mut [u8], token: Option<u64>, holding: &Holding| {
            let body = match token {
                _ if let (Some(window), Some((length, waits_for_leave))) = (&holding.window, stream) => {
                    BodyParts::Stream { chunks: window.chunks(), length, waits_for_leave }
                }
                _ if !inline.is_empty() => BodyParts::Inline(inline),
                Some(token) if holding.socket.is_some() => BodyParts::Socket(token),
                Some(token) => BodyParts::File(token, collected),
                None if collected == 0 => BodyParts::None,
                None => BodyParts::Chunks(&holding.chunks, collected),
            };
            encode(area, ask, path, body)
        };
        let wanted = match self.affinity.is_on() {
            true => self.affinity.wanted(&self.workers, ask.head.query.of(ask.bytes)),
            false => None,
        };
        let seat = match wanted {
            Some(wanted) => has_permit(&self.workers, wanted.seat).then_some(wanted.seat),
            None if self.queue.is_empty() => {
                choose(&self.workers, self.has_silent, holding.socket.is_some(), now_ms)
            }
            None => None,
        };
        if let Some(seat) = seat
            && let Some(worker) = self.workers.get_mut(seat).and_then(Option::as_mut)
        {
            let request = Placing { id, turn: self.turns, since_ms: now_ms, errand: None, holding };
            holding = match worker.place(request, now_ms, fill) {
                Ok(slot) => {
                    self.in_use += 1;
                    self.unannounced += 1;
                    return Dispatched::Placed(Place { seat: seat as u16, slot });
                }
                Err((Some(_), mut holding)) => {
                    holding.discard(&mut self.bodies);
                    return Dispatched::TooLarge;
                }
                Err((None, holding)) => holding,
            };
            self.is_stalled = true;
        }
        self.record.resize(Worker::RECORD_BYTES, 0);
        // With any token: the right one is put in when it is placed.
        match fill(&mut self.record, holding.travels().then_some(0), &holding) {
            Ok(len) => {
                let record = self.record.get(..len).unwrap_or_default().to_vec();
                let (turn, since_ms) = (self.turns, now_ms);
                let waiting = Waiting { id, turn, since_ms, record, holding };
                match wanted {
                    Some(wanted) => self.affinity.wait(wanted.number, waiting),
                    None => self.queue.push_back(waiting),
                }
                Dispatched::Queued
            }
            Err(_) => {
                holding.discard(&mut self.bodies);
                Dispatched::TooLarge
            }
        }
    }

    /// Moves the first of the queue to a worker; None when no worker has room, or there is no queue.
    #[inline]
    pub fn place_next(&mut self, now_ms: u64) -> Option<(ExchangeId, Place)> {
        self.is_stalled = false;
        if self.affinity.waiting() > 0
            && let Some(placed) = self.place_bound(now_ms)
        {
            return Some(placed);
        }
        if self.queue.is_empty() {
            return None;
        }
        self.place_first(now_ms)
    }

    fn place_first(&mut self, now_ms: u64) -> Option<(ExchangeId, Place)> {
        let has_socket = self.queue.front()?.holding.socket.is_some();
        let seat = choose(&self.workers, self.has_silent, has_socket, now_ms)?;
        let worker = self.workers.get_mut(seat).and_then(Option::as_mut)?;
        match worker.place_waiting(self.queue.pop_front()?, now_ms, None) {
            Ok((id, slot)) => {
                self.in_use += 1;
                self.unannounced += 1;
                Some((id, Place { seat: seat as u16, slot }))
            }
            Err(waiting) => {
                self.queue.push_front(waiting);
                self.is_stalled = true;
                None
            }
        }
    }

    /// Whether the queue has to be tried again after a while although nothing will tell when.
    pub fn is_stalled(&self) -> bool {
        self.is_stalled && self.queued() > 0
    }

    /// Moves a request that waits for one certain worker to that worker; None when none can be moved.
    fn place_bound(&mut self, now_ms: u64) -> Option<(ExchangeId, Place)> {
        while let Some((wanted, waiting)) = self.affinity.next(&self.workers) {
            let Some(wanted) = wanted else {
                // That worker has gone; the request is older than nearly all that wait.
                self.queue.push_front(waiting);
                continue;
            };
            let worker = self.workers.get_mut(wanted.seat).and_then(Option::as_mut)?;
            match worker.place_waiting(waiting, now_ms, None) {
                Ok((id, slot)) => {
                    self.in_use += 1;
                    self.unannounced += 1;
                    return Some((id, Place { seat: wanted.seat as u16, slot }));
                }
                Err(waiting) => {
                    self.affinity.put_back(wanted.number, waiting);
                    self.is_stalled = true;
                    return None;
                }
            }
        }
        None
    }

    /// Takes a connection out of the queue because it closed or has waited too long.
    pub fn leave_queue(&mut self, id: ExchangeId) {
        if let Some(mut waiting) = self.affinity.leave(id) {
            waiting.holding.discard(&mut self.bodies);
        } else if let Some(index) = self.queue.iter().position(|waiting| waiting.id == id)
            && let Some(mut waiting) = self.queue.remove(index)
        {
            waiting.holding.discard(&mut self.bodies);
        }
    }
}

/// The worker for the next request, if there is one with room; `has_socket` if that is for a WebSocket.
#[inline]
fn choose(workers: &[Option<Worker>], has_silent: bool, has_socket: bool, now_ms: u64) -> Option<usize> {
    if has_silent && let Some(choice) = choose_around(workers, has_socket, now_ms) {
        return choice;
    }
    choose_of(workers, has_socket, now_ms, |_| true)
}

/// That of those that `may` have it.
#[inline]
fn choose_of(
    workers: &[Option<Worker>],
    has_socket: bool,
    now_ms: u64,
    may: impl Fn(&Worker) -> bool,
) -> Option<usize> {
    let mut willing = workers.iter().enumerate().filter_map(|(seat, worker)| {
        worker.as_ref().filter(|worker| worker.is_willing()).map(|worker| (seat, worker))
    });
    let (first, second) = (willing.next()?, willing.next());
    let has_room = |worker: &Worker| worker.end.free_slots() > 0;
    let Some(second) = second else { return has_room(first.1).then_some(first.0) };
    let gets_on = |worker: &Worker| worker.may_go_ahead() && worker.silence_ms(now_ms) < STALL_MS;
    let mut best: Option<(usize, isize)> = None;
    for (seat, worker) in [first, second].into_iter().chain(willing) {
        let free = worker.free_permits();
        let worth = if has_socket { free - worker.end.sockets_held() as isize } else { free };
        let is_better = best.is_none_or(|(_, most)| worth > most);
        if has_room(worker) && (free > 0 || gets_on(worker)) && is_better && may(worker) {
            best = Some((seat, worth));
        }
    }
    best.map(|(seat, _)| seat)
}

/// The same where some workers are silent: they get nothing, the others a few at a time. None when nobody is silent any more, or nobody else
/// can be relied on.
#[cold]
fn choose_around(workers: &[Option<Worker>], has_socket: bool, now_ms: u64) -> Option<Option<usize>> {
    let willing = || workers.iter().flatten().filter(|worker| worker.is_willing());
    let gets_on = |worker: &Worker| !worker.is_silent() && worker.is_reliable(now_ms);
    let are_mixed = willing().any(Worker::is_silent) && willing().any(gets_on);
    let may = |worker: &Worker| !worker.is_silent() && worker.end.waiting() < FEW;
    are_mixed.then(|| choose_of(workers, has_socket, now_ms, may))
}
