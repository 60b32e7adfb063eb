//! From slots to sockets: takes answers out of the link, puts them into HTTP's form, sends them.
//!
//! Runs on the front's thread. An answer that the socket takes at once is never copied except for small pieces that are gathered into one
//! write; of what the socket does not take, a bounded part is kept so that the worker's thread is free again.

use std::io::{self, IoSlice};
use std::sync::Arc;

use pelton_http::h1::encode::{CHUNK_END, CONTINUE, LAST_CHUNK, chunk_prefix, encode_head};
use pelton_http::{Coding, ResponseContext};
use pelton_link::{Damaged, Frame, Loan, Progress, Why, fine_us};

use crate::connection::close::CloseReason;
use crate::connection::exchange::State;
use crate::connection::gather::{Gather, PIECES, Piece};
use crate::connection::output::Flushed;
use crate::connection::table::ConnectionId;
use crate::event_loop::EventLoop;
use crate::event_loop::drain::DRAIN_GRACE;
use crate::event_loop::own_answer::OwnAnswer;
use crate::event_loop::receive::Turn;
use crate::event_loop::upload::Upload;
use crate::notices::Level;
use crate::scheduling::dispatch::Place;
use crate::sent_file::SentFile;
use crate::settings::LINGER_TIME;

/// Body pieces up to this size are copied behind the head, so that both leave in one buffer.
const GATHER: usize = 16 * 1024;
/// Writes on one connection before the others get their turn.
const PASSES: usize = 16;

/// What an answer's frame brings along beside the ring.
enum Attachment {
    /// A file, from an offset.
    File(u64),
    /// Memory of the application.
    Loan(Loan),
}

/// How a pass over a slot's frames ended.
enum Passed {
    /// Everything published is read; more may follow.
    More,
    /// There are more frames than fit one write.
    Full,
    /// All of the answer is read; a broken one is not whole and never will be.
    Ended {
        /// Whether it is.
        broken: bool,
    },
}

impl EventLoop {
    /// Passes on what the worker has written, as far as the client takes it or may lag behind.
    pub(crate) fn pump(&mut self, id: ConnectionId, place: Place) -> Turn {
        for _ in 0..PASSES {
            if self.is_full(id) {
                return self.wait_for_reader(id);
            }
            let passed = match self.pass(id, place) {
                Ok(Ok(passed)) => passed,
                Ok(Err(Damaged)) => return self.damaged(id, place),
                Err(_) => {
                    self.close(id, CloseReason::ByClientEarly);
                    return Turn::Closed;
                }
            };
            match passed {
                Passed::Full => {}
                Passed::More => return self.wait_for_reader(id),
                Passed::Ended { broken } => {
                    if !self.keep_socket(id) {
                        return Turn::Closed;
                    }
                    self.dispatch.let_go(place, self.now_ms);
                    if let Some(connection) = self.table.get_mut(id) {
                        connection.exchange.slot = None;
                        if connection.exchange.state() == State::Running {
                            self.answer(id, OwnAnswer::Lost);
                        } else {
                            connection.exchange.broken = broken;
                            if let Some(record) = &mut connection.exchange.record
                                && !connection.output.is_empty()
                            {
                                record.done_us = fine_us() - self.started_us;
                            }
                        }
                    }
                    return Turn::Again;
                }
            }
        }
        // A worker that writes as fast as its client reads must not keep the front from the others.
        self.again.push(id);
        self.wait_for_reader(id)
    }

