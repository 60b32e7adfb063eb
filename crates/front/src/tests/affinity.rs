//! Requests of the debugger, which only one worker can answer: over real links, with this thread in the part of every worker.

use crate::ids::ExchangeId;
use crate::scheduling::ask::Load;
use crate::scheduling::dispatch::Dispatched;
use crate::scheduling::stuck;
use crate::scheduling::stuck::STALL_MS;
use crate::tests::dispatching::Scene;

const FOR_THE_THIRD: &str = "?__debugger__=yes&cmd=1&frm=7&s=abc-w3";

fn ask_third(scene: &mut Scene, now_ms: u64) -> Dispatched {
    scene.ask_for(FOR_THE_THIRD, Load::Inline(&[]), now_ms)
}

fn seat(dispatched: Dispatched) -> u16 {
    match dispatched {
        Dispatched::Placed(place) => place.seat,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_debugger_request_goes_to_the_worker_that_its_secret_names() {
    let mut scene = Scene::new(3, 4, 100);
    for _ in 0..4 {
        assert_eq!(seat(ask_third(&mut scene, 0)), 2);
    }
    // Others are not concerned.
    assert_eq!([seat(scene.ask(0)), seat(scene.ask(0))], [0, 1]);
}

#[test]
fn it_waits_for_a_permit_of_that_worker_while_others_pass() {
    let mut scene = Scene::new(3, 1, 100);
    assert_eq!(seat(ask_third(&mut scene, 0)), 2);
    let (running, _) = scene.start(2);
    assert_eq!(ask_third(&mut scene, 0), Dispatched::Queued);
    assert_eq!(scene.dispatch.queued(), 1);
    assert_eq!(scene.dispatch.oldest_queued_ms(), Some(0));
    assert_eq!(scene.place_all(0), []);
    assert_eq!([seat(scene.ask(0)), seat(scene.ask(0))], [0, 1]);
    // Long after its worker counts as stuck, too: nobody else can answer it.
    assert!(stuck::stuck_seats(&mut scene.dispatch, 10 * STALL_MS).is_empty());
    assert_eq!(scene.place_all(10 * STALL_MS), []);
    scene.end(2, running, 10 * STALL_MS);
    assert_eq!(scene.place_all(10 * STALL_MS), [2]);
    assert_eq!(scene.dispatch.queued(), 0);
}

#[test]
fn taken_back_from_its_worker_it_goes_to_no_other() {
    let mut scene = Scene::new(3, 2, 100);
    let number = 2;
    assert_eq!([seat(ask_third(&mut scene, 0)), seat(ask_third(&mut scene, 0))], [number, number]);
    let moved = stuck::take_back_all(&mut scene.dispatch, number);
    assert_eq!(moved.len(), 2);
    assert_eq!(scene.place_all(0), [number, number]);
}

#[test]
fn without_its_worker_it_goes_to_any() {
    let mut scene = Scene::new(3, 1, 100);
    let unknown = "?__debugger__=yes&s=abc-w9";
    assert_eq!(seat(scene.ask_for(unknown, Load::Inline(&[]), 0)), 0);
    // One that waits when its worker goes: not earlier, and not never.
    assert_eq!(seat(ask_third(&mut scene, 0)), 2);
    assert_eq!(ask_third(&mut scene, 0), Dispatched::Queued);
    assert_eq!(scene.place_all(0), []);
    scene.dispatch.declare_dead(2);
    assert_eq!(scene.place_all(0), [1]);
}

#[test]
fn it_counts_for_the_queue_and_leaves_with_its_client() {
    let mut scene = Scene::new(3, 1, 1);
    assert_eq!(seat(ask_third(&mut scene, 0)), 2);
    assert_eq!([seat(scene.ask(0)), seat(scene.ask(0))], [0, 1]);
    assert_eq!(ask_third(&mut scene, 0), Dispatched::Queued);
    assert_eq!(ask_third(&mut scene, 0), Dispatched::Full);
    scene.dispatch.leave_queue(ExchangeId::from_token(3));
    assert_eq!(scene.dispatch.queued(), 0);
    assert_eq!(ask_third(&mut scene, 0), Dispatched::Queued);
}

#[test]
fn a_session_goes_to_the_worker_that_has_made_it() {
    let mut scene = Scene::new(3, 4, 100);
    for query in ["?EIO=4&transport=polling&sid=q-w7_-w3", "?sid=x-w3", "?sid=-w3&sid=x-w1"] {
        assert_eq!(seat(scene.ask_for(query, Load::Inline(&[]), 0)), 2, "{query}");
    }
    // Not one of ours, no number, or nobody's: any worker has it.
    for query in ["?sid=abc", "?sid=abc-w+3", "?sid=abc-w", "?sid=abc-w99", "?side=abc-w3", "?sid="] {
        assert_ne!(seat(scene.ask_for(query, Load::Inline(&[]), 0)), 2, "{query}");
    }
}
