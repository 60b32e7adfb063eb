//! Bodies that are passed on while they come: the request is with a worker already, and its connection is still read.
//!
//! Runs on the front's thread. Owns the way of the bytes: from the socket, past the parser, into the request's window. The window belongs to the
//! request, wherever that is (`attachments::Attachments`); it is reached through the slot by whoever owns that, so that nothing is written to memory
//! that has been given back. How such a body ends, and when, is in `upload`.

use std::io;

use pelton_http::{Event, Head, HttpError, Length};
use pelton_link::{BodyEnd, BodyWindow, CHUNK_BYTES};

use crate::connection::close::CloseReason;
use crate::event_loop::EventLoop;
use crate::event_loop::receive::{READ_BUDGET, SCRATCH, Turn};
use crate::event_loop::upload::{Streams, Upload};
use crate::exchange::{ExchangeId, State};
use crate::response::own::OwnResponse;
use crate::scheduling::ask::Load;

/// Chunks of a window. Larger ones make nothing faster: the worker empties a quarter of this in the time of a wake-up.
const WINDOW_CHUNKS: usize = 4;
/// With less room than this the rest of the worker's reading is waited for. More than a line of chunked framing can have.
const LEAST_ROOM: usize = 4096;

/// What a step led to.
pub(crate) enum Step {
    /// There may be more to do.
    On,
    /// Nothing at present.
    Stop(Turn),
}

/// What feeding the parser led to.
enum Fed {
    /// So many bytes are understood; the rest is incomplete.
    Some(usize),
    /// So many, and with them the body is complete.
    All(usize),
    Refused(HttpError),
}

impl EventLoop {
    /// Whether the request whose head is in `self.head` is to be handed on before its body has come.
    pub(crate) fn is_streamed(&self, bytes: &[u8]) -> bool {
        self.settings.streams != Streams::Never && self.settings.streams.include(self.head.path.of(bytes))
    }

    /// Hands on such a request.
    pub(crate) fn begin_stream(&mut self, id: ExchangeId, bytes: &[u8], has_begun: bool) {
        let left = match self.head.length {
            Length::Exact(length) => Some(length),
            Length::Chunked | Length::None => None,
        };
        let waits_for_leave = self.head.expect_continue && !has_begun;
        let chunks = self.chunks_for(left);
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        self.uploads.numbers += 1;
        let number = self.uploads.numbers;
        exchange.received_whole = false;
        exchange.upload = Some(Box::new(Upload {
            left,
            waits_for_leave,
            late_at: None,
            moved: 0,
            held: Vec::new(),
            ended: false,
            is_listed: false,
            number,
        }));
        // Not a file instead: whoever asks for streaming may wait for the body's beginning before it sends the end.
        let Some(window) = BodyWindow::new(&mut self.dispatch.bodies, chunks) else {
            self.respond_itself(id, OwnResponse::NoRoom);
            return;
        };
        self.shared.counters.bodies_streamed.up();
        self.submit(id, bytes, Load::Stream { window: Box::new(window), length: left, waits_for_leave });
    }

    /// Small windows while memory is scarce: that many requests can share it is worth more than few wake-ups.
    fn chunks_for(&self, left: Option<u64>) -> usize {
        let bodies = &self.dispatch.bodies;
        if bodies.free() < bodies.capacity() / 2 {
            return 1;
        }
        let needed = left.map_or(u64::MAX, |left| left.div_ceil(CHUNK_BYTES as u64));
        usize::try_from(needed).unwrap_or(usize::MAX).min(WINDOW_CHUNKS).next_power_of_two()
    }

    /// Receives of a body what there is and what there is room for.
    pub(crate) fn stream_in(&mut self, id: ExchangeId) -> Turn {
        if self.exchanges.get(id).is_some_and(|exchange| exchange.stream != 0) {
            return self.stream_in_http2(id);
        }
        let mut budget = READ_BUDGET;
        loop {
            match self.stream_step(id, &mut budget) {
                Ok(Step::On) => {}
                Ok(Step::Stop(turn)) => return turn,
                Err(_) => {
                    self.close_exchange(id, CloseReason::TransportError);
                    return Turn::Closed;
                }
            }
        }
    }

