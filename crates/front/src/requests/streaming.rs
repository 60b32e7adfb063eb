//! Bodies that are passed on while they come: the request is with a worker already, and its connection is still read.
//!
//! Runs on the front's thread. Owns the way of the bytes: from the socket, past the parser, into the request's window. The window belongs to the
//! request, wherever that is (`attachments::Attachments`); it is reached through the slot by whoever owns that, so that nothing is written to memory
//! that has been given back. How such a body ends, and when, is in `upload`.

use std::io;

use pelton_http::{Event, Head, HttpError, Length};
use pelton_link::{BodyEnd, BodyWindow};

use crate::connection::close::CloseReason;
use crate::connection::closing;
use crate::connection::http2::stream_bodies;
use crate::connection::turn::{READ_BUDGET, SCRATCH, Turn};
use crate::exchange::upload::Upload;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::paths::Streams;
use crate::requests::upload_window::Step;
use crate::requests::{dispatching, upload_ends, upload_window, uploads};
use crate::response::own::OwnResponse;
use crate::response::respond;
use crate::scheduling::ask::Load;

/// What feeding the parser led to.
enum Fed {
    /// So many bytes are understood; the rest is incomplete.
    Some(usize),
    /// So many, and with them the body is complete.
    All(usize),
    Refused(HttpError),
}

/// Whether the request whose head is in `front.head` is to be handed on before its body has come.
pub(crate) fn is_streamed(front: &Front, bytes: &[u8]) -> bool {
    front.settings.streams != Streams::Never && front.settings.streams.include(front.head.path.of(bytes))
}

/// Hands on such a request.
pub(crate) fn begin_stream(front: &mut Front, id: ExchangeId, bytes: &[u8], has_begun: bool) {
    let left = match front.head.length {
        Length::Exact(length) => Some(length),
        Length::Chunked | Length::None => None,
    };
    let waits_for_leave = front.head.expect_continue && !has_begun;
    let chunks = upload_window::chunks_for(front, left);
    let Some(exchange) = front.exchanges.get_mut(id) else { return };
    front.uploads.numbers += 1;
    let number = front.uploads.numbers;
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
    let Some(window) = BodyWindow::new(&mut front.dispatch.bodies, chunks) else {
        respond::respond_itself(front, id, OwnResponse::NoRoom);
        return;
    };
    front.shared.counters.bodies_streamed.up();
    dispatching::submit(
        front,
        id,
        bytes,
        Load::Stream { window: Box::new(window), length: left, waits_for_leave },
    );
}

/// Receives of a body what there is and what there is room for.
pub(crate) fn stream_in(front: &mut Front, id: ExchangeId) -> Turn {
    if front.exchanges.get(id).is_some_and(|exchange| exchange.stream != 0) {
        return stream_bodies::stream_in_http2(front, id);
    }
    let mut budget = READ_BUDGET;
    loop {
        match stream_step(front, id, &mut budget) {
            Ok(Step::On) => {}
            Ok(Step::Stop(turn)) => return turn,
            Err(_) => {
                closing::close_exchange(front, id, CloseReason::TransportError);
                return Turn::Closed;
            }
        }
    }
}

fn stream_step(front: &mut Front, id: ExchangeId, budget: &mut usize) -> io::Result<Step> {
    let room = match upload_window::window_room(front, id) {
        Ok(room) => room,
        Err(step) => return Ok(step),
    };
    let Some(exchange) = front.exchanges.get(id) else { return Ok(Step::Stop(Turn::Closed)) };
    let Some(connection) = front.connections.get_mut(exchange.connection) else {
        return Ok(Step::Stop(Turn::Closed));
    };
    let Some(http1) = connection.driver.http1() else { return Ok(Step::Stop(Turn::Wait)) };
    if http1.unseen {
        let input = std::mem::take(&mut http1.input);
        return Ok(feed_input(front, id, input, room));
    }
    if !connection.transport.is_readable() {
        if connection.transport.peer_done() {
            return Ok(Step::Stop(upload_ends::cut_upload(front, id)));
        }
        uploads::wait_for_client(front, id);
        return Ok(Step::Stop(Turn::Wait));
    }
    if *budget == 0 {
        front.drive_again(id);
        return Ok(Step::Stop(Turn::Wait));
    }
    read_stream(front, id, room, budget)
}

/// Looks at what was received before, as far as there is room for it.
fn feed_input(front: &mut Front, id: ExchangeId, input: Vec<u8>, room: usize) -> Step {
    let looked_at = input.get(..room).unwrap_or(&input);
    let fed = feed(front, id, looked_at);
    let (is_cut, len) = (looked_at.len() < input.len(), input.len());
    let consumed = match fed {
        Fed::Some(count) | Fed::All(count) => count,
        Fed::Refused(_) => len,
    };
    if let Some(http1) = front.http1_of(id) {
        http1.consume(input, consumed);
        // What has been cut off has not been looked at; a piece of a line has, and needs more.
        http1.unseen = is_cut && consumed > 0;
    }
    if is_cut && consumed == 0 {
        // Longer than any line between chunks: trailers, behind which there is no data that would need room.
        return feed_whole(front, id);
    }
    after_feeding(front, id, fed)
}

