//! Permits beyond a worker's own: who is looked at, who takes what is lent, and that everything is as before afterwards.

use pelton_link::{SelfCall, Taken};

use super::dispatching::Scene;
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::scheduling::attachments::NOT_FIRST;
use crate::scheduling::dispatch::Dispatched;
use crate::scheduling::self_call;
use crate::scheduling::self_call::SelfCalls;
use crate::scheduling::stuck;
use crate::scheduling::stuck::STALL_MS;

const LENT: SelfCall = SelfCall { is_report: false, caller_port: 40_000 };
const REPORT: SelfCall = SelfCall { is_report: true, caller_port: 40_000 };

fn placed(dispatched: Dispatched) -> Place {
    match dispatched {
        Dispatched::Placed(place) => place,
        other => panic!("{other:?}"),
    }
}

/// Requests are `/0`, `/1`, …; `/N` has the connection N and the number N + 1.
fn numbers(scene: &Scene, after: u64, until_ms: u64) -> Vec<u64> {
    let after = if after == 0 { 0 } else { after | NOT_FIRST };
    let found = self_call::waiting(&scene.dispatch, after, until_ms).into_iter();
    let found: Vec<_> = found.map(|(number, id)| (number & !NOT_FIRST, id)).collect();
    assert!(found.iter().all(|(number, id)| *id == ExchangeId::from_token(*number as usize - 1)));
    found.into_iter().map(|(number, _)| number).collect()
}

fn lend(scene: &mut Scene, number: u64, seat: u16, self_call: SelfCall, now_ms: u64) -> Place {
    let waiting = match self_call.is_report {
        true => self_call::copy_of(&mut scene.dispatch, number | NOT_FIRST),
        false => self_call::extract(&mut scene.dispatch, number | NOT_FIRST),
    };
    let (id, place) =
        self_call::place_spare(&mut scene.dispatch, seat, waiting.unwrap(), self_call, now_ms).unwrap();
    assert_eq!(id, ExchangeId::from_token(number as usize - 1));
    place
}

fn take_spare(scene: &Scene, seat: usize) -> (Taken, String) {
    let (taken, _) = scene.ends[seat].take_spare().expect("a request for a spare thread");
    let path = scene.ends[seat].request(&taken).unwrap().path().to_vec();
    (taken, String::from_utf8(path).unwrap())
}

#[test]
fn only_what_waits_where_no_permit_is_free_is_looked_at_and_once() {
    let mut scene = Scene::new(2, 1, 100);
    assert!(!self_call::is_short(&scene.dispatch));
    placed(scene.ask(10));
    // The other worker is free.
    assert!(!self_call::is_short(&scene.dispatch));
    placed(scene.ask(10));
    assert!(!self_call::is_short(&scene.dispatch), "nobody waits");
    let (_zero, _) = scene.start(0);
    let (_one, _) = scene.start(1);
    placed(scene.ask(11));
    placed(scene.ask(12));
    assert_eq!(scene.ask(20), Dispatched::Queued);
    assert!(self_call::is_short(&scene.dispatch));
    assert_eq!(numbers(&scene, 0, 11), [3]);
    assert_eq!(numbers(&scene, 0, 20), [3, 4, 5]);
    assert_eq!(numbers(&scene, 3, 20), [4, 5]);
}

#[test]
fn what_is_lent_a_permit_is_run_beside_the_others_and_leaves_everything_as_it_was() {
    let mut scene = Scene::new(1, 1, 100);
    let outer = placed(scene.ask(0));
    let (outer_taken, _) = scene.start(0);
    // A stranger waits in front of it.
    let stranger = placed(scene.ask(1));
    placed(scene.ask(2));
    let place = lend(&mut scene, 3, 0, LENT, 60);
    assert_eq!(self_call::lent(&scene.dispatch), 1);
    let worker = scene.dispatch.worker(0).unwrap();
    assert_eq!((worker.free_permits(), worker.beyond(), worker.in_use()), (-1, 1, 3));
    let (taken, path) = take_spare(&scene, 0);
    assert_eq!(path, "/2");
    assert_eq!(scene.dispatch.owner(place), Some(ExchangeId::from_token(2)));
    scene.end(0, taken, 61);
    let worker = scene.dispatch.worker(0).unwrap();
    assert_eq!((worker.spare(), worker.free_permits(), worker.beyond(), worker.in_use()), (0, -1, 1, 2));
    scene.end(0, outer_taken, 62);
    let (taken, path) = scene.start(0);
    assert_eq!((&*path, u32::from(stranger.slot)), ("/1", taken.slot()));
    scene.end(0, taken, 63);
    let worker = scene.dispatch.worker(0).unwrap();
    assert_eq!((worker.free_permits(), worker.in_use()), (1, 0));
    assert_eq!(scene.dispatch.owner(outer), None);
}

#[test]
fn it_can_be_lent_from_the_queue_and_stays_where_it_is_put() {
    let mut scene = Scene::new(2, 1, 100);
    let both = [placed(scene.ask(0)), placed(scene.ask(0))];
    let (_zero, _) = scene.start(0);
    let (_one, _) = scene.start(1);
    // One in advance for each, the third in the queue.
    placed(scene.ask(1));
    placed(scene.ask(1));
    assert_eq!(scene.ask(1), Dispatched::Queued);
    let place = lend(&mut scene, 5, both[0].seat, LENT, STALL_MS + 1);
    assert_eq!(scene.dispatch.queued(), 0);
    let back = stuck::take_back_all(&mut scene.dispatch, place.seat);
    assert_eq!(back, [(ExchangeId::from_token(2), 1)], "what is lent is not for another worker");
    assert_eq!(take_spare(&scene, 0).1, "/4");
    // Neither one that runs nor one that is lent already is to be had.
    assert!(
        self_call::extract(&mut scene.dispatch, 1 | NOT_FIRST).is_none()
            && self_call::extract(&mut scene.dispatch, 5 | NOT_FIRST).is_none()
    );
}

