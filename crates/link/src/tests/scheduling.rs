//! The scheduler under requests that are held by the test: who runs, who may not, and that nothing is left lying.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use super::{PATIENCE, link, push};
use crate::{FrontEnd, Interpreter, SPARE_THREADS, Scheduler, Wake, WorkerEnd};

/// What the "application" does with a request, by its path.
pub(super) type Application = dyn Fn(&str) + Send + Sync;

/// Each test plays under all of them.
const INTERPRETERS: [Interpreter; 3] =
    [Interpreter::Locked, Interpreter::Free { processors: 2 }, Interpreter::Free { processors: 4 }];

/// These numbers of threads under each interpreter.
fn everywhere(
    threads: impl IntoIterator<Item = usize> + Clone,
) -> impl Iterator<Item = (Interpreter, usize)> {
    INTERPRETERS
        .into_iter()
        .flat_map(move |interpreter| threads.clone().into_iter().map(move |count| (interpreter, count)))
}

struct Pool {
    scheduler: Arc<Scheduler>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    fn start(
        end: &Arc<WorkerEnd>,
        (interpreter, count): (Interpreter, usize),
        application: Arc<Application>,
    ) -> Pool {
        let scheduler = Arc::new(Scheduler::new(Arc::clone(end), count, interpreter));
        let threads = (0..count)
            .map(|number| {
                let (end, scheduler, application) =
                    (Arc::clone(end), Arc::clone(&scheduler), Arc::clone(&application));
                thread::spawn(move || serve(&end, &scheduler, number, &*application))
            })
            .collect();
        Pool { scheduler, threads }
    }

    fn stop(self) {
        self.scheduler.stop();
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

pub(super) fn serve(end: &WorkerEnd, scheduler: &Scheduler, number: usize, application: &Application) {
    let mut seat = scheduler.seat(number).unwrap();
    scheduler.enter(&seat);
    loop {
        while let Some(taken) = scheduler.try_take(&mut seat) {
            let path = String::from_utf8(end.request(&taken).unwrap().path().to_vec()).unwrap();
            application(&path);
            end.finish(taken, false);
        }
        match scheduler.wait(&mut seat) {
            Wake::Retry => {}
            Wake::Suspect(suspicion) => {
                scheduler.take_over(&mut seat, suspicion);
            }
            Wake::Stop => return,
            Wake::Leave => return scheduler.leave(seat),
        }
    }
}

/// Requests that stay in the application until the test opens the gate.
#[derive(Default)]
pub(super) struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn pass(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.changed.wait(open).unwrap();
        }
    }

    pub(super) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

/// Pushes all names, freeing slots as their answers come.
pub(super) fn feed(front: &mut FrontEnd, names: impl Iterator<Item = String>) {
    let mut news = Vec::new();
    for name in names {
        while push(front, &name).is_none() {
            front.take_dirty(&mut news);
            for slot in news.drain(..) {
                front.release(slot);
            }
            thread::yield_now();
        }
        front.ring_bell();
    }
}

#[test]
fn quick_requests_are_served_while_others_are_stuck() {
    for (interpreter, threads) in everywhere([2, 3, 8]) {
        for stuck in 1..threads {
            let (mut half, end) = link(threads);
            let gate = Arc::new(Gate::default());
            let (done, is_done) = mpsc::channel();
            let application = {
                let gate = Arc::clone(&gate);
                move |path: &str| match path {
                    "stuck" => gate.pass(),
                    _ => done.send(path.to_owned()).unwrap(),
                }
            };
            let pool = Pool::start(&end, (interpreter, threads), Arc::new(application));
            feed(&mut half.end, (0..stuck).map(|_| "stuck".to_owned()));
            let quick: Vec<String> = (0..200).map(|i| i.to_string()).collect();
            feed(&mut half.end, quick.iter().cloned());
            let mut got: Vec<String> =
                quick.iter().map(|_| is_done.recv_timeout(PATIENCE).unwrap()).collect();
            got.sort_by_key(|name| name.parse::<u32>().unwrap());
            assert_eq!(got, quick);
            gate.open();
            pool.stop();
        }
    }
}

#[test]
fn one_request_pushed_at_a_time_is_never_left_lying_whatever_state_the_threads_are_in() {
    // Each push waits for its answer: a lost wake-up anywhere (bell, crowd, nap, take-over) hangs here. Some requests outlast a tick, so that
    // the pool changes between modes and roles all the time.
    for (interpreter, threads) in everywhere([1, 2, 4]) {
        let (mut half, end) = link(threads);
        let (done, is_done) = mpsc::channel();
        let application = move |path: &str| {
            let number: u64 = path.parse().unwrap();
            if number % 7 == 3 {
                thread::sleep(crate::scheduler::TICK * (number % 5) as u32);
            }
            done.send(number).unwrap();
        };
        let pool = Pool::start(&end, (interpreter, threads), Arc::new(application));
        for number in 0..3000 {
            feed(&mut half.end, [number.to_string()].into_iter());
            assert_eq!(is_done.recv_timeout(PATIENCE), Ok(number));
        }
        pool.stop();
    }
}

#[test]
fn as_many_requests_as_threads_run_at_once_and_never_more() {
    for (interpreter, threads) in everywhere([1, 2, 16, 64]) {
        let (mut half, end) = link(threads);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let barrier = Arc::new(Barrier::new(threads));
        let (done, is_done) = mpsc::channel();
        let application = {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            move |_: &str| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Nobody passes before all threads are in the application at the same time.
                barrier.wait();
                running.fetch_sub(1, Ordering::SeqCst);
                done.send(()).unwrap();
            }
        };
        let pool = Pool::start(&end, (interpreter, threads), Arc::new(application));
        let total = threads * 20;
        feed(&mut half.end, (0..total).map(|i| i.to_string()));
        for _ in 0..total {
            is_done.recv_timeout(PATIENCE).unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), threads);
        pool.stop();
    }
}

