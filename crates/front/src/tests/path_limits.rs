//! Requests of paths with rules of their own: over real links, with this thread in the part of every worker.

use std::time::Duration;

use crate::scheduling::ask::Load;
use crate::scheduling::dispatch::Dispatched;
use crate::scheduling::path_limits::{PathLimit, PathLimits, PathRule};
use crate::tests::dispatching::Scene;

fn rule(path: &str) -> PathRule {
    PathRule { path: path.into(), ..PathRule::default() }
}

/// `count` at once below each of these paths.
fn limits(paths: &[&str], count: usize) -> PathLimits {
    let limit = |path: &&str| PathLimit {
        rule: rule(path),
        count,
        queue_length: 9,
        queue_time: Duration::from_secs(9),
    };
    PathLimits::new(&paths.iter().map(limit).collect::<Vec<_>>(), &[])
}

#[test]
fn a_full_queue_has_places_for_those_that_go_first() {
    let mut scene = Scene::new(0, 1, 2);
    let first: Vec<PathRule> = ["/3", "/4", "/5", "/6"].map(rule).to_vec();
    scene.dispatch.paths = PathLimits::new(&[], &first);
    assert_eq!([scene.ask(0), scene.ask(0)], [Dispatched::Queued; 2]);
    assert_eq!(scene.ask(0), Dispatched::Full);
    // As many as may wait of the others, and no more.
    assert_eq!([scene.ask(0), scene.ask(0)], [Dispatched::Queued; 2]);
    assert_eq!(scene.ask(0), Dispatched::Full);
    scene.add(1);
    assert_eq!(scene.place_all(0), [0; 4]);
    let paths: Vec<String> = (0..4).map(|_| scene.start(0).1).collect();
    assert_eq!(paths, ["/3", "/4", "/0", "/1"]);
}

#[test]
fn what_waits_for_its_own_worker_counts_for_its_limit() {
    let mut scene = Scene::new(2, 1, 100);
    scene.dispatch.paths = limits(&["/"], 2);
    let for_the_second = |scene: &mut Scene| scene.ask_for("?sid=x-w2", Load::Inline(&[]), 0);
    assert!(matches!(for_the_second(&mut scene), Dispatched::Placed(_)));
    assert_eq!(for_the_second(&mut scene), Dispatched::Queued);
    assert!(matches!(scene.ask(0), Dispatched::Held(_)), "two are on their way");
}

#[test]
fn what_a_limit_lets_on_goes_to_its_own_worker() {
    let mut scene = Scene::new(2, 4, 100);
    // The first request has a limit of its own, and is only there to make its worker the busier one.
    scene.dispatch.paths = limits(&["/", "/0"], 1);
    assert_eq!([scene.seat_of_next(0), scene.seat_of_next(0)], [0, 1]);
    assert!(matches!(scene.ask_for("?sid=x-w1", Load::Inline(&[]), 0), Dispatched::Held(_)));
    let (running, _) = scene.start(1);
    scene.end(1, running, 0);
    assert_eq!(scene.place_all(0), [0]);
}
