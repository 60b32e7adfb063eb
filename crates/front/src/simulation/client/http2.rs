//! A client of HTTP/2 with a script (RFC 9113, with prior knowledge): streams side by side, windows, and frames cut anywhere.
//!
//! It keeps to the protocol, and asserts that the front does: windows, frame sizes, the order of frames in a stream, one response for each stream. What
//! excuses a stream from having the application's response is written down in [`Client::may_be_reset`] and [`Client::end`].

use std::collections::VecDeque;

use crate::simulation::client::{
    Mode, Told, any_length, body_of, coming, end_side, is_time_to_vanish, read_some, vanish,
};
use crate::simulation::random::Random;
use crate::simulation::world::Shape;
use crate::transport::memory::{Shared, lock};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// RFC 9113 section 6.5.2: what holds before anything else is said.
const FIRST_WINDOW: i64 = 65_535;
const MOST_FRAME: usize = 16_384;
const CANCEL: u32 = 8;
/// The body of a response that the front makes itself, a 502 or a 503, has fewer bytes.
const MOST_OWN: usize = 1000;
/// What is made before the last of it has been sent.
const AHEAD: usize = 40_000;
/// Frames that only ask for an acknowledgement; the front counts them.
const MOST_PINGS: usize = 6;

/// A request, and what has come for it.
#[derive(Debug)]
struct Stream {
    number: u32,
    id: u64,
    mode: Mode,
    /// Of the response's body.
    len: usize,
    body_len: usize,
    is_head: bool,
    /// Of its own body, made into frames.
    body_sent: usize,
    /// What the front lets it send.
    send_window: i64,
    /// What it lets the front send.
    window: i64,
    /// What it has read and not given back.
    owed: usize,
    status: Option<u16>,
    has_id: bool,
    length: Option<usize>,
    got: Vec<u8>,
    is_over: bool,
    /// The client does not want it any more.
    is_reset: bool,
}

/// See the module's head.
#[derive(Debug)]
pub(in crate::simulation) struct Client {
    wire: Shared,
    /// Requests that have not been made: number, what for, lengths.
    coming: VecDeque<(u64, Mode, usize, usize, bool)>,
    streams: Vec<Stream>,
    /// Frames that have been made and not sent.
    out: VecDeque<u8>,
    input: Vec<u8>,
    at_once: usize,
    resets_left: usize,
    pings: usize,
    closes_early: bool,
    vanishes_after: Option<usize>,
    /// What each new stream lets the front send.
    first_window: i64,
    window: i64,
    owed: usize,
    /// Windows of the front, as far as it has said.
    front_first_window: i64,
    send_window: i64,
    /// Of the front's GOAWAY: the last stream that it has taken.
    last_taken: Option<u32>,
    /// The front has given the connection up.
    is_given_up: bool,
    pub(in crate::simulation) served: Vec<u64>,
    pub(in crate::simulation) is_gone: bool,
}

fn frame(out: &mut VecDeque<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// A field without indexing and without Huffman coding (RFC 7541 section 6.2.2).
fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        assert!(text.len() < 127, "one byte says how long it is");
        block.push(text.len() as u8);
        block.extend(text.as_bytes());
    }
}

impl Client {
    pub(in crate::simulation) fn new(
        random: &mut Random,
        first_id: u64,
        shape: Shape,
        wire: Shared,
    ) -> Client {
        let count = 1 + random.below(shape.requests * 2);
        let coming = (0..count).map(|at| {
            let body_len = random.one_of(&[0, 0, 0, 0, 5, 300, 17_000, 90_000]);
            let is_head = body_len == 0 && random.once_in(8);
            (first_id + at as u64, Mode::any(random, shape), any_length(random, shape), body_len, is_head)
        });
        let coming: VecDeque<_> = coming.collect();
        let vanishes = shape.vanish && random.once_in(4);
        let mut client = Client {
            wire,
            coming,
            streams: Vec::new(),
            out: VecDeque::new(),
            input: Vec::new(),
            at_once: 1 + random.below(4),
            resets_left: if shape.vanish { random.below(3) } else { 0 },
            pings: 0,
            closes_early: random.once_in(8),
            vanishes_after: vanishes.then(|| random.below(60)),
            first_window: random.one_of(&[0, 1, 1000, FIRST_WINDOW, 1 << 20]),
            window: FIRST_WINDOW,
            owed: 0,
            front_first_window: FIRST_WINDOW,
            send_window: FIRST_WINDOW,
            last_taken: None,
            is_given_up: false,
            served: Vec::new(),
            is_gone: false,
        };
        client.out.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send_window_setting();
        client
    }

