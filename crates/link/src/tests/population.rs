//! Threads that come and go: what an observer sees, who leaves, and that nothing is left lying meanwhile.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::scheduling::{Gate, feed, serve};
use super::{PATIENCE, link};
use crate::{Crowding, Interpreter, Scheduler, Wanted};

fn wanted(expected: u32, timeout: Duration) -> Wanted {
    let short = Duration::from_millis(1);
    Wanted { patience: short, foresight: short, tick: Duration::from_micros(200), timeout, expected }
}

/// Looks until the condition holds.
fn until(scheduler: &Scheduler, holds: impl Fn(&Crowding) -> bool) -> Crowding {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = scheduler.observe(&wanted(0, Duration::ZERO));
        if holds(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "still {seen:?}");
        thread::yield_now();
    }
}

#[test]
fn an_observer_sees_when_all_threads_are_taken_and_more_waits() {
    let (mut half, end) = link(4);
    let scheduler = Arc::new(Scheduler::new(Arc::clone(&end), 4, Interpreter::Locked));
    let gate = Arc::new(Gate::default());
    let (done, is_done) = mpsc::channel();
    let begin = |number: usize| {
        let (end, scheduler, gate) = (Arc::clone(&end), Arc::clone(&scheduler), Arc::clone(&gate));
        let done = done.clone();
        thread::spawn(move || {
            serve(&end, &scheduler, number, &move |path: &str| {
                if path == "held" {
                    gate.pass();
                }
                done.send(()).unwrap();
            });
        })
    };
    let mut threads = vec![begin(0), begin(1)];
    let idle = until(&scheduler, |seen| seen.idle == 2);
    assert_eq!((idle.threads, idle.waiting, idle.head_age), (2, 0, Duration::ZERO));
    feed(&mut half.end, ["held", "held"].into_iter().map(str::to_owned));
    // Before anybody waits.
    let full = scheduler.observe(&wanted(2, PATIENCE));
    assert_eq!((full.idle, full.waiting, full.head_age), (0, 0, Duration::ZERO));
    let observer = {
        let scheduler = Arc::clone(&scheduler);
        thread::spawn(move || {
            loop {
                let seen = scheduler.observe(&wanted(2, PATIENCE));
                if seen.waiting > 0 {
                    return seen;
                }
            }
        })
    };
    feed(&mut half.end, ["waits"].into_iter().map(str::to_owned));
    let seen = observer.join().unwrap();
    assert_eq!((seen.threads, seen.idle, seen.most_busy, seen.waiting), (2, 0, 2, 1));
    assert!(seen.head_age >= Duration::from_millis(1));
    // One that is expected counts as idle until it has come.
    let early = scheduler.observe(&wanted(3, Duration::from_millis(5)));
    assert_eq!((early.threads, early.head_age), (2, Duration::ZERO));
    threads.push(begin(2));
    is_done.recv_timeout(PATIENCE).unwrap();
    let relieved = until(&scheduler, |seen| seen.idle == 1);
    assert_eq!((relieved.threads, relieved.waiting), (3, 0));
    gate.open();
    until(&scheduler, |seen| seen.idle == 3);
    scheduler.stop();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn those_that_are_too_many_leave_and_the_rest_goes_on() {
    let (mut half, end) = link(16);
    let scheduler = Arc::new(Scheduler::new(Arc::clone(&end), 16, Interpreter::Locked));
    let (done, is_done) = mpsc::channel();
    let mut threads: Vec<_> = (0..16)
        .map(|number| {
            let (end, scheduler, done) = (Arc::clone(&end), Arc::clone(&scheduler), done.clone());
            thread::spawn(move || {
                serve(&end, &scheduler, number, &move |path: &str| {
                    // Some block, so that the crowd is needed while it shrinks.
                    if path.ends_with('7') {
                        thread::sleep(crate::scheduler::TICK * 2);
                    }
                    done.send(()).unwrap();
                });
            })
        })
        .collect();
    until(&scheduler, |seen| seen.idle == 16);
    for left in [12, 7, 2] {
        let now = scheduler.observe(&wanted(0, Duration::ZERO)).threads;
        scheduler.dismiss(now - left);
        feed(&mut half.end, (0..300).map(|number| number.to_string()));
        for _ in 0..300 {
            is_done.recv_timeout(PATIENCE).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = scheduler.observe(&wanted(0, Duration::ZERO));
            if seen.threads == left {
                break;
            }
            assert!(Instant::now() < deadline, "{seen:?}, {left} should be left");
            // As the observer does it: what was refused while requests were there is asked for again.
            scheduler.dismiss(seen.threads - left);
            thread::yield_now();
        }
    }
    scheduler.dismiss(0);
    until(&scheduler, |seen| seen.idle == 2);
    let gone = threads.iter().filter(|thread| thread.is_finished()).count();
    assert!(gone <= 14);
    scheduler.stop();
    for thread in threads.drain(..) {
        thread.join().unwrap();
    }
}
