//! Which worker gets what: over real links, with this thread in the part of every worker.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use pelton_http::{Event, Head, Limits, Receiver};
use pelton_link::{
    BodyArena, BodyPool, Doorbell, FrontEnd, ResponseHead, Taken, Why, WorkerEnd, body_memory, link_memory,
};
use socket2::SockAddr;

use crate::forwarding::Proxies;
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::scheduling::affinity::Affinity;
use crate::scheduling::ask::{Ask, Load};
use crate::scheduling::dispatch::{Dispatch, Dispatched};
use crate::scheduling::path_limits::PathLimits;
use crate::scheduling::stuck;
use crate::scheduling::stuck::STALL_MS;
use crate::scheduling::worker_link::WorkerLink;
use crate::transport::peer::Peer;

pub(super) struct Scene {
    pub(super) dispatch: Dispatch,
    pub(super) ends: Vec<WorkerEnd>,
    doorbell: Arc<Doorbell>,
    bodies: std::fs::File,
    asked: usize,
}

impl Scene {
    pub(super) fn new(workers: usize, threads: usize, queue_length: usize) -> Scene {
        let bodies = body_memory().unwrap();
        let arena = Arc::new(BodyArena::shared_for_front(&bodies).unwrap());
        let affinity = Affinity::new(true, true);
        let dispatch = Dispatch::new(BodyPool::new(arena), queue_length, affinity, PathLimits::default());
        let doorbell = Arc::new(Doorbell::new().unwrap());
        let mut scene = Scene { dispatch, ends: Vec::new(), doorbell, bodies, asked: 0 };
        for _ in 0..workers {
            scene.add(threads);
        }
        scene
    }

    pub(super) fn add(&mut self, threads: usize) {
        let memory = link_memory(threads).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let end = FrontEnd::join(&memory, OwnedFd::from(ours), threads).unwrap();
        let doorbell = std::os::fd::AsFd::as_fd(&*self.doorbell).try_clone_to_owned().unwrap();
        self.ends.push(WorkerEnd::join(&memory, &self.bodies, doorbell, theirs.into(), threads).unwrap());
        let number = self.ends.len() as u64;
        self.dispatch.add(WorkerLink { number, pid: 0, threads, end, request_limit: 0 });
    }

    /// Submits `GET /N`, where N counts up.
    pub(super) fn ask(&mut self, now_ms: u64) -> Dispatched {
        self.ask_with(Load::Inline(&[]), now_ms)
    }

    /// The same with a body.
    pub(super) fn ask_with(&mut self, load: Load<'_>, now_ms: u64) -> Dispatched {
        self.ask_for("", load, now_ms)
    }

    /// The same with a query, its `?` included.
    pub(super) fn ask_for(&mut self, query: &str, load: Load<'_>, now_ms: u64) -> Dispatched {
        let (mut receiver, mut head) = (Receiver::new(), Head::default());
        let bytes = format!("GET /{}{query} HTTP/1.1\r\nHost: h\r\n\r\n", self.asked).into_bytes();
        let step = receiver.advance(&bytes, &Limits::default(), &mut head).unwrap();
        assert_eq!(step.event, Event::Head);
        let peer = Peer::new(&SockAddr::unix("/x").unwrap());
        let id = ExchangeId::from_token(self.asked);
        self.asked += 1;
        let proxies = Proxies::default();
        let ask = Ask {
            head: &head,
            bytes: &bytes,
            peer: &peer,
            listener: 0,
            proxies: &proxies,
            listeners: 1,
            variables: &[],
        };
        self.dispatch.submit(id, &ask, load, now_ms)
    }

    pub(super) fn seat_of_next(&mut self, now_ms: u64) -> u16 {
        match self.ask(now_ms) {
            Dispatched::Placed(place) => place.seat,
            other => panic!("{other:?}"),
        }
    }

    /// The worker starts its next request; gives its path.
    pub(super) fn start(&self, seat: usize) -> (Taken, String) {
        let taken = self.ends[seat].take().expect("a request is ready");
        let path = self.ends[seat].request(&taken).unwrap().path().to_vec();
        (taken, String::from_utf8(path).unwrap())
    }

    /// The worker answers, and the front reads all of it.
    pub(super) fn end(&mut self, seat: usize, mut taken: Taken, now_ms: u64) {
        let slot = taken.slot() as u16;
        let head = ResponseHead { status: 204, reason: b"", known_length: None, route: b"" };
        self.ends[seat].put_head(&mut taken, &head, std::iter::empty()).unwrap();
        self.ends[seat].finish(taken, false);
        let place = Place { seat: seat as u16, slot };
        self.dispatch.look(place, now_ms);
        self.dispatch.let_go(place, now_ms);
    }

    pub(super) fn place_all(&mut self, now_ms: u64) -> Vec<u16> {
        std::iter::from_fn(|| self.dispatch.place_next(now_ms)).map(|(_, place)| place.seat).collect()
    }
}

