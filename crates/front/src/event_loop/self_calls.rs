//! Looks at requests that wait for a permit, asks whether the application itself made them, and lends them one (see `scheduling::self_call`,
//! which has the reasons and the bounds). Runs on the front's thread.

use pelton_link::SelfCall;

use crate::exchange::State;
use crate::front::Front;
use crate::notices::Level;
use crate::requests::dispatching;
use crate::scheduling::self_call;
use crate::scheduling::self_call::{FIRST_MS, LocalCall, LocalCalls, SelfCallPolicy};

/// Requests in one question; the others come in the next.
const MOST_ASKED: usize = 1024;

/// Recognised requests that wait until a lent permit is given back; further ones wait like any other request.
const MOST_WANTING: usize = 1024;

/// Permits that may be lent however few threads there are: with one thread, a view that calls one that calls a third is no recursion yet.
const LEAST_LENT: usize = 4;

/// Between two lines about permits that are not lent.
const COMPLAIN_EVERY_MS: u64 = 60_000;

/// Asks about requests that have waited for a moment, if it is time to.
#[inline]
pub(crate) fn look_for_self_calls(front: &mut Front) {
    if front.settings.self_call == SelfCallPolicy::Off {
        return;
    }
    if self_call::is_short(&front.dispatch) {
        help_self_calls(front);
    }
}

#[cold]
fn help_self_calls(front: &mut Front) {
    if !front.self_calls.wanting.is_empty() && self_call::lent(&front.dispatch) < most_lent(front) {
        lend_to_the_wanting(front);
    }
    if front.self_calls.due_in(front.clock.now_ms) == 0 {
        ask_about_the_waiting(front);
    }
}

/// Milliseconds until [`look_for_self_calls`] has something to do although nothing happens.
#[inline]
pub(crate) fn next_self_call_ms(front: &Front) -> Option<u64> {
    let must = front.settings.self_call != SelfCallPolicy::Off && self_call::is_short(&front.dispatch);
    must.then(|| front.self_calls.due_in(front.clock.now_ms))
}

fn ask_about_the_waiting(front: &mut Front) {
    let now = front.clock.now_ms;
    let after = front.self_calls.begin_look(now);
    let waiting = self_call::waiting(&front.dispatch, after, now.saturating_sub(FIRST_MS));
    let mut question = LocalCalls::default();
    for (number, id) in waiting {
        if question.calls.len() == MOST_ASKED {
            break;
        }
        front.self_calls.asked = number;
        let origin = front.connection_of(id).and_then(|connection| connection.transport.origin());
        question.calls.extend(origin.map(|origin| LocalCall { number, origin }));
    }
    if question.calls.is_empty() {
        return;
    }
    question.workers =
        front.dispatch.all().filter(|worker| !worker.is_dead).map(|worker| worker.pid).collect();
    front.self_calls.note_question(now);
    front.shared.notices.ask(question);
}

/// The answer to a question: a request was made by the worker process `pid`.
pub(crate) fn on_self_call(front: &mut Front, number: u64, pid: u32) {
    front.self_calls.note_answer(front.clock.now_ms);
    match front.settings.self_call {
        SelfCallPolicy::Off => {}
        SelfCallPolicy::Warn => have_reported(front, number, pid),
        SelfCallPolicy::Lend => {
            if front.self_calls.wanting.len() < MOST_WANTING {
                front.self_calls.wanting.push_back((number, pid));
            }
            lend_to_the_wanting(front);
        }
    }
}

fn most_lent(front: &Front) -> usize {
    front.dispatch.permits().max(LEAST_LENT)
}

fn lend_to_the_wanting(front: &mut Front) {
    while self_call::lent(&front.dispatch) < most_lent(front) {
        let Some((number, pid)) = front.self_calls.wanting.pop_front() else { return };
        lend(front, number, pid);
    }
    if !front.self_calls.wanting.is_empty() && front.clock.now_ms >= front.self_calls.complain_at {
        front.self_calls.complain_at = front.clock.now_ms + COMPLAIN_EVERY_MS;
        let message = format!(
            "the application calls its own server, and all of the {} permits that are lent for that are taken: further \
             calls wait until one comes back, at most {:.1} s. Does a request call itself without end?",
            self_call::lent(&front.dispatch),
            front.settings.queue_time.as_secs_f64(),
        );
        front.shared.notices.post(Level::Warning, message);
    }
}

fn lend(front: &mut Front, number: u64, pid: u32) {
    let Some(seat) = self_call::seat_for(&front.dispatch, pid) else { return };
    make_room(front, seat);
    let Some(waiting) = self_call::extract(&mut front.dispatch, number) else { return };
    let (id, since_ms) = (waiting.id, waiting.since_ms);
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    if exchange.state() == State::Running {
        exchange.slot = None;
        exchange.become_state(State::Queued);
    }
    let Some(connection) = front.connection_of(id) else { return };
    let self_call = SelfCall { is_report: false, caller_port: connection.transport.peer_port() };
    match self_call::place_spare(&mut front.dispatch, seat, waiting, self_call, front.clock.now_ms) {
        Ok((id, place)) => {
            front.shared.counters.permits_lent.up();
            dispatching::placed(front, id, place);
        }
        Err(waiting) => {
            self_call::put_back(&mut front.dispatch, waiting);
            front.exchange_timers.set(id.key, since_ms + front.settings.queue_time.as_millis() as u64);
        }
    }
}

/// Sends a copy of the request to the worker that waits for it, for the log; the request itself stays where it is.
fn have_reported(front: &mut Front, number: u64, pid: u32) {
    // Reports that are not read are no permits, but a worker that reads none needs no more of them either.
    if self_call::lent(&front.dispatch) >= most_lent(front) {
        return;
    }
    let Some(seat) = self_call::seat_for(&front.dispatch, pid) else { return };
    make_room(front, seat);
    let Some(copy) = self_call::copy_of(&mut front.dispatch, number) else { return };
    let Some(connection) = front.connection_of(copy.id) else { return };
    let self_call = SelfCall { is_report: true, caller_port: connection.transport.peer_port() };
    // Where there is no slot there is no report.
    let _ = self_call::place_spare(&mut front.dispatch, seat, copy, self_call, front.clock.now_ms);
}

/// A worker that is alone may have all of its slots full of requests that wait.
fn make_room(front: &mut Front, seat: u16) {
    if front.dispatch.worker(seat).is_some_and(|worker| worker.end.free_slots() == 0) {
        dispatching::move_back(front, seat);
    }
}