/// Each of two requests computes until it has seen the other one do so: with one puller only the sentinel could bring them together.
#[test]
fn requests_that_compute_run_side_by_side_on_a_free_interpreter() {
    for threads in [2, 3, 8] {
        let (mut half, end) = link(threads);
        let met = Arc::new(AtomicUsize::new(0));
        let (done, is_done) = mpsc::channel();
        let application = move |path: &str| {
            let pair: usize = path.parse().unwrap();
            met.fetch_add(1, Ordering::SeqCst);
            while met.load(Ordering::SeqCst) < 2 * (pair + 1) {
                std::hint::spin_loop();
            }
            done.send(()).unwrap();
        };
        let interpreter = Interpreter::Free { processors: 2 };
        let pool = Pool::start(&end, (interpreter, threads), Arc::new(application));
        for pair in 0..50 {
            feed(&mut half.end, [pair, pair].iter().map(ToString::to_string));
            for _ in 0..2 {
                is_done.recv_timeout(PATIENCE).unwrap();
            }
        }
        pool.stop();
    }
}

#[test]
fn threads_leave_from_every_role() {
    for (interpreter, threads) in everywhere([1, 2, 3, 8]) {
        for pushed in [0, 1, 5] {
            let (mut half, end) = link(threads);
            let pool = Pool::start(
                &end,
                (interpreter, threads),
                Arc::new(|_: &str| thread::sleep(crate::scheduler::TICK)),
            );
            feed(&mut half.end, (0..pushed).map(|i| i.to_string()));
            pool.stop();
        }
    }
}

#[test]
fn a_seat_is_given_once() {
    let (_half, end) = link(2);
    let scheduler = Scheduler::new(end, 2, Interpreter::Locked);
    assert!(scheduler.seat(0).is_some() && scheduler.seat(0).is_none());
    assert!(scheduler.seat(2 + SPARE_THREADS).is_none() && scheduler.seat(1 + SPARE_THREADS).is_some());
    let spare = scheduler.seat(2).unwrap();
    scheduler.leave(spare);
    assert!(scheduler.seat(2).is_some());
}

#[test]
fn who_leaves_leaves_the_work_to_others() {
    for (interpreter, _) in everywhere(0..100) {
        let (mut half, end) = link(2);
        let scheduler = Arc::new(Scheduler::new(Arc::clone(&end), 2, interpreter));
        let (taken, is_taken) = mpsc::channel();
        let stays = {
            let (end, scheduler) = (Arc::clone(&end), Arc::clone(&scheduler));
            thread::spawn(move || serve(&end, &scheduler, 0, &move |_: &str| taken.send(()).unwrap()))
        };
        let mut seat = scheduler.seat(1).unwrap();
        // Whichever role it has by now.
        if let Some(taken) = scheduler.try_take(&mut seat) {
            end.finish(taken, false);
        }
        scheduler.leave(seat);
        feed(&mut half.end, ["after".to_owned()].into_iter());
        is_taken.recv_timeout(PATIENCE).unwrap();
        scheduler.stop();
        stays.join().unwrap();
    }
}

/// One thread after the other leaves in the middle of a request that never ends; each time a new one takes its place.
#[test]
fn a_thread_that_leaves_is_replaced_at_once_also_where_it_was_the_only_one() {
    for (interpreter, planned) in everywhere([1, 2, 4]) {
        let leaving = if planned < 4 { 5 } else { 3 };
        let (mut half, end) = link(planned);
        let scheduler = Arc::new(Scheduler::new(Arc::clone(&end), planned, interpreter));
        let gate = Arc::new(Gate::default());
        let (done, is_done) = mpsc::channel();
        let (started, starts) = mpsc::channel::<usize>();
        let begin = |number: usize| {
            let (end, scheduler, gate) = (Arc::clone(&end), Arc::clone(&scheduler), Arc::clone(&gate));
            let (done, started) = (done.clone(), started.clone());
            thread::spawn(move || {
                let mut seat = scheduler.seat(number).unwrap();
                scheduler.enter(&seat);
                loop {
                    while let Some(taken) = scheduler.try_take(&mut seat) {
                        let path = String::from_utf8(end.request(&taken).unwrap().path().to_vec()).unwrap();
                        end.finish(taken, false);
                        if path == "leaves" {
                            started.send(number).unwrap();
                            scheduler.vacate(seat.number());
                            gate.pass();
                            scheduler.give_up(seat);
                            return;
                        }
                        done.send(path).unwrap();
                    }
                    match scheduler.wait(&mut seat) {
                        Wake::Retry => {}
                        Wake::Suspect(suspicion) => {
                            scheduler.take_over(&mut seat, suspicion);
                        }
                        Wake::Stop => return,
                        Wake::Leave => return scheduler.leave(seat),
                    }
                }
            })
        };
        let mut threads: Vec<_> = (0..planned).map(begin).collect();
        for round in 0..leaving {
            feed(&mut half.end, std::iter::once("leaves".to_owned()));
            starts.recv_timeout(PATIENCE).unwrap();
            threads.push(begin(planned + round));
            feed(&mut half.end, (0..100).map(|number| number.to_string()));
            for _ in 0..100 {
                is_done.recv_timeout(PATIENCE).unwrap();
            }
        }
        gate.open();
        scheduler.stop();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(scheduler.seat(0).is_some() || planned > 1, "whoever leaves gives its seat back");
    }
}