#[test]
fn a_client_that_goes_takes_the_permit_with_it() {
    let mut scene = Scene::new(1, 1, 100);
    placed(scene.ask(0));
    let (_outer, _) = scene.start(0);
    placed(scene.ask(0));
    let place = lend(&mut scene, 2, 0, LENT, 60);
    assert!(scene.dispatch.discard(place));
    assert!(scene.ends[0].take_spare().is_none());
    assert_eq!((self_call::lent(&scene.dispatch), scene.dispatch.slots_in_use()), (0, 1));
}

#[test]
fn a_worker_that_dies_gives_back_what_was_lent_and_loses_reports() {
    let mut scene = Scene::new(1, 1, 100);
    placed(scene.ask(0));
    let (_outer, _) = scene.start(0);
    placed(scene.ask(5));
    placed(scene.ask(6));
    lend(&mut scene, 2, 0, LENT, 60);
    lend(&mut scene, 3, 0, REPORT, 60);
    assert_eq!((self_call::lent(&scene.dispatch), scene.dispatch.slots_in_use()), (2, 4));
    self_call::revoke_spare(&mut scene.dispatch, 0);
    assert_eq!((self_call::lent(&scene.dispatch), scene.dispatch.slots_in_use()), (0, 3));
    let back = stuck::take_back_all(&mut scene.dispatch, 0);
    assert_eq!(back, [(ExchangeId::from_token(1), 5), (ExchangeId::from_token(2), 6)]);
    assert_eq!(scene.dispatch.slots_in_use(), 1);
}

#[test]
fn a_report_is_a_copy_that_nobody_waits_for() {
    let mut scene = Scene::new(1, 1, 100);
    placed(scene.ask(0));
    let (outer, _) = scene.start(0);
    let waiting = placed(scene.ask(1));
    let report = lend(&mut scene, 2, 0, REPORT, 60);
    assert_ne!(report, waiting);
    assert_eq!((scene.dispatch.owner(report), scene.dispatch.queued()), (None, 0));
    let (taken, path) = take_spare(&scene, 0);
    assert_eq!(path, "/1");
    scene.ends[0].finish(taken, true);
    scene.dispatch.look(report, 61);
    scene.dispatch.reap(report, 61);
    assert_eq!((self_call::lent(&scene.dispatch), scene.dispatch.slots_in_use()), (0, 2));
    // The request itself has stayed where it was.
    scene.end(0, outer, 62);
    assert_eq!(scene.start(0).1, "/1");
}

#[test]
fn the_caller_s_own_worker_is_preferred_and_what_cannot_be_placed_goes_back_into_its_place() {
    let mut scene = Scene::new(2, 1, 100);
    scene.dispatch.worker(1).unwrap().pid = 77;
    assert_eq!(self_call::seat_for(&scene.dispatch, 77), Some(1));
    assert_eq!(self_call::seat_for(&scene.dispatch, 78), Some(0));
    // It still runs what calls, although it gets nothing new.
    scene.dispatch.worker(1).unwrap().is_retiring = true;
    assert_eq!(self_call::seat_for(&scene.dispatch, 77), Some(1));
    scene.dispatch.worker(1).unwrap().is_dead = true;
    assert_eq!(self_call::seat_for(&scene.dispatch, 77), Some(0));
    placed(scene.ask(0));
    let (_outer, _) = scene.start(0);
    scene.dispatch.worker(0).unwrap().is_retiring = true;
    assert_eq!([scene.ask(1), scene.ask(1), scene.ask(1)], [Dispatched::Queued; 3]);
    assert_eq!(self_call::seat_for(&scene.dispatch, 78), None);
    let middle = self_call::extract(&mut scene.dispatch, 3 | NOT_FIRST).unwrap();
    assert_eq!(numbers(&scene, 0, 1), [2, 4]);
    self_call::put_back(&mut scene.dispatch, middle);
    let order: Vec<u64> = scene.dispatch.queue.iter().map(|waiting| waiting.turn & !NOT_FIRST).collect();
    assert_eq!(order, [2, 3, 4]);
}

#[test]
fn questions_become_rare_while_the_answer_is_no() {
    let mut calls = SelfCalls::default();
    let mut now = 10_000;
    let mut pauses = Vec::new();
    for _ in 0..7 {
        assert_eq!(calls.due_in(now), 0);
        calls.begin_look(now);
        calls.note_question(now);
        pauses.push(calls.due_in(now));
        now += calls.due_in(now);
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
    // Who has nothing to ask looks again soon, and is not forgiven.
    calls.begin_look(now);
    assert_eq!(calls.due_in(now), 50);
    now += 50;
    calls.begin_look(now);
    calls.note_question(now);
    assert_eq!(calls.due_in(now), 1000);
    // One that was recognised is.
    calls.note_answer(now + 1);
    assert_eq!(calls.due_in(now + 1), 50);
    calls.begin_look(now + 51);
    calls.note_question(now + 51);
    assert_eq!(calls.due_in(now + 51), 50);
    // So is a time in which nothing waited.
    calls.note_question(now + 101);
    calls.begin_look(now + 5_000);
    calls.note_question(now + 5_000);
    assert_eq!(calls.due_in(now + 5_000), 50);
}
