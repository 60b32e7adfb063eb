//! Clients with a script, of either version of HTTP, and what they share: what a request asks for, and which bytes belong to it.

mod http1;
mod http2;

use crate::simulation::random::Random;
use crate::simulation::world::Shape;
use crate::transport::memory::{Shared, lock};

/// What a worker makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A body with Content-Length.
    Length,
    /// A body of which nobody knows the end before.
    Open,
    /// The response breaks off in the middle of its body.
    Broken,
    /// Less comes than was announced.
    Short,
    /// The worker ends without any response.
    Nothing,
    /// 204.
    Empty,
}

const MODES: [(Mode, &str); 6] = [
    (Mode::Length, "l"),
    (Mode::Open, "o"),
    (Mode::Broken, "b"),
    (Mode::Short, "s"),
    (Mode::Nothing, "n"),
    (Mode::Empty, "e"),
];

impl Mode {
    fn any(random: &mut Random, shape: Shape) -> Mode {
        match random.below(16) {
            0..7 => Mode::Length,
            7..13 => Mode::Open,
            13 => Mode::Empty,
            _ if shape.breaks => random.one_of(&[Mode::Broken, Mode::Short, Mode::Nothing]),
            _ => Mode::Length,
        }
    }

    pub(super) fn of(letter: &str) -> Mode {
        MODES.iter().find(|(_, one)| *one == letter).map_or(Mode::Length, |(mode, _)| *mode)
    }

    fn letter(self) -> &'static str {
        MODES.iter().find(|(mode, _)| *mode == self).map_or("l", |(_, letter)| letter)
    }
}

/// Byte `at` of the body that belongs to a request, in either direction.
pub(super) fn byte_of(id: u64, at: usize) -> u8 {
    (id.wrapping_mul(31).wrapping_add(at as u64 * 7) % 251) as u8
}

pub(super) fn body_of(id: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| byte_of(id, at)).collect()
}

/// The length of a response's body.
fn any_length(random: &mut Random, shape: Shape) -> usize {
    // Through a narrow wire a large body would take too many steps.
    let most = if shape.room < 4096 { 20_000 } else { 200_000 };
    random.one_of(&[0, 1, 13, 700, 20_000, 70_000, 200_000]).min(most)
}

/// What the poller tells of something that a client did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) readable: bool,
    pub(super) ended: bool,
    pub(super) error: bool,
    pub(super) room: bool,
}

/// Counts the steps down until a client goes without a word; whether that is now.
fn is_time_to_vanish(steps_left: &mut Option<usize>) -> bool {
    match steps_left {
        Some(0) => true,
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

fn vanish(wire: &Shared) -> Told {
    lock(wire).is_reset = true;
    Told { error: true, readable: true, ended: true, room: false }
}

/// Whether there are bytes to be read, and whether the front will send no more than those.
fn coming(wire: &Shared) -> (bool, bool) {
    let wire = lock(wire);
    (!wire.to_client.is_empty(), wire.is_sending_ended || wire.is_closed)
}

/// Reads a piece of any size.
fn read_some(wire: &Shared, random: &mut Random, input: &mut Vec<u8>) -> Told {
    let mut wire = lock(wire);
    let most = random.one_of(&[1, 40, 3000, 300_000]);
    let count = wire.to_client.len().min(1 + random.below(most));
    input.extend(wire.to_client.drain(..count));
    Told { room: std::mem::take(&mut wire.is_blocked), ..Told::default() }
}

/// A client that wants nothing more closes its side, once.
fn end_side(wire: &Shared) -> Told {
    let has_ended = std::mem::replace(&mut lock(wire).is_ended, true);
    Told { readable: !has_ended, ended: !has_ended, ..Told::default() }
}

/// A client of one of the two versions.
#[derive(Debug)]
pub(super) enum Client {
    Http1(http1::Client),
    Http2(Box<http2::Client>),
}

impl Client {
    pub(super) fn new(
        random: &mut Random,
        first_id: u64,
        shape: Shape,
        wire: Shared,
        is_http2: bool,
    ) -> Client {
        if is_http2 {
            Client::Http2(Box::new(http2::Client::new(random, first_id, shape, wire)))
        } else {
            Client::Http1(http1::Client::new(random, first_id, shape, wire))
        }
    }

    /// Whether it has anything to do now.
    pub(super) fn can_act(&self) -> bool {
        match self {
            Client::Http1(client) => client.can_act(),
            Client::Http2(client) => client.can_act(),
        }
    }

    /// Does one thing. Gives what the front's poller tells of it.
    pub(super) fn act(&mut self, random: &mut Random, shape: Shape) -> Told {
        match self {
            Client::Http1(client) => client.act(random, shape),
            Client::Http2(client) => client.act(random, shape),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        match self {
            Client::Http1(client) => client.is_gone,
            Client::Http2(client) => client.is_gone,
        }
    }

    /// Requests whose response of the application was read whole.
    pub(super) fn served(&self) -> &[u64] {
        match self {
            Client::Http1(client) => &client.served,
            Client::Http2(client) => &client.served,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Client::Http1(client) => client.describe(),
            Client::Http2(client) => client.describe(),
        }
    }
}
