//! What the embedding process wants done: workers come, retire and die; accepting begins; logs change. Runs on the front's thread.

use std::collections::VecDeque;

use crate::control::AdminResponse;
use crate::event_loop::drive;
use crate::ids::ExchangeId;
use crate::response::own::{Part, Response};
use crate::response::respond;
use crate::scheduling::self_call;
use pelton_link::{Progress, coarse_ms};

use crate::clients::accept;
use crate::control::Order;
use crate::event_loop::{self_calls, worker_news};
use crate::exchange::State;
use crate::front::Front;
use crate::handlers::files;
use crate::ids::Place;
use crate::notices::{Level, News};
use crate::obituary::{describe, name};
use crate::recording::request_records;
use crate::requests::{dispatching, edge_settings};

/// Does what has been ordered since the last turn.
#[inline]
pub(crate) fn follow_orders(front: &mut Front) {
    if front.shared.has_orders() {
        follow_all_orders(front);
    }
}

#[cold]
fn follow_all_orders(front: &mut Front) {
    for order in front.shared.take_orders() {
        match order {
            Order::Accept => {
                front.admission.may_accept = true;
                accept::take_over_connections(front);
            }
            Order::SetReady(is_ready) => front.is_ready = is_ready,
            Order::SetAccessLog(mut log) => {
                if let (Some(new), Some(old)) = (&mut *log, &front.recording.access_log) {
                    new.follow(old);
                }
                if let Some(mut old) = std::mem::replace(&mut front.recording.access_log, *log) {
                    old.flush(&front.shared.counters.access_lines_dropped);
                }
                request_records::decide_recording(front);
            }
            Order::Add(link) => {
                let number = link.number;
                front.dispatch.add(*link);
                front.shared.notices.tell(News::Added, number, String::new());
            }
            Order::Retire(number) => retire(front, number),
            Order::Died(number, how) => on_death(front, number, &how),
            Order::CalledItself(number, pid) => self_calls::on_self_call(front, number, pid),
            Order::Mount(prefix, folder) => files::mount(front, &prefix, &folder),
            Order::Answer(pulse) => pulse.ring(),
            Order::Encrypt(encryption) => front.encryption = Some(encryption),
            Order::SetChallenges(challenges) => front.challenges = challenges,
            Order::Respond(number, response) => respond_to_admin(front, number, response),
            Order::ChangeRules(rules) => edge_settings::change_rules(front, *rules),
        }
    }
}

fn retire(front: &mut Front, number: u64) {
    if let Some(seat) = front.dispatch.seat_of(number) {
        front.dispatch.retire(seat);
    }
}

/// A worker's process has ended. What it had not started goes to others, what it has answered is delivered, and whoever waits for more gets
/// 502, or a cut where the response has begun.
fn on_death(front: &mut Front, number: u64, how: &str) {
    let Some(seat) = front.dispatch.seat_of(number) else { return };
    self_call::revoke_spare(&mut front.dispatch, seat);
    dispatching::move_back(front, seat);
    front.dispatch.declare_dead(seat);
    let Some(worker) = front.dispatch.worker(seat) else { return };
    let now = coarse_ms();
    let name = name(worker);
    let mut slots = Vec::new();
    let mut lines = Vec::new();
    for (slot, place) in worker.used_slots() {
        slots.push(slot);
        let is_report = place.is_spare && place.owner.is_none();
        if is_report || place.is_done || worker.end.response(u32::from(slot)).1 != Progress::Open {
            continue;
        }
        let age = worker.end.started_ms(u32::from(slot)).map_or(0, |started| now.saturating_sub(started));
        let outcome = match place.owner {
            _ if place.overdue_since.is_some() => "answered 504 before",
            None => "its client had gone",
            Some(id) => match front.exchanges.get(id).map(|exchange| exchange.state()) {
                Some(State::Running) => "answered 502",
                _ => "its response is cut off",
            },
        };
        let seconds = age as f64 / 1000.0;
        lines.push(format!(
            "{name} {how} while it ran {} for {seconds:.1} s: {outcome}",
            describe(worker, slot)
        ));
    }
    for line in lines {
        front.shared.counters.requests_lost.up();
        front.shared.notices.post(Level::Error, line);
    }
    for slot in slots {
        worker_news::on_news(front, Place { seat, slot });
    }
}

/// What the embedding process has made of such a request.
fn respond_to_admin(front: &mut Front, number: u64, response: AdminResponse) {
    let id = ExchangeId::from_token(number as usize);
    // Its client may have gone, or its time may be over.
    if front.exchanges.get(id).is_none_or(|exchange| exchange.state() != State::Queued) {
        return;
    }
    front.exchange_timers.clear(id.key);
    let fields = response.fields.into_iter();
    let fields = fields.map(|(name, value)| (name.into_bytes().into(), value.into_bytes().into()));
    let response = Response {
        status: response.status,
        fields: fields.collect(),
        body: VecDeque::from([Part::Bytes(response.body.into())]),
        received_whole: true,
        explains: false,
    };
    respond::respond(front, id, response);
    drive::drive_exchange(front, id);
}