    /// One pass: reads frames, sends or keeps them, frees the ring.
    fn pass(&mut self, id: ConnectionId, place: Place) -> io::Result<Result<Passed, Damaged>> {
        let Some(connection) = self.table.get_mut(id) else { return Ok(Err(Damaged)) };
        let Some(worker) = self.dispatch.worker(place.seat) else { return Ok(Err(Damaged)) };
        let (slot, link) = (u32::from(place.slot), &mut worker.end);
        let exchange = &mut connection.exchange;
        let wire = &mut self.wire;
        wire.clear();
        let mut gather = Gather::new();
        // What is not in the ring itself: the last thing of a pass.
        let mut attached: Option<(Attachment, u64)> = None;
        // Taken in any case once its frame is consumed, or nobody would close it.
        let mut file_token = None;
        let (mut cursor, mut progress) = link.answer(slot);
        if worker.is_dead && progress == Progress::Open {
            // What there is of it is all there will ever be.
            progress = Progress::Broken;
        }
        while attached.is_none() && !gather.is_nearly_full() {
            let from = wire.len();
            match link.next_frame(slot, &mut cursor) {
                Ok(None) => break,
                Err(Damaged) => return Ok(Err(Damaged)),
                Ok(Some(Frame::Head(head))) => {
                    // Who answers has given the socket up; a worker that has taken it nevertheless is not to be believed.
                    let is_ours = !connection.is_shared || link.withdraw_socket(slot);
                    if exchange.coding.is_some() || !is_ours {
                        return Ok(Err(Damaged));
                    }
                    if let Some(record) = &mut exchange.record {
                        let now_us = fine_us() - self.started_us;
                        self.answered_us = now_us;
                        record.is_answered(head.status, now_us, link.started_ms(slot).unwrap_or_default());
                        if let Some(log) = &self.access_log {
                            record.keep_answer(log.format(), head.fields());
                        }
                    }
                    let timing = match &exchange.record {
                        Some(record) if self.settings.server_timing => Some(record.timing()),
                        _ => None,
                    };
                    let context = ResponseContext {
                        version: exchange.version,
                        is_head: exchange.is_head,
                        keep_alive: exchange.keep_alive
                            && !self.draining
                            && exchange.upload.as_deref().is_none_or(Upload::may_be_followed),
                        date: self.date.render(self.unix_seconds),
                        known_length: head.known_length,
                        timing,
                    };
                    let Ok(encoded) = encode_head(wire, head.status, head.reason, head.fields(), &context)
                    else {
                        return Ok(Err(Damaged));
                    };
                    exchange.coding = Some(encoded.coding);
                    exchange.keep_alive = encoded.keep_alive;
                    exchange.become_state(State::Responding);
                    // The clock of the queue, which means nothing for an answer.
                    self.timers.clear(id.key);
                    gather.add_wire(wire, from);
                }
                Ok(Some(Frame::Data(first, second))) => {
                    let len = first.len() + second.len();
                    exchange.passed += len as u64;
                    let chunked = match exchange.coding {
                        None => return Ok(Err(Damaged)),
                        Some(Coding::None) => continue,
                        Some(Coding::Length(length)) if exchange.passed > length => return Ok(Err(Damaged)),
                        Some(Coding::Length(_) | Coding::UntilClose) => false,
                        Some(Coding::Chunked) => len > 0,
                    };
                    if chunked {
                        chunk_prefix(wire, len);
                    }
                    if len <= GATHER {
                        wire.extend_from_slice(first);
                        wire.extend_from_slice(second);
                        if chunked {
                            wire.extend_from_slice(CHUNK_END);
                        }
                        gather.add_wire(wire, from);
                    } else {
                        gather.add_wire(wire, from);
                        gather.add(Piece::Ring(first));
                        if !second.is_empty() {
                            gather.add(Piece::Ring(second));
                        }
                        let from = wire.len();
                        if chunked {
                            wire.extend_from_slice(CHUNK_END);
                        }
                        gather.add_wire(wire, from);
                    }
                }
                Ok(Some(Frame::File { token, offset, len })) => {
                    file_token = Some(token);
                    attached = Some((Attachment::File(offset), len));
                }
                Ok(Some(Frame::Lent { token, len })) => {
                    let Some(loan) = link.take_loan(token) else { return Ok(Err(Damaged)) };
                    if len > (*loan).as_ref().len() as u64 {
                        return Ok(Err(Damaged));
                    }
                    attached = Some((Attachment::Loan(loan), len));
                }
            }
            if let Some((_, len)) = attached {
                exchange.passed += len;
                match exchange.coding {
                    None => return Ok(Err(Damaged)),
                    Some(Coding::Length(length)) if exchange.passed > length => return Ok(Err(Damaged)),
                    Some(Coding::None) => attached = None,
                    Some(Coding::Chunked) if len == 0 => attached = None,
                    Some(Coding::Length(_) | Coding::UntilClose) => {}
                    Some(Coding::Chunked) => {
                        chunk_prefix(wire, usize::try_from(len).unwrap_or(usize::MAX));
                        gather.add_wire(wire, from);
                    }
                }
            }
        }
        let at_end = cursor.is_at_end();
        let whole = at_end && progress == Progress::Complete;
        if whole {
            match exchange.coding {
                None => return Ok(Err(Damaged)),
                Some(Coding::Length(length)) if exchange.passed != length => return Ok(Err(Damaged)),
                Some(Coding::Chunked) if attached.is_none() => {
                    let from = wire.len();
                    wire.extend_from_slice(LAST_CHUNK);
                    gather.add_wire(wire, from);
                }
                _ => {}
            }
        }
        let output = &mut connection.output;
        // What goes before a file is kept back for the file's first bytes, so that they share a packet.
        let before_file = matches!(attached, Some((Attachment::File(..), _)));
        let sent = if output.is_empty() && !before_file {
            let mut slices = [IoSlice::new(&[]); PIECES + 1];
            let loan = match &attached {
                Some((Attachment::Loan(loan), len)) => (**loan).as_ref().get(..*len as usize),
                _ => None,
            };
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(gather.bytes(wire).chain(loan)) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            output.send_now(&mut connection.transport, slices.get(..count).unwrap_or_default())
        } else {
            Ok(0)
        };
        let loan_sent = sent.as_ref().map_or(0, |sent| output.keep(gather.bytes(wire), *sent));
        // Even after a failure: what was read of the ring (descriptors among it) must not be read again.
        link.consume(slot, cursor, progress);
        let file = file_token.map(|token| link.take_file(slot, token));
        sent?;
        if let Some((attachment, len)) = attached {
            let output = &mut connection.output;
            match attachment {
                Attachment::File(offset) => match file.flatten() {
                    Some(file) => output.push_file(Arc::new(SentFile::of_application(file)), offset, len),
                    None => return Ok(Err(Damaged)),
                },
                Attachment::Loan(loan) => output.push_loan(loan, loan_sent, len as usize),
            }
            if exchange.coding == Some(Coding::Chunked) {
                output.push(CHUNK_END);
                if whole {
                    output.push(LAST_CHUNK);
                }
            }
            // The socket may have room for it: readiness has been reported and will not be again.
            if matches!(output.flush(&mut connection.transport)?, Flushed::Paused | Flushed::Cold) {
                self.again.push(id);
            }
        }
        Ok(Ok(match progress {
            _ if !at_end => Passed::Full,
            Progress::Complete => Passed::Ended { broken: false },
            Progress::Broken => Passed::Ended { broken: true },
            Progress::Open => Passed::More,
        }))
    }

