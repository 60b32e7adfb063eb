//! Workers that do not take what they are given: over real links, with this thread in the part of every worker.

use crate::ids::ExchangeId;
use crate::scheduling::ask::Load;
use crate::scheduling::dispatch::Dispatched;
use crate::scheduling::stuck;
use crate::scheduling::stuck::{FEW, STALL_MS};
use crate::scheduling::taking::{RELIABLE_MS, SILENT_MS};
use crate::tests::dispatching::Scene;

/// Two workers. The first is blocked in `/0` and has been given `/2` and `/4`, the second runs `/1`, `/3` and `/5`.
fn blocked() -> Scene {
    let mut scene = Scene::new(2, 100, 1000);
    let seats: Vec<u16> = (0..6).map(|_| scene.seat_of_next(0)).collect();
    assert_eq!(seats, [0, 1, 0, 1, 0, 1]);
    scene.start(0);
    start_second(&mut scene, 3);
    assert!(stuck::stuck_seats(&mut scene.dispatch, 0).is_empty());
    scene
}

fn ask_at_once(scene: &mut Scene, count: usize) {
    for _ in 0..count {
        assert!(matches!(scene.ask(0), Dispatched::Placed(_)));
    }
}

fn start_second(scene: &mut Scene, count: usize) {
    for _ in 0..count {
        scene.start(1);
    }
}

fn take_all_back(scene: &mut Scene, now_ms: u64) -> Vec<ExchangeId> {
    let seats = stuck::stuck_seats(&mut scene.dispatch, now_ms);
    seats
        .into_iter()
        .flat_map(|seat| stuck::take_back_stuck(&mut scene.dispatch, seat))
        .map(|(id, _)| id)
        .collect()
}

#[test]
fn what_a_silent_worker_has_not_taken_goes_to_one_with_room() {
    let mut scene = blocked();
    assert!(stuck::next_look_ms(&scene.dispatch).is_some_and(|wait| wait < SILENT_MS));
    assert_eq!(take_all_back(&mut scene, SILENT_MS - 1), []);
    assert_eq!(take_all_back(&mut scene, SILENT_MS), [2, 4].map(ExchangeId::from_token));
    assert_eq!(scene.place_all(SILENT_MS), [1, 1]);
    assert_eq!([scene.start(1).1, scene.start(1).1], ["/2", "/4"]);
    assert!(scene.ends[0].take().is_none(), "what was taken back is not to be had there");
}

#[test]
fn a_silent_worker_gets_nothing_until_it_goes_on() {
    let mut scene = blocked();
    take_all_back(&mut scene, SILENT_MS);
    scene.place_all(SILENT_MS);
    start_second(&mut scene, 2);
    // It has far more permits than the other.
    assert_eq!(scene.seat_of_next(SILENT_MS), 1);
    assert!(scene.ends[0].take().is_none());
    assert_eq!(
        scene.seat_of_next(SILENT_MS),
        0,
        "it has looked for the next one, before anybody looks at it"
    );
    assert!(stuck::stuck_seats(&mut scene.dispatch, SILENT_MS).is_empty());
    scene.start(0);
    scene.start(1);
    assert!(stuck::stuck_seats(&mut scene.dispatch, SILENT_MS).is_empty());
    assert!(!stuck::is_to_look(&scene.dispatch), "all is well");
}

#[test]
fn the_others_get_a_few_at_a_time_and_the_rest_keeps_its_order() {
    let mut scene = blocked();
    for _ in 0..2 * FEW {
        scene.ask(1);
        scene.ask(1);
    }
    while scene.ends[1].take().is_some() {}
    assert_eq!(take_all_back(&mut scene, SILENT_MS).len(), 2 + 2 * FEW);
    assert_eq!(scene.place_all(SILENT_MS), [1; FEW]);
    assert_eq!([scene.start(1).1, scene.start(1).1], ["/2", "/4"]);
    assert_eq!(scene.ask(SILENT_MS), Dispatched::Queued, "others are before it");
    assert!(stuck::next_look_ms(&scene.dispatch).is_some_and(|wait| wait <= STALL_MS), "nothing will tell");
    // The silent one goes on, and has of the rest what it has permits for.
    assert!(scene.ends[0].take().is_none());
    assert!(stuck::stuck_seats(&mut scene.dispatch, SILENT_MS + 1).is_empty());
    assert!(scene.place_all(SILENT_MS + 1).contains(&0));
    assert_eq!(scene.start(0).1, "/6");
    assert_eq!(scene.dispatch.queued(), 0);
}