    fn stream_step(&mut self, id: ExchangeId, budget: &mut usize) -> io::Result<Step> {
        let room = match self.window_room(id) {
            Ok(room) => room,
            Err(step) => return Ok(step),
        };
        let Some(exchange) = self.exchanges.get(id) else { return Ok(Step::Stop(Turn::Closed)) };
        let Some(connection) = self.connections.get_mut(exchange.connection) else {
            return Ok(Step::Stop(Turn::Closed));
        };
        let Some(http1) = connection.driver.http1() else { return Ok(Step::Stop(Turn::Wait)) };
        if http1.unseen {
            let input = std::mem::take(&mut http1.input);
            return Ok(self.feed_input(id, input, room));
        }
        if !connection.transport.is_readable() {
            if connection.transport.peer_done() {
                return Ok(Step::Stop(self.cut_upload(id)));
            }
            self.wait_for_client(id);
            return Ok(Step::Stop(Turn::Wait));
        }
        if *budget == 0 {
            self.drive_again(id);
            return Ok(Step::Stop(Turn::Wait));
        }
        self.read_stream(id, room, budget)
    }

    /// How many bytes of the body may come now; an error says what to do instead of receiving.
    pub(crate) fn window_room(&mut self, id: ExchangeId) -> Result<usize, Step> {
        let Some(exchange) = self.exchanges.get_mut(id) else { return Err(Step::Stop(Turn::Closed)) };
        let state = exchange.state();
        let Some(upload) = exchange.upload.as_deref_mut() else { return Err(Step::Stop(Turn::Wait)) };
        if !matches!(state, State::Running | State::Responding) {
            // In the queue nothing is received: what has come so far is in the window, the rest can wait where it is.
            upload.late_at = None;
            return Err(Step::Stop(Turn::Wait));
        }
        let stream = exchange.slot.and_then(|place| Some((place, self.dispatch.stream(place, id)?)));
        let Some((place, (end, window, _))) = stream else {
            // Without a window nobody will read the rest: it is thrown away.
            return Ok(usize::MAX);
        };
        let slot = u32::from(place.slot);
        let wants_leave = upload.waits_for_leave && end.is_body_asked_for(slot);
        let must_wait = end.see_body(slot, window).and_then(|()| {
            if window.free() >= LEAST_ROOM { Ok(false) } else { end.await_body_room(slot, window) }
        });
        let room = window.free();
        match must_wait {
            Err(_) => {
                self.end_upload(id, BodyEnd::Abandoned);
                return Err(Step::Stop(Turn::Wait));
            }
            Ok(true) => {
                upload.late_at = None;
                return Err(Step::Stop(Turn::Wait));
            }
            Ok(false) => {}
        }
        if wants_leave {
            upload.waits_for_leave = false;
            // Once the response has begun there is no place for an interim one. The client may send of itself, or be late.
            if state == State::Running {
                self.send_continue(id);
                return Err(Step::On);
            }
        }
        Ok(room)
    }

    /// Looks at what was received before, as far as there is room for it.
    fn feed_input(&mut self, id: ExchangeId, input: Vec<u8>, room: usize) -> Step {
        let looked_at = input.get(..room).unwrap_or(&input);
        let fed = self.feed(id, looked_at);
        let (is_cut, len) = (looked_at.len() < input.len(), input.len());
        let consumed = match fed {
            Fed::Some(count) | Fed::All(count) => count,
            Fed::Refused(_) => len,
        };
        if let Some(http1) = self.http1_of(id) {
            http1.consume(input, consumed);
            // What has been cut off has not been looked at; a piece of a line has, and needs more.
            http1.unseen = is_cut && consumed > 0;
        }
        if is_cut && consumed == 0 {
            // Longer than any line between chunks: trailers, behind which there is no data that would need room.
            return self.feed_whole(id);
        }
        self.after_feeding(id, fed)
    }

