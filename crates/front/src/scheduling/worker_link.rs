//! What the front knows of one worker: its end of the link, which requests are in its slots, and how it is getting on.
//!
//! Must not know connections' states or HTTP. `dispatch` chooses between workers; here is only what concerns one of them.

use pelton_link::{BodyPool, FrontEnd, Phase, REQUEST_BYTES, SelfCall, request};

use crate::ids::ExchangeId;
use crate::scheduling::attachments::{Attachments, Placing, SlotUse, Waiting};
use crate::scheduling::taking::{SILENT_MS, Taking};

/// How far a worker may be given more than it has threads, at first and after it has shown that it does not get on.
const LEAST_AHEAD: usize = 1;

/// A worker as it is announced to the front.
#[derive(Debug)]
pub struct WorkerLink {
    /// The supervisor's number for it, never used twice.
    pub number: u64,
    /// Its process.
    pub pid: u32,
    /// How many requests it runs at once.
    pub threads: usize,
    /// The link.
    pub end: FrontEnd,
    /// After so many requests the supervisor gets a notice; 0 for never.
    pub request_limit: u64,
}

#[derive(Debug)]
pub struct Worker {
    /// See [`WorkerLink`].
    pub number: u64,
    /// See [`WorkerLink`].
    pub pid: u32,
    /// See [`WorkerLink`].
    pub threads: usize,
    /// The link; responses are read from it by `respond`.
    pub end: FrontEnd,
    /// No new requests.
    pub is_retiring: bool,
    /// Its process has gone; what is left is to be read.
    pub is_dead: bool,
    /// Requests it may still get before it is reported as spent.
    pub left: Option<u64>,
    /// Of which news the supervisor has had a notice already.
    pub reported: Reported,
    pub(super) taking: Taking,
    pub(super) uses: Vec<SlotUse>,
    in_use: usize,
    busy: usize,
    /// How many of these have permits beyond the worker's own.
    spare: usize,
    /// How many requests it may have beyond its threads: more while it gets on, few when it does not.
    ahead: usize,
    /// When it last let go of a slot, or got work after having had none.
    progress_ms: u64,
}

/// News that are reported once.
#[derive(Debug, Default)]
pub struct Reported {
    /// It is retired and nothing of it runs.
    pub quiet: bool,
    /// It has had all of the requests that it should.
    pub spent: bool,
    /// It does not let go of an overdue request.
    pub stuck: bool,
    /// Its interpreter does not run.
    pub frozen: bool,
}

impl Worker {
    /// A worker with nothing to do.
    pub fn new(link: WorkerLink) -> Self {
        Worker {
            uses: (0..link.end.slots()).map(|_| SlotUse::default()).collect(),
            number: link.number,
            pid: link.pid,
            threads: link.threads,
            end: link.end,
            is_retiring: false,
            is_dead: false,
            left: (link.request_limit > 0).then_some(link.request_limit),
            reported: Reported::default(),
            taking: Taking::default(),
            in_use: 0,
            busy: 0,
            spare: 0,
            ahead: LEAST_AHEAD,
            progress_ms: 0,
        }
    }

    /// Whether it has permits and untaken requests, so that its silence would matter.
    #[inline]
    pub fn may_fall_silent(&self) -> bool {
        self.taking.may_fall_silent(&self.end, self.free_permits())
    }

    /// Looks at what it has taken; whether it is silent (see [`Taking`]).
    #[inline]
    pub fn look_for_silence(&mut self, now_ms: u64) -> bool {
        let may_be_silent = self.silence_ms(now_ms) >= SILENT_MS && self.free_permits() > 0 && !self.is_dead;
        self.taking.look(&self.end, now_ms, may_be_silent)
    }

    /// Whether it has not been silent for a while.
    pub fn is_reliable(&self, now_ms: u64) -> bool {
        self.taking.is_reliable(now_ms)
    }

    /// Whether it was silent at the last look and has taken nothing since.
    pub fn is_silent(&self) -> bool {
        self.taking.is_silent(&self.end)
    }

    /// Whether it may get requests.
    pub fn is_willing(&self) -> bool {
        !self.is_retiring && !self.is_dead
    }

    /// Slots that are not free.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Threads without a request, or less than nothing when requests wait for one.
    pub fn free_permits(&self) -> isize {
        self.threads as isize - (self.busy - self.spare) as isize
    }

    /// Requests that have no thread yet.
    pub fn beyond(&self) -> usize {
        (self.busy - self.spare).saturating_sub(self.threads)
    }

    /// Requests that have permits beyond its own.
    pub fn spare(&self) -> usize {
        self.spare
    }

