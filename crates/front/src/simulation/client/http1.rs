//! A client of HTTP/1 with a script: what it sends, how it cuts that, how it reads, and what it has to be given for it.
//!
//! What excuses a request from having the application's response is written down where it happens: the client vanished or closed its side too
//! early, it was told that the connection ends, a response before was cut because its worker broke it off or died, or (where time is short, or
//! the queue) the front refused.

use std::fmt;

use crate::simulation::client::{
    Mode, Told, any_length, body_of, coming, end_side, is_time_to_vanish, read_some, vanish,
};
use crate::simulation::random::Random;
use crate::simulation::world::Shape;
use crate::transport::memory::{Shared, lock};

#[derive(Clone)]
pub(in crate::simulation) struct Request {
    pub(in crate::simulation) id: u64,
    pub(in crate::simulation) mode: Mode,
    /// Of the response's body.
    pub(in crate::simulation) len: usize,
    pub(in crate::simulation) is_head: bool,
    is_old: bool,
    bytes: Vec<u8>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { id, mode, len, is_head, is_old, .. } = self;
        write!(f, "{id} {mode:?} {len} head {is_head} 1.0 {is_old}")
    }
}

impl Request {
    fn new(random: &mut Random, id: u64, shape: Shape) -> Request {
        let mode = Mode::any(random, shape);
        let len = any_length(random, shape);
        let body_len = random.one_of(&[0, 0, 0, 0, 5, 300, 17_000, 90_000]);
        let (is_chunked, is_old) = (body_len > 0 && random.once_in(3), random.once_in(12));
        let is_head = body_len == 0 && random.once_in(8);
        let is_last = random.once_in(10) || is_old;
        let method = if is_head { "HEAD" } else { "POST" };
        let version = if is_old { "1.0" } else { "1.1" };
        let connection = if is_last { "Connection: close\r\n" } else { "" };
        let is_chunked = is_chunked && !is_old;
        let framing = match is_chunked {
            true => "Transfer-Encoding: chunked\r\n".to_owned(),
            false => format!("Content-Length: {body_len}\r\n"),
        };
        let mut bytes = format!(
            "{method} /r/{id}?{}&{len}&{body_len} HTTP/{version}\r\nHost: h\r\n{connection}{framing}\r\n",
            mode.letter()
        )
        .into_bytes();
        let body = body_of(id, body_len);
        if is_chunked {
            for chunk in body.chunks(1 + random.below(40_000)) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(body);
        }
        Request { id, mode, len, is_head, is_old, bytes }
    }
}

/// See the module's head.
#[derive(Debug)]
pub(in crate::simulation) struct Client {
    pub(in crate::simulation) wire: Shared,
    requests: Vec<Request>,
    /// Requests sent, and bytes of the next one.
    sent: (usize, usize),
    /// Responses read whole.
    responses: usize,
    input: Vec<u8>,
    is_pipelining: bool,
    /// It closes its side as soon as it has sent everything.
    closes_early: bool,
    vanishes_after: Option<usize>,
    /// No further response is due.
    is_excused: bool,
    /// Requests whose response of the application was read whole.
    pub(in crate::simulation) served: Vec<u64>,
    pub(in crate::simulation) is_gone: bool,
}

/// What a look at the input found.
enum Found {
    Incomplete,
    /// A response of so many bytes, and whether another may follow.
    Whole(usize, bool),
}

impl Client {
    pub(in crate::simulation) fn new(
        random: &mut Random,
        first_id: u64,
        shape: Shape,
        wire: Shared,
    ) -> Client {
        let count = 1 + random.below(shape.requests);
        let requests = (0..count).map(|at| Request::new(random, first_id + at as u64, shape)).collect();
        let vanishes = shape.vanish && random.once_in(4);
        Client {
            wire,
            requests,
            sent: (0, 0),
            responses: 0,
            input: Vec::new(),
            is_pipelining: random.once_in(2),
            closes_early: random.once_in(5),
            vanishes_after: vanishes.then(|| random.below(60)),
            is_excused: false,
            served: Vec::new(),
            is_gone: false,
        }
    }

    fn may_send(&self) -> bool {
        let (whole, part) = self.sent;
        whole < self.requests.len()
            && !lock(&self.wire).is_ended
            && !self.is_excused
            && (self.is_pipelining || part > 0 || whole == self.responses)
    }

    fn is_satisfied(&self) -> bool {
        self.is_excused || self.responses == self.requests.len()
    }

    /// Whether it has anything to do now.
    pub(in crate::simulation) fn can_act(&self) -> bool {
        let (has_bytes, is_over) = coming(&self.wire);
        !self.is_gone && (has_bytes || is_over || self.may_send() || self.is_satisfied())
    }

    /// Does one thing. Gives whether the front's poller would tell of it as readable, as an end, as an error, as room.
    pub(in crate::simulation) fn act(&mut self, random: &mut Random, shape: Shape) -> Told {
        if is_time_to_vanish(&mut self.vanishes_after) {
            self.is_gone = true;
            return vanish(&self.wire);
        }
        let (has_bytes, is_over) = coming(&self.wire);
        if has_bytes && (!self.may_send() || random.once_in(2)) {
            return self.read(random, shape);
        }
        if is_over && !has_bytes {
            return self.end_of_responses(shape);
        }
        if self.may_send() {
            return self.send(random);
        }
        if self.is_satisfied() { end_side(&self.wire) } else { Told::default() }
    }

