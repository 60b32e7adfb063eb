//! Offered sockets on their way to workers: where they go, that they move with their requests, and that nothing of them stays behind.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use pelton_link::request::BodyView;
use pelton_link::{Taken, Why};

use super::dispatching::Scene;
use crate::ids::Place;
use crate::scheduling::ask::Load;
use crate::scheduling::dispatch::Dispatched;
use crate::scheduling::stuck;
use crate::scheduling::stuck::STALL_MS;

/// A connection's two ends: the client's, and a duplicate of what the front would have.
fn client() -> (UnixStream, OwnedFd) {
    let (client, front) = UnixStream::pair().unwrap();
    client.set_nonblocking(true).unwrap();
    (client, front.as_fd().try_clone_to_owned().unwrap())
}

/// Whether nobody has the other end any more.
fn is_closed(mut client: &UnixStream) -> bool {
    client.read(&mut [0]).is_ok_and(|count| count == 0)
}

fn place(dispatched: Dispatched) -> Place {
    match dispatched {
        Dispatched::Placed(place) => place,
        other => panic!("{other:?}"),
    }
}

/// The worker starts its next request and fetches its socket.
fn fetch(scene: &Scene, seat: usize) -> (Taken, OwnedFd) {
    let (taken, _) = scene.start(seat);
    let end = &scene.ends[seat];
    let BodyView::Socket(token) = end.request(&taken).unwrap().body() else { panic!("no socket") };
    let socket = end.take_file(&taken, token).unwrap();
    (taken, socket)
}

#[test]
fn what_was_taken_is_closed_here_and_open_there() {
    let mut scene = Scene::new(1, 2, 10);
    let (client, socket) = client();
    let place = place(scene.ask_with(Load::Socket(socket), 0));
    let (taken, socket) = fetch(&scene, 0);
    assert!(!scene.dispatch.has_taken_socket(place) && scene.ends[0].take_socket(&taken));
    assert!(scene.dispatch.has_taken_socket(place));
    let worker = scene.dispatch.worker(0).unwrap();
    assert!(!worker.withdraw(place.slot), "it is the worker's");
    worker.forget_socket(place.slot);
    scene.ends[0].hand_over(taken);
    scene.dispatch.reap(place, 0);
    assert_eq!((scene.dispatch.slots_in_use(), is_closed(&client)), (0, false));
    drop(socket);
    assert!(is_closed(&client));
}

#[test]
fn what_was_withdrawn_is_not_to_be_had() {
    let mut scene = Scene::new(1, 2, 10);
    let (client, socket) = client();
    let place = place(scene.ask_with(Load::Socket(socket), 0));
    let (taken, socket) = fetch(&scene, 0);
    assert!(scene.dispatch.worker(0).unwrap().withdraw(place.slot));
    assert!(!scene.ends[0].take_socket(&taken) && !scene.dispatch.has_taken_socket(place));
    scene.dispatch.abandon(place, Why::Overdue, 0);
    drop(socket);
    scene.end(0, taken, 0);
    assert!(is_closed(&client) && scene.dispatch.slots_in_use() == 0);
}

#[test]
fn a_request_that_moves_takes_its_socket_along() {
    let mut scene = Scene::new(2, 1, 10);
    let kept: Vec<_> = (0..4).map(|_| client()).collect();
    let mut clients = Vec::new();
    for (client, socket) in kept {
        clients.push(client);
        scene.ask_with(Load::Socket(socket), 0);
    }
    let (_long, _socket) = fetch(&scene, 0);
    let (short, socket) = fetch(&scene, 1);
    drop(socket);
    scene.end(1, short, STALL_MS);
    assert_eq!(stuck::take_back_all(&mut scene.dispatch, 0).len(), 1);
    let placed = scene.dispatch.place_next(STALL_MS).unwrap();
    assert_eq!(placed.1.seat, 1);
    // The one that was in advance there, and the one that came from the other worker.
    for _ in 0..2 {
        let (taken, socket) = fetch(&scene, 1);
        assert!(scene.ends[1].take_socket(&taken));
        drop(socket);
        scene.ends[1].hand_over(taken);
    }
}

#[test]
fn what_waits_in_the_queue_is_closed_with_its_request() {
    let mut scene = Scene::new(0, 1, 10);
    let (client, socket) = client();
    assert_eq!(scene.ask_with(Load::Socket(socket), 0), Dispatched::Queued);
    assert!(!is_closed(&client));
    scene.dispatch.leave_queue(crate::ids::ExchangeId::from_token(0));
    assert!(is_closed(&client));
}

#[test]
fn a_full_queue_keeps_nothing() {
    let mut scene = Scene::new(0, 1, 1);
    let (first, second) = (client(), client());
    scene.ask_with(Load::Socket(first.1), 0);
    assert_eq!(scene.ask_with(Load::Socket(second.1), 0), Dispatched::Full);
    assert!(is_closed(&second.0) && !is_closed(&first.0));
}

#[test]
fn websockets_go_where_the_fewest_are_and_pages_do_not_mind_them() {
    let mut scene = Scene::new(3, 4, 100);
    let mut held = Vec::new();
    let mut counts = [0; 3];
    for _ in 0..12 {
        let (client, socket) = client();
        let place = place(scene.ask_with(Load::Socket(socket), 0));
        let seat = usize::from(place.seat);
        counts[seat] += 1;
        let (taken, socket) = fetch(&scene, seat);
        assert!(scene.ends[seat].take_socket(&taken));
        scene.dispatch.worker(place.seat).unwrap().forget_socket(place.slot);
        scene.ends[seat].hand_over(taken);
        scene.dispatch.reap(place, 0);
        held.push((client, socket));
    }
    assert_eq!(counts, [4, 4, 4]);
    let page = place(scene.ask_with(Load::Inline(&[]), 0));
    assert_eq!(page.seat, 0, "the first of equals");
    scene.ends[2].socket_ended();
    let (_client, socket) = client();
    assert_eq!(place(scene.ask_with(Load::Socket(socket), 0)).seat, 2);
}
