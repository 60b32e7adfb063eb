//! One pass over what a worker has published of a response: its frames are read, what they bring is sent or kept, the ring is freed.
//!
//! Owns the order of these steps; what a frame becomes is `pass`'s business, what a head becomes `head`'s. Runs on the front's thread.

use std::io;

use pelton_link::{Cursor, Damaged, Frame, FrontEnd, HeadFrame, Progress};

use crate::connection::Driver;
use crate::exchange::Exchange;
use crate::front::Front;
use crate::ids::ExchangeId;
use crate::ids::Place;
use crate::memory;
use crate::rate_limits::RateLimits;
use crate::rate_limits::spending::spend_more;
use crate::response::attached::{Attachment, Rest};
use crate::response::head::HeadWriter;
use crate::response::pass::Pass;
use crate::static_files::named::{NamedFile, named_file};

/// How a pass over a slot's frames ended.
pub(crate) enum Passed {
    /// Everything published is read; more may follow.
    More,
    /// The head names a file that is to be sent; the rest of the response is not.
    Named(Box<NamedFile>),
    /// There are more frames than fit one write.
    Full,
    /// All of the response is read; a broken one is not whole and never will be.
    Ended {
        /// Whether it is.
        broken: bool,
    },
}

/// The source of a pass, and what its frames ask for.
struct Reading<'a> {
    link: &'a FrontEnd,
    slot: u32,
    writer: HeadWriter<'a>,
    /// Where a head is copied to that the worker could still change.
    head_copy: &'a mut Vec<u8>,
    /// Whether heads may name files.
    sends_named: bool,
    /// Whether a worker may still take the socket over.
    is_offered: bool,
    rate_limits: &'a mut RateLimits,
    turn_us: u64,
}

/// One pass: reads frames, sends or keeps them, frees the ring.
#[inline]
pub(crate) fn pass(front: &mut Front, id: ExchangeId, place: Place) -> io::Result<Result<Passed, Damaged>> {
    let Some(exchange) = front.exchanges.get_mut(id) else { return Ok(Err(Damaged)) };
    let ends = (front.connections.get_mut(exchange.connection), front.dispatch.worker(place.seat));
    let (Some(connection), Some(worker)) = ends else { return Ok(Err(Damaged)) };
    let (slot, link) = (u32::from(place.slot), &mut worker.end);
    let (wire, mut pass) = (&mut front.wire, Pass::new());
    wire.clear();
    let (mut cursor, progress) = match link.response(slot) {
        // What there is of it is all there will ever be.
        (cursor, Progress::Open) if worker.is_dead => (cursor, Progress::Broken),
        published => published,
    };
    let mut reading = Reading {
        link,
        slot,
        writer: HeadWriter {
            settings: &front.settings,
            access_log: front.recording.access_log.as_ref(),
            date: front.clock.date.render(front.clock.unix_seconds),
            draining: front.draining,
            started_us: front.clock.started_us,
            responded_us: &mut front.clock.responded_us,
            meter: front.recording.meter.as_deref_mut(),
        },
        head_copy: &mut front.head_copy,
        sends_named: !front.site.named_files.is_idle(),
        is_offered: connection.is_offered(exchange.stream),
        rate_limits: &mut front.site.rate_limits,
        turn_us: front.clock.turn_us,
    };
    let had_head = exchange.coding.is_some();
    let read = reading.frames(&mut cursor, exchange, &mut connection.driver, &mut pass, wire);
    if !had_head && (exchange.coding.is_some() || matches!(read, Ok(Some(_)))) {
        // The clock of the queue, which means nothing for a response.
        front.exchange_timers.clear(id.key);
    }
    if let Ok(Some(named)) = read {
        return Ok(Ok(Passed::Named(named)));
    }
    let closed = read.and_then(|_| pass.close(exchange, wire, cursor.is_at_end(), progress));
    let Ok(at_end) = closed else { return Ok(Err(Damaged)) };
    let (sent, attached) = pass.leave(exchange, &mut connection.transport, wire);
    // Even after a failure: what was read of the ring (descriptors among it) must not be read again.
    link.consume(slot, cursor, progress);
    let token = attached.as_ref().and_then(Attachment::token);
    let file = token.and_then(|token| link.take_file(slot, token));
    let sent = sent?;
    if exchange.output.has_failed() {
        return Err(memory::refused());
    }
    if let Some(attached) = attached {
        let rest = Rest { attached, file, sent, is_whole: at_end && progress == Progress::Complete };
        match rest.send(exchange, &mut connection.transport)? {
            Ok(true) => front.again.push(exchange.connection),
            Ok(false) => {}
            Err(Damaged) => return Ok(Err(Damaged)),
        }
    }
    Ok(Ok(Passed::after(at_end, progress)))
}

impl Passed {
    #[inline]
    fn after(at_end: bool, progress: Progress) -> Self {
        match progress {
            _ if !at_end => Passed::Full,
            Progress::Complete => Passed::Ended { broken: false },
            Progress::Broken => Passed::Ended { broken: true },
            Progress::Open => Passed::More,
        }
    }
}

impl<'a> Reading<'a> {
    /// Reads frames as long as there are some and the pass has room for them. A file: what the response's head names instead.
    #[inline]
    fn frames<'r>(
        &mut self,
        cursor: &mut Cursor,
        exchange: &mut Exchange,
        driver: &mut Driver,
        pass: &mut Pass<'r>,
        wire: &mut Vec<u8>,
    ) -> Result<Option<Box<NamedFile>>, Damaged>
    where
        'a: 'r,
    {
        while pass.has_room(wire) && exchange.work.takes_more() {
            if exchange.filters.as_ref().is_some_and(|filters| filters.has_file()) {
                pass.filter_file(exchange, wire)?;
                continue;
            }
            let Some(frame) = self.link.frames(self.slot).next(cursor)? else { break };
            match frame {
                Frame::Data(first, second) => pass.data(exchange, wire, first, second)?,
                Frame::Head(head) => {
                    let from = wire.len();
                    if let Some(named) = self.head(&head, exchange, driver, wire)? {
                        return Ok(Some(named));
                    }
                    pass.gather.add_wire(wire, from);
                }
                Frame::File { token, offset, len } => pass.file(exchange, wire, (token, offset, len))?,
                Frame::Lent { token, len } => pass.loan(exchange, wire, self.link.take_loan(token), len)?,
                Frame::Spend(cost) => {
                    let spent = spend_more(self.rate_limits, exchange.spender(), cost, self.turn_us);
                    self.link.tell_spent(self.slot, cursor, spent);
                }
            }
        }
        Ok(None)
    }

    /// Writes a head, unless it names a file.
    #[inline]
    fn head(
        &mut self,
        frame: &HeadFrame<'_>,
        exchange: &mut Exchange,
        driver: &mut Driver,
        wire: &mut Vec<u8>,
    ) -> Result<Option<Box<NamedFile>>, Damaged> {
        if self.is_offered && frame.is_early_hints() {
            // Whoever may still take the socket over does not respond yet.
            return Ok(None);
        }
        // An application that responds has given its socket up; a worker that has taken it nevertheless is not to be believed.
        if self.is_offered && !self.link.withdraw_socket(self.slot) {
            return Err(Damaged);
        }
        let started_ms = self.link.started_ms(self.slot).unwrap_or_default();
        let head = frame.read(self.head_copy).ok_or(Damaged)?;
        if self.sends_named
            && exchange.coding.is_none()
            && let Some(named) = named_file(&head, started_ms)
        {
            return Ok(Some(named));
        }
        self.writer.write(exchange, driver, &head, started_ms, wire)?;
        Ok(None)
    }
}