    /// SETTINGS_INITIAL_WINDOW_SIZE.
    fn send_window_setting(&mut self) {
        let mut payload = vec![0, 4];
        payload.extend((self.first_window as u32).to_be_bytes());
        frame(&mut self.out, SETTINGS, 0, 0, &payload);
    }

    fn open(&self) -> usize {
        self.streams.iter().filter(|stream| !stream.is_over).count()
    }

    fn may_begin(&self) -> bool {
        !self.coming.is_empty() && self.last_taken.is_none() && self.open() < self.at_once
    }

    fn may_send_body(&self, stream: &Stream) -> bool {
        !stream.is_over
            && stream.body_sent < stream.body_len
            && stream.send_window > 0
            && self.send_window > 0
    }

    fn owes(&self) -> bool {
        // A stream whose window was small from the beginning needs more, too.
        self.owed > 0
            || self.streams.iter().any(|stream| !stream.is_over && (stream.owed > 0 || stream.window <= 0))
    }

    fn can_make(&self) -> bool {
        self.out.len() < AHEAD
            && (self.may_begin() || self.owes() || self.streams.iter().any(|one| self.may_send_body(one)))
    }

    fn is_satisfied(&self) -> bool {
        self.is_given_up
            || self.open() == 0
                && (self.coming.is_empty() || self.last_taken.is_some())
                && self.out.is_empty()
    }

    fn may_send(&self) -> bool {
        !lock(&self.wire).is_ended && !self.is_given_up && (!self.out.is_empty() || self.can_make())
    }