    /// Whether it may be given a request for which it has no thread free.
    pub fn may_go_ahead(&self) -> bool {
        self.beyond() < self.ahead
    }

    /// Milliseconds since it last let go of a request.
    pub fn silence_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.progress_ms)
    }

    /// It does not get on: no more in advance until it does.
    pub fn slow_down(&mut self) {
        self.ahead = LEAST_AHEAD;
    }

    /// The slot's use, if there is such a slot.
    #[inline]
    pub fn slot_use(&self, slot: u16) -> Option<&SlotUse> {
        self.uses.get(slot as usize)
    }

    /// See [`Worker::slot_use`].
    #[inline]
    pub fn slot_use_mut(&mut self, slot: u16) -> Option<&mut SlotUse> {
        self.uses.get_mut(slot as usize)
    }

    /// The slots in use.
    pub fn used_slots(&self) -> impl Iterator<Item = (u16, &SlotUse)> {
        self.uses
            .iter()
            .enumerate()
            .filter(|(_, place)| place.is_used)
            .map(|(slot, place)| (slot as u16, place))
    }

    /// Fills a slot by `fill`, which writes the record and gives its length, and hands it to the worker. Gives everything back when there is
    /// no slot, the body's file cannot be passed on at present, or `fill` fails.
    #[inline]
    pub fn place<E>(
        &mut self,
        request: Placing,
        now_ms: u64,
        fill: impl FnOnce(&mut [u8], Option<u64>, &Attachments) -> Result<usize, E>,
    ) -> Result<u16, (Option<E>, Attachments)> {
        let Placing { id, turn, since_ms, self_call, mut attachments } = request;
        let claimed = if self_call.is_some() { self.end.claim_spare() } else { self.end.claim() };
        let Some(slot) = claimed else { return Err((None, attachments)) };
        let is_report = self_call.is_some_and(|self_call| self_call.is_report);
        let token = match attachments.travelling() {
            None => None,
            Some(file) => match self.end.give_file(slot, file) {
                Ok(token) => Some(token),
                Err(_) => {
                    self.end.unclaim(slot);
                    return Err((None, attachments));
                }
            },
        };
        match fill(self.end.request_area(slot), token, &attachments) {
            Ok(len) => {
                if let Some(window) = &mut attachments.window {
                    self.end.open_body(slot, window);
                }
                if attachments.socket.is_some() {
                    self.end.offer_socket(slot);
                }
                let used = SlotUse {
                    owner: (!is_report).then_some(id),
                    is_used: true,
                    is_done: false,
                    overdue_since: None,
                    turn,
                    since_ms,
                    is_spare: self_call.is_some(),
                    attachments,
                };
                self.occupy(slot, used, now_ms);
                match self_call {
                    None => self.end.submit(slot, len),
                    Some(self_call) => {
                        self.spare += 1;
                        self.end.submit_spare(slot, len, self_call);
                    }
                }
                Ok(slot as u16)
            }
            Err(error) => {
                self.end.unclaim(slot);
                Err((Some(error), attachments))
            }
        }
    }

    /// A slot has got a request.
    #[inline]
    fn occupy(&mut self, slot: u32, used: SlotUse, now_ms: u64) {
        if self.busy == 0 {
            self.progress_ms = now_ms;
        }
        self.in_use += 1;
        self.busy += 1;
        // A report has no owner, and is no request.
        let is_request = used.owner.is_some();
        self.left = self.left.map(|left| left.saturating_sub(u64::from(is_request)));
        if let Some(place) = self.uses.get_mut(slot as usize) {
            *place = used;
        }
    }

    /// Puts a request that has waited into a slot, if it can be; gives it back otherwise.
    pub fn place_waiting(
        &mut self,
        waiting: Waiting,
        now_ms: u64,
        self_call: Option<SelfCall>,
    ) -> Result<(ExchangeId, u16), Waiting> {
        let Waiting { id, turn, since_ms, record, attachments } = waiting;
        let request = Placing { id, turn, since_ms, self_call, attachments };
        let placed = self.place(request, now_ms, |area, token, _| {
            area.get_mut(..record.len()).ok_or(())?.copy_from_slice(&record);
            if let Some(token) = token {
                request::set_body_token(area, token);
            }
            Ok::<usize, ()>(record.len())
        });
        match placed {
            Ok(slot) => Ok((id, slot)),
            Err((_, attachments)) => Err(Waiting { id, turn, since_ms, record, attachments }),
        }
    }

    /// Takes back a request that no thread has started; None when one has.
    pub fn take_back(&mut self, slot: u16) -> Option<Waiting> {
        let number = u32::from(slot);
        // Whoever loses its owner before it starts is taken back at once, so what is ready has one.
        let id = self.uses.get(slot as usize).filter(|place| place.is_used)?.owner?;
        if self.end.phase(number) != Some(Phase::Ready) {
            return None;
        }
        // Copied before the slot is free.
        let record = self.end.record(number).to_vec();
        if !self.end.reclaim(number) {
            return None;
        }
        let SlotUse { turn, since_ms, attachments, .. } = self.forget(slot);
        Some(Waiting { id, turn, since_ms, record, attachments })
    }

    /// The slots whose requests wait for one of its own threads.
    pub fn ready_slots(&self) -> Vec<u16> {
        self.slots_in(Phase::Ready).filter(|(_, place)| !place.is_spare).map(|(slot, _)| slot).collect()
    }

    fn slots_in(&self, phase: Phase) -> impl Iterator<Item = (u16, &SlotUse)> {
        self.used_slots().filter(move |(slot, _)| self.end.phase(u32::from(*slot)) == Some(phase))
    }

    /// Its process is gone, and with it the spare threads: what they were to take is like any other request now, and reports are void.
    pub fn revoke_spare(&mut self) {
        let slots: Vec<_> = self
            .slots_in(Phase::Ready)
            .filter(|(_, place)| place.is_spare)
            .map(|(slot, place)| (slot, place.owner.is_some()))
            .collect();
        for (slot, has_owner) in slots {
            if !has_owner && self.end.reclaim(u32::from(slot)) {
                self.forget(slot);
            } else if let Some(place) = self.uses.get_mut(slot as usize) {
                place.is_spare = false;
                self.spare -= 1;
            }
        }
    }

    fn forget(&mut self, slot: u16) -> SlotUse {
        let place = self.uses.get_mut(slot as usize).map(std::mem::take).unwrap_or_default();
        if place.is_used {
            self.in_use -= 1;
            self.busy -= usize::from(!place.is_done);
            self.spare -= usize::from(!place.is_done && place.is_spare);
        }
        place
    }

    /// Notices whether the worker has let go of the slot.
    #[inline]
    pub fn look(&mut self, slot: u16, now_ms: u64) {
        let Some(place) = self.uses.get_mut(slot as usize) else { return };
        if place.is_used && !place.is_done && (self.is_dead || self.end.is_done(u32::from(slot))) {
            place.is_done = true;
            self.busy -= 1;
            if std::mem::take(&mut place.is_spare) {
                // It says nothing of how the worker gets on with the others.
                self.spare -= 1;
                return;
            }
            self.progress_ms = now_ms;
            // What it has shown to be able to, and as much again.
            self.ahead = (self.ahead * 2).min(self.end.slots());
        }
    }

    /// Frees a slot in which nobody is interested, if the worker has let go of it.
    pub fn reap(&mut self, slot: u16, now_ms: u64, bodies: &mut BodyPool) {
        self.look(slot, now_ms);
        let Some(place) = self.uses.get_mut(slot as usize) else { return };
        if !place.is_used || !place.is_done || place.owner.is_some() {
            return;
        }
        if !place.attachments.is_empty() {
            place.attachments.discard(bodies);
        }
        place.is_used = false;
        place.overdue_since = None;
        self.in_use -= 1;
        self.drop_attachments(u32::from(slot));
        if !self.is_dead {
            // Refused where a broken worker has changed its word meanwhile: then it has a slot less.
            let _ = self.end.release(u32::from(slot));
        }
    }

    /// Whether a retired worker has nothing left to do. What it has not let go of although its time is over does not count: that may never end.
    pub fn is_quiet(&self) -> bool {
        self.used_slots().all(|(_, place)| place.overdue_since.is_some())
    }

    /// A slot that it has not let go of although its time was over at a moment that `is_late`.
    pub fn overdue_slot(&self, is_late: impl Fn(u64) -> bool) -> Option<u16> {
        self.used_slots().find(|(_, place)| place.overdue_since.is_some_and(&is_late)).map(|(slot, _)| slot)
    }

    /// How long its oldest running request has run, in milliseconds.
    pub fn oldest_ms(&self, coarse_now: u64) -> Option<u64> {
        self.used_slots()
            .filter(|(_, place)| !place.is_done)
            .filter_map(|(slot, _)| self.end.started_ms(u32::from(slot)))
            .map(|started| coarse_now.saturating_sub(started))
            .max()
    }

    /// Bytes of a request area; also the most that a record has.
    pub const RECORD_BYTES: usize = REQUEST_BYTES;
}
