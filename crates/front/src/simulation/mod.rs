//! Whole histories of a front, without sockets and without waiting: clients and workers in memory, a virtual clock, and a seed that decides
//! everything.
//!
//! A history is a front with a few scripted workers and some clients (`client`, `worker`). In each step the seed chooses who does something next:
//! a client sends a piece of its requests, reads, closes half or vanishes; a worker takes a request, writes a piece of a response, ends it, breaks,
//! dies; the front does a turn; or the time moves to where the next thing is due. After each step the invariants are checked, and after the
//! last one that nothing is left (`world`). `make simulate SEEDS=N` plays more histories than the test does; `SEED=N` plays one.
//!
//! # What is checked
//! - Each response belongs to the request that it stands for, whole and with its own bytes; never more responses than requests.
//! - A request that was sent whole gets its response, unless something happened that excuses the front (`client` has the list).
//! - No bytes are sent after the end; nothing that a client has not read is destroyed by a close with unread input.
//! - What is in slots, queue, arena, files and memory for slow readers is given back; each exchange that ended has one access line.
//! - In HTTP/2: no window is overrun, no frame is too large, and the frames of a stream come in order.
//! - No deadline is lost: when nobody has anything to do, the time that the front wants to wait for brings every client to an end.

mod client;
mod random;
mod worker;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::simulation::world::{Shape, play};

/// Histories in the usual run of the tests.
const SEEDS: u64 = 10_000;
/// After so many failures the rest is not played.
const FAILURES: usize = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.replace('_', "").parse().ok())
}

fn fails(shape: Shape) -> Option<String> {
    let text = |cause: Box<dyn std::any::Any + Send>| match cause.downcast::<String>() {
        Ok(text) => *text,
        Err(cause) => cause.downcast_ref::<&str>().map_or("a panic", |text| text).to_owned(),
    };
    catch_unwind(AssertUnwindSafe(|| play(shape, false))).err().map(text)
}

/// A smaller history with the same seed that fails as well: fewer clients, fewer requests of each, fewer kinds of trouble.
fn shrink(mut shape: Shape) -> Shape {
    while let Some(smaller) = shape.smaller().into_iter().find(|smaller| fails(*smaller).is_some()) {
        shape = smaller;
    }
    shape
}

#[test]
fn histories_of_every_seed_keep_the_invariants() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    std::panic::set_hook(Box::new(|_| ()));
    let failed = |seed| fails(Shape::of(seed)).map(|message| (seed, message));
    let all: Vec<(u64, String)> = seeds.filter_map(failed).take(FAILURES).collect();
    let smallest = all.first().map(|(seed, _)| shrink(Shape::of(*seed)));
    let _ = std::panic::take_hook();
    for (seed, message) in &all {
        println!("SEED={seed} fails: {message}");
    }
    if let Some(shape) = smallest {
        println!("the smallest history of the first one that fails: {shape:?}");
        play(shape, true);
        panic!("it has failed before, and did not when it was played again: {shape:?}");
    }
}