    /// The worker wrote nonsense, or the application less or more than it announced.
    fn damaged(&mut self, id: ConnectionId, place: Place) -> Turn {
        self.shared.notices.post(
            Level::Error,
            "an answer was cut off: what the worker handed over did not match its own head".to_owned(),
        );
        if let Some(worker) = self.dispatch.worker(place.seat) {
            worker.discard(place.slot);
        }
        if !self.keep_socket(id) {
            return Turn::Closed;
        }
        let Some(connection) = self.table.get_mut(id) else { return Turn::Closed };
        if connection.exchange.state() != State::Running {
            self.close(id, CloseReason::BrokenAnswer);
            return Turn::Closed;
        }
        connection.exchange.slot = None;
        self.dispatch.abandon(place, Why::Gone, self.now_ms);
        self.answer(id, OwnAnswer::Damaged);
        Turn::Again
    }

    /// The socket has room again, or the state has just become Responding.
    pub(crate) fn send_on(&mut self, id: ConnectionId) -> Turn {
        let Some(connection) = self.table.get_mut(id) else { return Turn::Closed };
        if !connection.is_sent() {
            match connection.output.flush(&mut connection.transport) {
                Ok(Flushed::All) => {}
                Ok(Flushed::Paused) => {
                    self.timers.clear(id.key);
                    self.again.push(id);
                    return self.wait_for_reader(id);
                }
                Ok(Flushed::Cold) => return self.warm_up(id),
                Ok(Flushed::Blocked(count)) => {
                    self.write_progress(id, count);
                    // Also without progress: what was left over from the last turn may go to a file.
                    if let Some(place) =
                        self.table.get_mut(id).and_then(|connection| connection.exchange.slot)
                    {
                        return self.pump(id, place);
                    }
                    return self.wait_for_reader(id);
                }
                Err(error) => {
                    let is_file = error.kind() == io::ErrorKind::UnexpectedEof;
                    let reason = if is_file { CloseReason::FileChanged } else { CloseReason::ByClientEarly };
                    self.close(id, reason);
                    return Turn::Closed;
                }
            }
        }
        match connection.exchange.slot {
            Some(place) => self.pump(id, place),
            None => self.finish(id),
        }
    }