    /// One read from the socket: into the window where no framing is between, else through the loop's buffer.
    fn read_stream(&mut self, id: ExchangeId, room: usize, budget: &mut usize) -> io::Result<Step> {
        let Some(exchange) = self.exchanges.get_mut(id) else { return Ok(Step::Stop(Turn::Closed)) };
        let Some(connection) = self.connections.get_mut(exchange.connection) else {
            return Ok(Step::Stop(Turn::Closed));
        };
        let Some(http1) = connection.driver.http1() else { return Ok(Step::Stop(Turn::Wait)) };
        let Some(upload) = exchange.upload.as_deref_mut() else { return Ok(Step::Stop(Turn::Wait)) };
        if http1.input.is_empty()
            && let Some(left) = upload.left
            && let Some(place) = exchange.slot
            && let Some((end, window, bodies)) = self.dispatch.stream(place, id)
        {
            let target = window.room(bodies);
            let want = target.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let target = target.get_mut(..want).unwrap_or_default();
            let count = connection.transport.read(target)?;
            // All of it is body: no more than what is missing was asked for.
            let bytes = target.get(..count).unwrap_or_default();
            let step = http1.receiver.advance(bytes, &self.limits, &mut self.head);
            debug_assert!(step.is_ok_and(|step| step.consumed == bytes.len()));
            window.advance(count);
            end.publish_body(u32::from(place.slot), window);
            *budget = budget.saturating_sub(count);
            upload.left = Some(left - count as u64);
            self.upload_progress(id, count);
            if count as u64 == left {
                self.end_upload(id, BodyEnd::Complete);
                return Ok(Step::Stop(Turn::Wait));
            }
            return Ok(Step::On);
        }
        if http1.input.is_empty() {
            let mut scratch = std::mem::take(&mut self.scratch);
            let want = scratch.len().min(room);
            let result = connection.transport.read(scratch.get_mut(..want).unwrap_or_default());
            let step = result.map(|count| {
                *budget = budget.saturating_sub(count);
                let bytes = scratch.get(..count).unwrap_or_default();
                let fed = self.feed(id, bytes);
                self.keep_unfed(id, bytes, &fed);
                self.after_feeding(id, fed)
            });
            self.scratch = scratch;
            return step;
        }
        // A part of the framing is there: the parser wants it in one piece with what follows.
        let start = http1.input.len();
        let want = (SCRATCH / 4).min(room);
        http1.input.resize(start + want, 0);
        let result = connection.transport.read(http1.input.get_mut(start..).unwrap_or_default());
        http1.input.truncate(start + result.as_ref().map_or(0, |count| *count));
        let count = result?;
        http1.unseen = count > 0;
        *budget = budget.saturating_sub(count);
        Ok(Step::On)
    }

    /// Keeps what was received and not consumed.
    fn keep_unfed(&mut self, id: ExchangeId, bytes: &[u8], fed: &Fed) {
        if let Fed::Some(consumed) | Fed::All(consumed) = *fed
            && let Some(http1) = self.http1_of(id)
        {
            http1.input.extend_from_slice(bytes.get(consumed..).unwrap_or_default());
        }
    }

    fn feed_whole(&mut self, id: ExchangeId) -> Step {
        let Some(http1) = self.http1_of(id) else { return Step::Stop(Turn::Closed) };
        let input = std::mem::take(&mut http1.input);
        let fed = self.feed(id, &input);
        self.keep_unfed(id, &input, &fed);
        self.after_feeding(id, fed)
    }

    fn after_feeding(&mut self, id: ExchangeId, fed: Fed) -> Step {
        match fed {
            Fed::Some(_) => Step::On,
            Fed::All(_) => {
                self.end_upload(id, BodyEnd::Complete);
                Step::Stop(Turn::Wait)
            }
            Fed::Refused(error) => Step::Stop(self.refuse_upload(id, error)),
        }
    }

    /// Shows `input` to the parser, and puts what is data into the window, which has room for it.
    fn feed(&mut self, id: ExchangeId, input: &[u8]) -> Fed {
        let (mut at, mut count) = (0, 0);
        let mut unused = Head::default();
        let fed = loop {
            let Some(exchange) = self.exchanges.get(id) else { return Fed::Some(at) };
            let Some(connection) = self.connections.get_mut(exchange.connection) else {
                return Fed::Some(at);
            };
            let Some(http1) = connection.driver.http1() else { return Fed::Some(at) };
            let rest = input.get(at..).unwrap_or_default();
            let step = match http1.receiver.advance(rest, &self.limits, &mut unused) {
                Ok(step) => step,
                Err(error) => break Fed::Refused(error),
            };
            at += step.consumed;
            match step.event {
                Event::Body(range) => {
                    let bytes = rest.get(range).unwrap_or_default();
                    count += bytes.len();
                    self.put_into_window(id, bytes);
                }
                Event::End => break Fed::All(at),
                // A head cannot come before the end of this body.
                Event::NeedMore | Event::Head => break Fed::Some(at),
            }
        };
        self.upload_progress(id, count);
        fed
    }

    /// Bytes of a body that is passed on while it comes; where nobody reads it any more they are thrown away.
    pub(crate) fn put_into_window(&mut self, id: ExchangeId, bytes: &[u8]) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let Some(upload) = exchange.upload.as_deref_mut() else { return };
        upload.left = upload.left.map(|left| left.saturating_sub(bytes.len() as u64));
        let Some(place) = exchange.slot else { return };
        if let Some((end, window, bodies)) = self.dispatch.stream(place, id) {
            let put = window.push(bodies, bytes);
            debug_assert_eq!(put, bytes.len(), "more was read than there was room for");
            if put < bytes.len() {
                window.end(BodyEnd::Malformed);
            }
            end.publish_body(u32::from(place.slot), window);
        }
    }
}