#[test]
fn nothing_moves_where_nobody_else_takes_anything_or_has_room() {
    let mut scene = Scene::new(2, 100, 1000);
    ask_at_once(&mut scene, 4);
    scene.start(0);
    scene.start(1);
    stuck::stuck_seats(&mut scene.dispatch, 0);
    assert_eq!(take_all_back(&mut scene, SILENT_MS), []);
    // All of them are silent, so there is nobody to prefer.
    assert_eq!([scene.seat_of_next(SILENT_MS), scene.seat_of_next(SILENT_MS)], [0, 1]);

    let mut scene = Scene::new(2, 2, 1000);
    ask_at_once(&mut scene, 3);
    stuck::stuck_seats(&mut scene.dispatch, 0);
    scene.start(1);
    assert_eq!(scene.seat_of_next(1), 1);
    scene.start(1);
    assert_eq!(take_all_back(&mut scene, SILENT_MS), [], "the other runs as many as it may");
}

#[test]
fn a_worker_that_takes_or_lets_go_is_not_silent() {
    let mut scene = blocked();
    scene.start(0);
    assert_eq!(take_all_back(&mut scene, SILENT_MS), [], "it has taken one since it was looked at");
    assert_eq!(take_all_back(&mut scene, 2 * SILENT_MS - 1), []);
    assert_eq!(take_all_back(&mut scene, 2 * SILENT_MS), [4].map(ExchangeId::from_token));

    let mut scene = Scene::new(2, 100, 1000);
    ask_at_once(&mut scene, 6);
    let (running, _) = scene.start(0);
    start_second(&mut scene, 3);
    stuck::stuck_seats(&mut scene.dispatch, 0);
    scene.end(0, running, SILENT_MS - 1);
    assert_eq!(take_all_back(&mut scene, SILENT_MS), [], "it has answered just now");
    assert_eq!(take_all_back(&mut scene, 2 * SILENT_MS - 1).len(), 2);
}

#[test]
fn a_worker_without_permits_is_busy_and_not_silent() {
    let mut scene = Scene::new(2, 1, 100);
    assert_eq!([scene.seat_of_next(0), scene.seat_of_next(0)], [0, 1]);
    let (_long, _) = scene.start(0);
    let (quick, _) = scene.start(1);
    assert_eq!(scene.seat_of_next(1), 0, "one in advance");
    scene.end(1, quick, STALL_MS);
    assert_eq!(take_all_back(&mut scene, STALL_MS).len(), 1);
    assert_eq!(scene.place_all(STALL_MS), [1]);
    scene.start(1);
    // What is left of it in the first one's ring is of no interest.
    assert_eq!(stuck::next_look_ms(&scene.dispatch), None);
    assert!(stuck::stuck_seats(&mut scene.dispatch, 2 * SILENT_MS).is_empty());
    assert!(!stuck::is_to_look(&scene.dispatch));
}

#[test]
fn those_that_are_silent_in_turns_keep_what_they_have() {
    let mut scene = Scene::new(2, 100, 1000);
    ask_at_once(&mut scene, 8);
    let (first, second) = (scene.start(0).0, scene.start(1).0);
    stuck::stuck_seats(&mut scene.dispatch, 0);
    stuck::stuck_seats(&mut scene.dispatch, SILENT_MS);
    // Both have computed for long. The second one goes on, and takes all that it has.
    scene.end(1, second, SILENT_MS + 1);
    start_second(&mut scene, 3);
    assert_eq!(take_all_back(&mut scene, SILENT_MS + 2), []);
    assert_eq!([scene.seat_of_next(SILENT_MS + 2), scene.seat_of_next(SILENT_MS + 2)], [1, 0]);
    scene.end(0, first, SILENT_MS + 3);
    start_second(&mut scene, 1);
    stuck::stuck_seats(&mut scene.dispatch, SILENT_MS + 3);
    // Much later one of them can be relied on again.
    let later = SILENT_MS + 3 + RELIABLE_MS;
    assert_eq!(take_all_back(&mut scene, later).len(), 4);
}

#[test]
fn a_debugger_request_waits_for_its_worker() {
    let mut scene = Scene::new(2, 100, 1000);
    let bound = scene.ask_for("?__debugger__=yes&cmd=1&frm=7&s=abc-w1", Load::Inline(&[]), 0);
    assert!(matches!(bound, Dispatched::Placed(place) if place.seat == 0));
    ask_at_once(&mut scene, 3);
    start_second(&mut scene, 2);
    stuck::stuck_seats(&mut scene.dispatch, 0);
    assert_eq!(take_all_back(&mut scene, SILENT_MS), [2].map(ExchangeId::from_token));
    assert_eq!(scene.place_all(SILENT_MS), [1]);
    scene.start(1);
    assert_eq!(take_all_back(&mut scene, 2 * SILENT_MS), [], "looked at in vain each time");
    assert_eq!(scene.start(0).1, "/0");
}

#[test]
fn a_worker_that_is_alone_is_not_looked_at() {
    let mut scene = Scene::new(1, 4, 100);
    scene.ask(0);
    assert_eq!((stuck::next_look_ms(&scene.dispatch), stuck::is_to_look(&scene.dispatch)), (None, false));
}