    /// All of the answer has left.
    fn finish(&mut self, id: ConnectionId) -> Turn {
        let Some(connection) = self.table.get_mut(id) else { return Turn::Closed };
        if connection.exchange.upload.is_some() {
            // Afterwards there is none.
            return self.finish_upload(id).unwrap_or_else(|| self.finish(id));
        }
        if connection.exchange.broken {
            if connection.exchange.coding == Some(Coding::UntilClose) {
                // Where the end of the connection is the end of the body, only a reset says that it is not.
                connection.transport.reset_at_close();
            }
            self.close(id, CloseReason::BrokenAnswer);
            return Turn::Closed;
        }
        connection.exchange.become_state(State::Finished);
        self.shared.counters.answers_finished.up();
        if let Some(record) = connection.exchange.record.take() {
            let bytes = connection.exchange.body_bytes();
            self.note_end(record, bytes, "complete");
        }
        let Some(connection) = self.table.get_mut(id) else { return Turn::Closed };
        let nothing_unread = connection.input.is_empty() && !connection.transport.is_readable();
        if !connection.exchange.keep_alive {
            if nothing_unread && connection.exchange.received_whole {
                self.close(id, CloseReason::AfterAnswer);
                return Turn::Closed;
            }
            connection.lingering = true;
            connection.transport.end_sending();
            self.set_deadline(id, LINGER_TIME);
            return self.linger(id);
        }
        connection.exchange.renew();
        connection.output.end_spilling();
        connection.receiver.next_request();
        connection.unseen = !connection.input.is_empty();
        // An answer that began before a drain did not announce the end, so the next request may be on its way.
        if self.draining && self.leave_open(id) {
            return Turn::Closed;
        }
        self.set_deadline(id, if self.draining { DRAIN_GRACE } else { self.settings.keep_alive_time });
        Turn::Again
    }

    /// Throws away what a client still sends after its last answer.
    pub(crate) fn linger(&mut self, id: ConnectionId) -> Turn {
        let Some(connection) = self.table.get_mut(id) else { return Turn::Closed };
        // A turn at a time; a client that never stops is cut off at the end of the linger time.
        for _ in 0..16 {
            if !connection.transport.is_readable() {
                break;
            }
            connection.transport.discard(&mut self.scratch);
        }
        if connection.transport.is_readable() {
            self.again.push(id);
        } else if connection.transport.peer_done() {
            self.close(id, CloseReason::AfterAnswer);
            return Turn::Closed;
        }
        Turn::Wait
    }

    /// The client waits for leave to send its body (RFC 9110 section 10.1.1).
    pub(crate) fn send_continue(&mut self, id: ConnectionId) {
        if let Some(connection) = self.table.get_mut(id) {
            if connection.output.is_empty() {
                // A failure shows at the next read.
                let _ = connection.output.send_or_keep(&mut connection.transport, &[IoSlice::new(CONTINUE)]);
            } else {
                connection.output.push(CONTINUE);
            }
        }
    }
}