    pub(in crate::simulation) fn can_act(&self) -> bool {
        let (has_bytes, is_over) = coming(&self.wire);
        let has_ended = lock(&self.wire).is_ended;
        !self.is_gone && (has_bytes || is_over || self.may_send() || self.is_satisfied() && !has_ended)
    }

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
            return self.end(shape);
        }
        if self.may_send() {
            if self.can_make() && (self.out.is_empty() || random.once_in(3)) {
                self.make(random);
            }
            return self.send(random);
        }
        if self.is_satisfied() { end_side(&self.wire) } else { Told::default() }
    }

    /// Makes one frame, or a few that belong together.
    fn make(&mut self, random: &mut Random) {
        if self.resets_left > 0 && random.once_in(12) {
            return self.reset_one(random);
        }
        if self.pings < MOST_PINGS && random.once_in(15) {
            self.pings += 1;
            return match random.once_in(2) {
                true => frame(&mut self.out, PING, 0, 0, b"eight by"),
                false => self.change_window(random),
            };
        }
        if self.owes() && random.once_in(2) {
            return self.give_back(random);
        }
        if self.may_begin() && random.once_in(2) {
            return self.begin(random);
        }
        let ready: Vec<usize> =
            (0..self.streams.len()).filter(|at| self.may_send_body(&self.streams[*at])).collect();
        if !ready.is_empty() {
            self.send_body(ready[random.below(ready.len())], random);
        }
    }

    fn begin(&mut self, random: &mut Random) {
        let Some((id, mode, len, body_len, is_head)) = self.coming.pop_front() else { return };
        let number = self.streams.last().map_or(1, |last| last.number + 2);
        let mut block = Vec::new();
        field(&mut block, ":method", if is_head { "HEAD" } else { "POST" });
        field(&mut block, ":scheme", "http");
        field(&mut block, ":authority", "h");
        field(&mut block, ":path", &format!("/r/{id}?{}&{len}&{body_len}", mode.letter()));
        if random.once_in(2) {
            field(&mut block, "content-length", &body_len.to_string());
        }
        let ends = if body_len == 0 { END_STREAM } else { 0 };
        if random.once_in(4) {
            let (first, rest) = block.split_at(random.below(block.len()));
            frame(&mut self.out, HEADERS, ends, number, first);
            frame(&mut self.out, CONTINUATION, END_HEADERS, number, rest);
        } else {
            frame(&mut self.out, HEADERS, ends | END_HEADERS, number, &block);
        }
        self.streams.push(Stream {
            number,
            id,
            mode,
            len,
            body_len,
            is_head,
            body_sent: 0,
            send_window: self.front_first_window,
            window: self.first_window,
            owed: 0,
            status: None,
            has_id: false,
            length: None,
            got: Vec::new(),
            is_over: false,
            is_reset: false,
        });
    }

    fn send_body(&mut self, at: usize, random: &mut Random) {
        let stream = &mut self.streams[at];
        let room = stream.send_window.min(self.send_window).max(0) as usize;
        let most = random.one_of(&[500, 5000, MOST_FRAME]);
        let count = room.min(stream.body_len - stream.body_sent).min(1 + random.below(most));
        let bytes = body_of(stream.id, stream.body_len);
        let piece = &bytes[stream.body_sent..stream.body_sent + count];
        stream.body_sent += count;
        stream.send_window -= count as i64;
        self.send_window -= count as i64;
        let ends = stream.body_sent == stream.body_len;
        frame(&mut self.out, DATA, u8::from(ends), stream.number, piece);
    }

    /// Lets the front send again what has been read; or more, where the window was too small from the beginning.
    fn give_back(&mut self, random: &mut Random) {
        let grant = |out: &mut VecDeque<u8>, stream: u32, count: usize| {
            frame(out, WINDOW_UPDATE, 0, stream, &(count as u32).to_be_bytes());
        };
        if self.owed > 0 {
            let count = std::mem::take(&mut self.owed);
            self.window += count as i64;
            grant(&mut self.out, 0, count);
        }
        let wanting: Vec<usize> = (0..self.streams.len())
            .filter(|at| {
                let stream = &self.streams[*at];
                !stream.is_over && (stream.owed > 0 || stream.window <= 0)
            })
            .collect();
        if wanting.is_empty() {
            return;
        }
        let stream = &mut self.streams[wanting[random.below(wanting.len())]];
        let count = std::mem::take(&mut stream.owed).max(20_000);
        stream.window += count as i64;
        grant(&mut self.out, stream.number, count);
    }

    /// A new first window holds for the streams that there are, too, and may make theirs negative (RFC 9113 section 6.9.2).
    fn change_window(&mut self, random: &mut Random) {
        let new = random.one_of(&[0, 500, FIRST_WINDOW, 300_000]);
        // What is smaller holds only when the front has said that it knows; until then it may send as much as before.
        let change = new - self.first_window;
        if change < 0 {
            return;
        }
        self.first_window = new;
        for stream in &mut self.streams {
            stream.window += change;
        }
        self.send_window_setting();
    }

    fn reset_one(&mut self, random: &mut Random) {
        let open: Vec<usize> = (0..self.streams.len()).filter(|at| !self.streams[*at].is_over).collect();
        if open.is_empty() {
            return;
        }
        self.resets_left -= 1;
        let stream = &mut self.streams[open[random.below(open.len())]];
        (stream.is_reset, stream.is_over) = (true, true);
        frame(&mut self.out, RST_STREAM, 0, stream.number, &CANCEL.to_be_bytes());
    }

    fn send(&mut self, random: &mut Random) -> Told {
        let most = random.one_of(&[1, 2, 30, 1000, 100_000]);
        let count = self.out.len().min(1 + random.below(most));
        if count == 0 {
            return Told::default();
        }
        let mut wire = lock(&self.wire);
        wire.to_front.extend(self.out.drain(..count));
        let is_all = self.out.is_empty() && self.coming.is_empty();
        let has_bodies = self.streams.iter().any(|one| !one.is_over && one.body_sent < one.body_len);
        let ends = self.closes_early && is_all && !has_bodies;
        wire.is_ended |= ends;
        Told { readable: true, ended: ends, ..Told::default() }
    }

    fn read(&mut self, random: &mut Random, shape: Shape) -> Told {
        let told = read_some(&self.wire, random, &mut self.input);
        while let Some((kind, flags, number, payload)) = self.next_frame() {
            self.take(kind, flags, number, &payload, shape);
        }
        told
    }

    fn next_frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let head = self.input.get(..9)?;
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        assert!(len <= MOST_FRAME, "a frame of {len} bytes");
        let (kind, flags) = (head[3], head[4]);
        let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.input.get(9..9 + len)?.to_vec();
        self.input.drain(..9 + len);
        Some((kind, flags, number, payload))
    }

    fn take(&mut self, kind: u8, flags: u8, number: u32, payload: &[u8], shape: Shape) {
        let word =
            |at: usize| payload.get(at..at + 4).map(|four| u32::from_be_bytes(four.try_into().unwrap()));
        match kind {
            SETTINGS if flags & ACK != 0 => assert!(payload.is_empty()),
            SETTINGS => {
                for one in payload.chunks(6) {
                    let value = u32::from_be_bytes(one[2..].try_into().unwrap());
                    if one[..2] == [0, 4] {
                        let change = i64::from(value) - self.front_first_window;
                        self.front_first_window += change;
                        self.streams.iter_mut().for_each(|stream| stream.send_window += change);
                    }
                }
                frame(&mut self.out, SETTINGS, ACK, 0, &[]);
            }
            PING if flags & ACK != 0 => assert_eq!(payload, b"eight by"),
            // Before it leaves, it asks what is on its way.
            PING => frame(&mut self.out, PING, ACK, 0, payload),
            WINDOW_UPDATE => {
                let more = i64::from(word(0).unwrap());
                assert!(more > 0, "a window that grows by nothing");
                match self.stream(number) {
                    _ if number == 0 => self.send_window += more,
                    Some(stream) => stream.send_window += more,
                    None => panic!("a window of a stream that was never begun: {number}"),
                }
            }
            GOAWAY => {
                let (last, code) = (word(0).unwrap(), word(4).unwrap());
                assert!(self.last_taken.is_none_or(|before| last <= before), "GOAWAY takes back: {last}");
                assert!(code == 0 || shape.is_hasty, "GOAWAY with {code}");
                self.last_taken = Some(last);
                self.is_given_up |= code != 0;
                // What was not taken will not be responded to, and can be asked again elsewhere.
                self.streams.iter_mut().filter(|one| one.number > last).for_each(|one| one.is_over = true);
            }
            RST_STREAM => {
                let code = word(0).unwrap();
                let stream = self.stream(number).expect("a reset of a stream that was begun");
                let was_over = std::mem::replace(&mut stream.is_over, true);
                let (mode, id) = (stream.mode, stream.id);
                assert!(
                    was_over || self.may_be_reset(mode, shape),
                    "stream {number} ({mode:?} {id}) is reset with {code}"
                );
            }
            HEADERS => self.take_head(flags, number, payload, shape),
            DATA => self.take_data(flags, number, payload, shape),
            _ => panic!("a frame of kind {kind}"),
        }
    }

    fn stream(&mut self, number: u32) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.number == number)
    }

    /// Whether a response may be broken off.
    fn may_be_reset(&self, mode: Mode, shape: Shape) -> bool {
        matches!(mode, Mode::Broken | Mode::Short) || shape.deaths || shape.is_hasty || self.closes_early
    }

    fn take_head(&mut self, flags: u8, number: u32, block: &[u8], shape: Shape) {
        assert!(flags & END_HEADERS != 0, "a head in several frames");
        let Some(stream) = self.stream(number) else { panic!("a response to nothing: {number}") };
        assert!(stream.is_reset || !stream.is_over && stream.status.is_none(), "two responses on {number}");
        let id = stream.id.to_string();
        for (name, value) in fields_of(block) {
            match &*name {
                ":status" => stream.status = value.parse().ok(),
                "content-length" => stream.length = value.parse().ok(),
                "x-id" => {
                    assert_eq!(value, id, "the response of another request");
                    stream.has_id = true;
                }
                _ => {}
            }
        }
        assert!(stream.status.is_some(), "a response without a status");
        if flags & END_STREAM != 0 {
            self.complete(number, shape);
        }
    }

    fn take_data(&mut self, flags: u8, number: u32, bytes: &[u8], shape: Shape) {
        self.window -= bytes.len() as i64;
        assert!(self.window >= 0, "the front sends more than the connection's window");
        self.owed += bytes.len();
        let Some(stream) = self.stream(number) else { panic!("data of no stream: {number}") };
        stream.window -= bytes.len() as i64;
        assert!(bytes.is_empty() || stream.window >= 0, "the front sends more than the window of {number}");
        stream.owed += bytes.len();
        assert!(stream.is_reset || !stream.is_over && stream.status.is_some(), "data outside of a response");
        stream.got.extend(bytes);
        if flags & END_STREAM != 0 {
            self.complete(number, shape);
        }
    }

    /// A response has come to its end.
    fn complete(&mut self, number: u32, shape: Shape) {
        let Some(stream) = self.stream(number) else { return };
        if stream.is_reset {
            return;
        }
        stream.is_over = true;
        let status = stream.status.unwrap_or_default();
        let is_bodiless = stream.is_head || status == 204;
        assert!(
            is_bodiless && stream.got.is_empty() || stream.length.is_none_or(|len| len == stream.got.len()),
            "the length of {number}"
        );
        let (id, mode) = (stream.id, stream.mode);
        if !stream.has_id {
            return assert!(shape.allows(status, mode), "request {id}: {status}");
        }
        let expected = if is_bodiless { Vec::new() } else { body_of(id, stream.len) };
        assert!(
            stream.got == expected,
            "request {id} {mode:?}: {} bytes of {}",
            stream.got.len(),
            stream.len
        );
        let looks_broken = match mode {
            Mode::Length | Mode::Open | Mode::Empty => false,
            Mode::Short => stream.len > 0,
            Mode::Broken | Mode::Nothing => true,
        };
        assert!(is_bodiless || !looks_broken, "what was broken off looks whole: {id}");
        self.served.push(id);
    }

    /// The front will send nothing more, and everything has been read.
    fn end(&mut self, shape: Shape) -> Told {
        self.is_gone = true;
        lock(&self.wire).is_ended = true;
        let is_cut = lock(&self.wire).is_cut;
        // Windows cannot be opened any more by a client that has closed its side; and the front's own responses have a text.
        let all: usize = self.streams.iter().map(|stream| stream.len.max(MOST_OWN)).sum();
        let lacks_windows =
            self.closes_early && (all as i64 > FIRST_WINDOW || all as i64 > self.first_window);
        let excused = shape.deaths || shape.is_hasty || lacks_windows || self.is_given_up;
        let left: Vec<(u32, u64, Mode)> = self
            .streams
            .iter()
            .filter(|stream| !stream.is_over && !matches!(stream.mode, Mode::Broken | Mode::Short))
            .map(|stream| (stream.number, stream.id, stream.mode))
            .collect();
        // A close with something unread, which the client sent after it could have known, may destroy what was said last.
        assert!(
            excused || left.is_empty() || is_cut && self.last_taken.is_some(),
            "streams {left:?} have no response; GOAWAY {:?}, cut {is_cut}",
            self.last_taken
        );
        Told { readable: true, ended: true, ..Told::default() }
    }

    pub(in crate::simulation) fn describe(&self) -> String {
        let open: Vec<_> = self
            .streams
            .iter()
            .filter(|one| !one.is_over)
            .map(|one| {
                (one.number, one.mode, one.body_sent, one.body_len, one.window, one.got.len(), one.len)
            })
            .collect();
        let wire = lock(&self.wire);
        format!(
            "HTTP/2: {} to come, open {open:?}, window {}, out {}, GOAWAY {:?}, wire {:?}",
            self.coming.len(),
            self.window,
            self.out.len(),
            self.last_taken,
            (wire.to_front.len(), wire.to_client.len(), wire.is_ended, wire.is_closed, wire.is_blocked)
        )
    }
}