/// One read from the socket: into the window where no framing is between, else through the loop's buffer.
fn read_stream(front: &mut Front, id: ExchangeId, room: usize, budget: &mut usize) -> io::Result<Step> {
    let Some(exchange) = front.exchanges.get_mut(id) else { return Ok(Step::Stop(Turn::Closed)) };
    let Some(connection) = front.connections.get_mut(exchange.connection) else {
        return Ok(Step::Stop(Turn::Closed));
    };
    let Some(http1) = connection.driver.http1() else { return Ok(Step::Stop(Turn::Wait)) };
    let Some(upload) = exchange.upload.as_deref_mut() else { return Ok(Step::Stop(Turn::Wait)) };
    if http1.input.is_empty()
        && let Some(left) = upload.left
        && let Some(place) = exchange.slot
        && let Some((end, window, bodies)) = front.dispatch.stream(place, id)
    {
        let target = window.room(bodies);
        let want = target.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let target = target.get_mut(..want).unwrap_or_default();
        let count = connection.transport.read(target)?;
        // All of it is body: no more than what is missing was asked for.
        let bytes = target.get(..count).unwrap_or_default();
        let step = http1.receiver.advance(bytes, &front.limits, &mut front.head);
        debug_assert!(step.is_ok_and(|step| step.consumed == bytes.len()));
        window.advance(count);
        end.publish_body(u32::from(place.slot), window);
        *budget = budget.saturating_sub(count);
        upload.left = Some(left - count as u64);
        uploads::upload_progress(front, id, count);
        if count as u64 == left {
            uploads::end_upload(front, id, BodyEnd::Complete);
            return Ok(Step::Stop(Turn::Wait));
        }
        return Ok(Step::On);
    }
    if http1.input.is_empty() {
        let mut scratch = std::mem::take(&mut front.scratch);
        let want = scratch.len().min(room);
        let result = connection.transport.read(scratch.get_mut(..want).unwrap_or_default());
        let step = result.map(|count| {
            *budget = budget.saturating_sub(count);
            let bytes = scratch.get(..count).unwrap_or_default();
            let fed = feed(front, id, bytes);
            keep_unfed(front, id, bytes, &fed);
            after_feeding(front, id, fed)
        });
        front.scratch = scratch;
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
fn keep_unfed(front: &mut Front, id: ExchangeId, bytes: &[u8], fed: &Fed) {
    if let Fed::Some(consumed) | Fed::All(consumed) = *fed
        && let Some(http1) = front.http1_of(id)
    {
        http1.input.extend_from_slice(bytes.get(consumed..).unwrap_or_default());
    }
}

fn feed_whole(front: &mut Front, id: ExchangeId) -> Step {
    let Some(http1) = front.http1_of(id) else { return Step::Stop(Turn::Closed) };
    let input = std::mem::take(&mut http1.input);
    let fed = feed(front, id, &input);
    keep_unfed(front, id, &input, &fed);
    after_feeding(front, id, fed)
}

fn after_feeding(front: &mut Front, id: ExchangeId, fed: Fed) -> Step {
    match fed {
        Fed::Some(_) => Step::On,
        Fed::All(_) => {
            uploads::end_upload(front, id, BodyEnd::Complete);
            Step::Stop(Turn::Wait)
        }
        Fed::Refused(error) => Step::Stop(upload_ends::refuse_upload(front, id, error)),
    }
}

/// Shows `input` to the parser, and puts what is data into the window, which has room for it.
fn feed(front: &mut Front, id: ExchangeId, input: &[u8]) -> Fed {
    let (mut at, mut count) = (0, 0);
    let mut unused = Head::default();
    let fed = loop {
        let Some(exchange) = front.exchanges.get(id) else { return Fed::Some(at) };
        let Some(connection) = front.connections.get_mut(exchange.connection) else {
            return Fed::Some(at);
        };
        let Some(http1) = connection.driver.http1() else { return Fed::Some(at) };
        let rest = input.get(at..).unwrap_or_default();
        let step = match http1.receiver.advance(rest, &front.limits, &mut unused) {
            Ok(step) => step,
            Err(error) => break Fed::Refused(error),
        };
        at += step.consumed;
        match step.event {
            Event::Body(range) => {
                let bytes = rest.get(range).unwrap_or_default();
                count += bytes.len();
                upload_window::put_into_window(front, id, bytes);
            }
            Event::End => break Fed::All(at),
            // A head cannot come before the end of this body.
            Event::NeedMore | Event::Head => break Fed::Some(at),
        }
    };
    uploads::upload_progress(front, id, count);
    fed
}

/// The application has answered, and its response has left. None: so has the rest of the request come, or the connection will end.
pub(crate) fn finish_upload(front: &mut Front, id: ExchangeId) -> Option<Turn> {
    let exchange = front.exchanges.get(id)?;
    if exchange.keep_alive && !exchange.broken {
        front.exchange_timers.clear(id.key);
        if stream_in(front, id) == Turn::Closed {
            return Some(Turn::Closed);
        }
        let upload = front.exchanges.get(id)?.upload.as_deref()?;
        if upload.may_be_followed() {
            return Some(Turn::Wait);
        }
    }
    uploads::end_upload(front, id, BodyEnd::Abandoned);
    None
}