    fn send(&mut self, random: &mut Random) -> Told {
        let (whole, part) = self.sent;
        let Some(request) = self.requests.get(whole) else { return Told::default() };
        let left = request.bytes.len() - part;
        let most = random.one_of(&[1, 2, 30, 1000, 100_000]);
        let count = left.min(1 + random.below(most));
        let mut wire = lock(&self.wire);
        wire.to_front.extend(&request.bytes[part..part + count]);
        self.sent = if count == left { (whole + 1, 0) } else { (whole, part + count) };
        let ends = self.sent.0 == self.requests.len() && self.closes_early;
        wire.is_ended |= ends;
        Told { readable: true, ended: ends, ..Told::default() }
    }

    fn read(&mut self, random: &mut Random, shape: Shape) -> Told {
        let told = read_some(&self.wire, random, &mut self.input);
        self.look(shape, false);
        told
    }

    /// Takes whole responses from what has been read.
    fn look(&mut self, shape: Shape, is_end: bool) {
        while !self.input.is_empty() && !self.is_excused {
            assert!(self.responses < self.requests.len(), "a response without a request");
            match self.response(shape, is_end) {
                Found::Incomplete => return,
                Found::Whole(count, may_follow) => {
                    self.input.drain(..count);
                    self.responses += 1;
                    self.is_excused |= !may_follow;
                    assert!(
                        may_follow || self.input.is_empty(),
                        "bytes behind the last response: {:?}",
                        String::from_utf8_lossy(&self.input)
                    );
                }
            }
        }
    }

    fn response(&mut self, shape: Shape, is_end: bool) -> Found {
        let request = &self.requests[self.responses];
        let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Found::Incomplete;
        };
        let head = String::from_utf8(self.input[..at].to_vec()).expect("a head is text");
        let field = |name: &str| {
            let prefix = format!("{name}: ");
            head.split("\r\n").find_map(|line| line.strip_prefix(&*prefix).map(str::to_owned))
        };
        let status: u16 = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        let may_follow = field("Connection").is_none_or(|value| value != "close");
        let rest = &self.input[at + 4..];
        // Who is late with its head may have wanted anything.
        let bodiless = request.is_head && status != 408 || status == 204;
        let (body, len) = if bodiless {
            (Vec::new(), 0)
        } else if let Some(length) = field("Content-Length") {
            let length: usize = length.parse().expect("a length");
            if rest.len() < length {
                return Found::Incomplete;
            }
            (rest[..length].to_vec(), length)
        } else if field("Transfer-Encoding").is_some() {
            match dechunk(rest) {
                Some(found) => found,
                None => return Found::Incomplete,
            }
        } else {
            assert!(request.is_old && !may_follow, "a body without a mark of its end");
            if !is_end {
                return Found::Incomplete;
            }
            (rest.to_vec(), rest.len())
        };
        match field("X-Id") {
            Some(id) => {
                assert_eq!(id, request.id.to_string(), "the response of another request");
                let expected = if bodiless { Vec::new() } else { body_of(request.id, request.len) };
                assert!(body == expected, "{request:?}: {} bytes of body", body.len());
                assert!(
                    bodiless
                        || matches!(request.mode, Mode::Length | Mode::Open | Mode::Empty)
                        || request.mode == Mode::Short && request.len == 0,
                    "what was broken off looks whole: {request:?}"
                );
                let id = request.id;
                self.served.push(id);
            }
            None => assert!(shape.allows(status, request.mode), "request {}: {status}", request.id),
        }
        Found::Whole(at + 4 + len, may_follow)
    }

    /// The front will send nothing more, and everything has been read.
    fn end_of_responses(&mut self, shape: Shape) -> Told {
        self.is_gone = true;
        let is_cut = lock(&self.wire).is_cut;
        self.look(shape, !is_cut);
        lock(&self.wire).is_ended = true;
        let (whole, part) = self.sent;
        let was_told = self.is_satisfied();
        // The first one without a response: what happened to it?
        let next = self.requests.get(self.responses);
        let breaks = |request: &Request| matches!(request.mode, Mode::Broken | Mode::Short);
        // Also one before it, where nothing of a body is sent, so that its response looked whole; or one behind it that was sent already: a broken
        // response closes at once, and unread requests make that a reset.
        let broke = self.requests.iter().any(breaks);
        let was_cut_short = self.closes_early || whole <= self.responses && (part == 0 || shape.is_hasty);
        let excused = was_told || broke || shape.deaths || shape.drains || shape.is_hasty || was_cut_short;
        assert!(
            excused,
            "request {:?} has no response: {} of {} were sent, {} responded to; left {:?}",
            next.map(|request| (request.id, request.mode)),
            whole,
            self.requests.len(),
            self.responses,
            String::from_utf8_lossy(&self.input[..self.input.len().min(200)])
        );
        Told { readable: true, ended: true, ..Told::default() }
    }

    /// Whether its requests were all to be served, so that they must have been.
    pub(in crate::simulation) fn describe(&self) -> String {
        format!(
            "sent {:?} of {}, {} responses, excused {}, input {} bytes, wire {:?}",
            self.sent,
            self.requests.len(),
            self.responses,
            self.is_excused,
            self.input.len(),
            {
                let wire = lock(&self.wire);
                (wire.to_front.len(), wire.to_client.len(), wire.is_ended, wire.is_closed, wire.is_blocked)
            }
        )
    }
}

/// The body in chunks, and its length on the wire; None where it is not whole.
fn dechunk(mut rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (all, mut body) = (rest.len(), Vec::new());
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size =
            std::str::from_utf8(&rest[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.expect("a chunk's size");
        let data = rest.get(end + 2..end + 2 + size)?;
        let tail = rest.get(end + 2 + size..end + 4 + size)?;
        assert_eq!(tail, b"\r\n", "behind a chunk");
        body.extend(data);
        rest = &rest[end + 4 + size..];
        if size == 0 {
            return Some((body, all - rest.len()));
        }
    }
}