/// An integer of RFC 7541 section 5.1.
fn integer(block: &mut &[u8], prefix: u32) -> usize {
    let mask = (1usize << prefix) - 1;
    let mut take = || {
        let (first, rest) = block.split_first().expect("a header block that ends too early");
        *block = rest;
        usize::from(*first)
    };
    let mut value = take() & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let byte = take();
            value += (byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    value
}

fn string(block: &mut &[u8]) -> String {
    assert!(block[0] & 0x80 == 0, "Huffman coding, which the front does not use");
    let len = integer(block, 7);
    let (text, rest) = block.split_at(len);
    *block = rest;
    String::from_utf8(text.to_vec()).expect("a field is text here")
}

/// The fields of a header block of the front, which uses no table of its own.
fn fields_of(mut block: &[u8]) -> Vec<(String, String)> {
    let name_of = |index: usize| match index {
        8..=14 => ":status".to_owned(),
        28 => "content-length".to_owned(),
        other => format!("static {other}"),
    };
    let mut fields = Vec::new();
    while let Some(&first) = block.first() {
        if first & 0x80 != 0 {
            let index = integer(&mut block, 7);
            let status = ["200", "204", "206", "304", "400", "404", "500"];
            let value = index.checked_sub(8).and_then(|at| status.get(at)).copied().unwrap_or_default();
            fields.push((name_of(index), value.to_owned()));
        } else if first & 0xE0 == 0x20 {
            assert_eq!(integer(&mut block, 5), 0, "a table of the front's own");
        } else {
            assert!(first & 0x40 == 0, "an entry of a table of the front's own");
            let index = integer(&mut block, 4);
            let name = if index == 0 { string(&mut block) } else { name_of(index) };
            let value = string(&mut block);
            fields.push((name, value));
        }
    }
    fields
}
