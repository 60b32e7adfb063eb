//! Where the window of a streamed body is at each step of its request's life, and that its chunks come back once, and never too early.

use pelton_link::request::BodyView;
use pelton_link::{BodyEnd, BodyReader, BodyWindow, Portion, Taken, Why};

use super::dispatching::Scene;
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::scheduling::ask::Load;
use crate::scheduling::dispatch::Dispatched;
use crate::scheduling::stuck;
use crate::scheduling::stuck::STALL_MS;

const CHUNKS: usize = 4;

impl Scene {
    fn stream(&mut self, now_ms: u64) -> Dispatched {
        let window = BodyWindow::new(&mut self.dispatch.bodies, CHUNKS).unwrap();
        let load = Load::Stream { window: Box::new(window), length: None, waits_for_leave: false };
        self.ask_with(load, now_ms)
    }

    fn placed(&mut self, now_ms: u64) -> Place {
        match self.stream(now_ms) {
            Dispatched::Placed(place) => place,
            other => panic!("{other:?}"),
        }
    }

    fn free(&self) -> usize {
        self.dispatch.bodies.free()
    }

    /// Puts bytes into a request's window, as its connection does.
    fn receive(&mut self, place: Place, owner: usize, bytes: &[u8]) -> bool {
        let Some((end, window, bodies)) = self.dispatch.stream(place, ExchangeId::from_token(owner)) else {
            return false;
        };
        assert_eq!(window.push(bodies, bytes), bytes.len());
        end.publish_body(u32::from(place.slot), window);
        true
    }

    fn reader(&self, seat: usize, taken: &Taken) -> BodyReader {
        match self.ends[seat].request(taken).unwrap().body() {
            BodyView::Stream { chunks, waits_for_leave, .. } => {
                self.ends[seat].body_reader(taken, chunks, waits_for_leave).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_request_that_moves_takes_its_window_along() {
    let mut scene = Scene::new(2, 1, 100);
    let all = scene.free();
    let places: Vec<Place> = (0..4).map(|_| scene.placed(0)).collect();
    assert_eq!(scene.free(), all - 4 * CHUNKS);
    let (long, _) = scene.start(0);
    let (short, path) = scene.start(1);
    assert_eq!(path, "/1");
    for (owner, &place) in places.iter().enumerate() {
        assert!(scene.receive(place, owner, format!("of {owner}").as_bytes()));
        assert!(!scene.receive(place, owner + 1, b"x"), "it is not this connection's");
    }
    scene.end(1, short, STALL_MS);
    assert_eq!(scene.free(), all - 3 * CHUNKS);
    // What waits behind the long one moves: into the queue, where nothing is received, then to the other worker.
    let waiting =
        places.iter().position(|place| place.seat == 0 && place.slot as u32 != long.slot()).unwrap();
    stuck::take_back_all(&mut scene.dispatch, 0);
    assert!(!scene.receive(places[waiting], waiting, b"x"));
    assert_eq!(scene.free(), all - 3 * CHUNKS);
    let (id, moved) = scene.dispatch.place_next(STALL_MS).unwrap();
    assert_eq!((id, moved.seat), (ExchangeId::from_token(waiting), 1));
    assert!(scene.receive(moved, waiting, b", later"));
    let started: Vec<(Taken, String)> = (0..2).map(|_| scene.start(1)).collect();
    for (taken, path) in started {
        let owner: usize = path[1..].parse().unwrap();
        let reader = scene.reader(1, &taken);
        let later = if owner == waiting { ", later" } else { "" };
        let expected = format!("of {owner}{later}");
        assert_eq!(scene.ends[1].peek_body(&reader), Portion::Bytes(expected.as_bytes()));
        scene.ends[1].detach_body(reader);
        scene.end(1, taken, STALL_MS);
    }
    scene.end(0, long, STALL_MS);
    assert_eq!(scene.free(), all);
}

#[test]
fn whatever_becomes_of_a_request_its_chunks_come_back_once() {
    let mut scene = Scene::new(1, 1, 2);
    let all = scene.free();
    let place = scene.placed(0);
    // Given up before it starts.
    scene.dispatch.abandon(place, Why::Gone, 0);
    assert_eq!(scene.free(), all);
    // In the queue, whose place is needed for something else, or that is full.
    let mut none = Scene::new(0, 1, 1);
    let all_of_none = none.free();
    assert_eq!(none.stream(0), Dispatched::Queued);
    assert_eq!(none.stream(0), Dispatched::Full);
    assert_eq!(none.free(), all_of_none - CHUNKS);
    none.dispatch.leave_queue(ExchangeId::from_token(0));
    assert_eq!(none.free(), all_of_none);
    // Answered, but read by nobody.
    let place = scene.placed(0);
    let (taken, _) = scene.start(0);
    scene.end(0, taken, 0);
    assert_eq!(scene.free(), all);
    assert!(!scene.receive(place, 2, b"late"));
}

#[test]
fn nothing_is_given_back_while_a_worker_may_read_it() {
    for why in [Why::Gone, Why::Overdue] {
        let mut scene = Scene::new(1, 2, 10);
        let all = scene.free();
        let place = scene.placed(0);
        let (taken, _) = scene.start(0);
        let reader = scene.reader(0, &taken);
        assert!(scene.receive(place, 0, b"secret"));
        scene.dispatch.abandon(place, why, 0);
        assert_eq!(scene.free(), all - CHUNKS);
        assert!(!scene.receive(place, 0, b"more"), "nobody writes there any more");
        let end = &scene.ends[0];
        assert_eq!(end.peek_body(&reader), Portion::Bytes(b"secret"));
        let mut reader = reader;
        end.consume_body(&mut reader, 6);
        assert_eq!(end.peek_body(&reader), Portion::End(BodyEnd::Abandoned), "and it knows");
        end.detach_body(reader);
        scene.end(0, taken, 1);
        assert_eq!(scene.free(), all);
    }
}

#[test]
fn a_dead_worker_reads_no_more() {
    let mut scene = Scene::new(1, 2, 10);
    let all = scene.free();
    let place = scene.placed(0);
    let (_taken, _) = scene.start(0);
    scene.dispatch.declare_dead(0);
    assert!(!scene.receive(place, 0, b"x"));
    scene.dispatch.look(place, 0);
    scene.dispatch.let_go(place, 0);
    assert_eq!(scene.free(), all);
}

#[test]
fn a_response_that_is_complete_lets_the_body_go() {
    let mut scene = Scene::new(1, 2, 10);
    let all = scene.free();
    let place = scene.placed(0);
    let (taken, _) = scene.start(0);
    scene.ends[0].finish(taken, false);
    assert!(scene.receive(place, 0, b"not known yet"));
    scene.dispatch.look(place, 0);
    // The response lies in its ring; the body is nobody's.
    assert!(!scene.receive(place, 0, b"x"));
    assert_eq!(scene.free(), all - CHUNKS);
    scene.dispatch.let_go(place, 0);
    assert_eq!(scene.free(), all);
}