#[test]
fn a_request_goes_to_the_worker_with_the_most_free_permits() {
    let mut scene = Scene::new(3, 2, 100);
    let seats: Vec<u16> = (0..6).map(|_| scene.seat_of_next(0)).collect();
    assert_eq!(seats, [0, 1, 2, 0, 1, 2]);
    let (taken, path) = scene.start(1);
    assert_eq!(path, "/1");
    scene.end(1, taken, 0);
    assert_eq!(scene.seat_of_next(0), 1);
}

#[test]
fn nobody_waits_behind_a_long_request_while_another_worker_has_room() {
    let mut scene = Scene::new(2, 1, 100);
    assert_eq!([scene.seat_of_next(0), scene.seat_of_next(0)], [0, 1]);
    let (_long, _) = scene.start(0);
    let (short, _) = scene.start(1);
    // Both are busy: whoever has just got on may have one in advance.
    assert_eq!([scene.seat_of_next(1), scene.seat_of_next(1)], [0, 1]);
    assert_eq!(scene.ask(1), Dispatched::Queued);
    assert!(stuck::stuck_seats(&mut scene.dispatch, 1).is_empty());
    scene.end(1, short, STALL_MS);
    assert_eq!(stuck::stuck_seats(&mut scene.dispatch, STALL_MS), [0]);
    let moved = stuck::take_back_all(&mut scene.dispatch, 0);
    assert_eq!(moved, [(ExchangeId::from_token(2), 1)]);
    assert_eq!(scene.dispatch.queued(), 2);
    // What had waited longest is the first again, and the worker that got on may go further ahead.
    assert_eq!(scene.place_all(STALL_MS), [1, 1]);
    let paths: Vec<String> = (0..3).map(|_| scene.start(1).1).collect();
    assert_eq!(paths, ["/3", "/2", "/4"]);
    assert!(scene.ends[0].take().is_none(), "what was taken back is not to be had there");
}

#[test]
fn a_worker_that_is_alone_gets_all_that_it_has_slots_for() {
    let mut scene = Scene::new(1, 1, 1000);
    let slots = scene.ends[0].slots();
    for _ in 0..slots {
        assert_eq!(scene.seat_of_next(0), 0);
    }
    assert_eq!(scene.ask(0), Dispatched::Queued);
    assert_eq!(stuck::next_look_ms(&scene.dispatch), None);
}

#[test]
fn requests_are_bounded_by_threads_and_queue_and_wait_where_there_is_no_worker() {
    let mut scene = Scene::new(0, 1, 2);
    assert_eq!(
        [scene.ask(0), scene.ask(0), scene.ask(0)],
        [Dispatched::Queued, Dispatched::Queued, Dispatched::Full]
    );
    scene.add(1);
    assert_eq!(scene.place_all(0), [0, 0]);
    assert!(matches!(scene.ask(0), Dispatched::Placed(_)));
    assert_eq!(scene.ask(0), Dispatched::Full);
}

#[test]
fn a_retired_worker_gets_nothing_and_is_quiet_at_the_end() {
    let mut scene = Scene::new(2, 4, 100);
    assert_eq!(scene.seat_of_next(0), 0);
    scene.dispatch.retire(0);
    assert_eq!([scene.seat_of_next(0), scene.seat_of_next(0)], [1, 1]);
    assert!(!scene.dispatch.worker(0).unwrap().is_quiet());
    let (taken, _) = scene.start(0);
    scene.end(0, taken, 0);
    assert!(scene.dispatch.worker(0).unwrap().is_quiet());
}

#[test]
fn an_overdue_request_keeps_its_permit_and_does_not_keep_its_worker_from_being_quiet() {
    let mut scene = Scene::new(1, 1, 100);
    let Dispatched::Placed(place) = scene.ask(0) else { panic!() };
    let (taken, _) = scene.start(0);
    scene.dispatch.abandon(place, Why::Overdue, 7);
    let worker = scene.dispatch.worker(0).unwrap();
    assert!(worker.is_quiet() && worker.free_permits() == 0);
    assert_eq!(worker.overdue_slot(|since| since <= 7), Some(place.slot));
    assert_eq!(scene.ends[0].to_interrupt().len(), 1);
    scene.end(0, taken, 8);
    let worker = scene.dispatch.worker(0).unwrap();
    assert!(worker.in_use() == 0 && worker.free_permits() == 1 && worker.overdue_slot(|_| true).is_none());
}

#[test]
fn a_dead_worker_is_forgotten_when_its_responses_are_read_and_its_seat_is_taken_again() {
    let mut scene = Scene::new(2, 2, 100);
    let Dispatched::Placed(place) = scene.ask(0) else { panic!() };
    let (_taken, _) = scene.start(0);
    scene.dispatch.declare_dead(0);
    scene.dispatch.bury();
    assert_eq!(scene.dispatch.workers().count(), 2);
    scene.dispatch.look(place, 0);
    scene.dispatch.let_go(place, 0);
    scene.dispatch.bury();
    assert_eq!(scene.dispatch.workers().map(|(seat, _)| seat).collect::<Vec<_>>(), [1]);
    scene.add(2);
    assert_eq!(scene.dispatch.seat_of(3), Some(0));
}
