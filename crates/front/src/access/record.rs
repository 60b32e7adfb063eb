//! What an access line will say: gathered from the head of a request to the end of its response.
//!
//! One piece of memory holds all texts, and records are used again, so that a request costs no allocation for its line. What the head says
//! is in it as it will stand in the line. Runs on the front's thread.

use pelton_http::Timing;

use crate::access::format::Format;
use crate::access::request_part::{Request, write_runs};

/// Records kept for the next requests.
const SPARE: usize = 256;

/// More of one field of a response is not kept.
const MOST_BYTES: usize = 8 * 1024;
/// A record that has grown beyond this is not kept.
const USUAL_BYTES: usize = 16 * 1024;

/// A part of a record's memory; `None` for what was not sent.
type Piece = Option<(u32, u32)>;

/// Times are microseconds of the front's own clock, 0 for what has not happened.
#[derive(Debug, Default)]
pub struct AccessRecord {
    /// The runs of the line, and behind them fields of the response.
    text: Vec<u8>,
    /// Where each run ends.
    run_ends: Vec<u32>,
    response_fields: Vec<Piece>,
    /// Status of the response; 0 when none was sent.
    pub status: u16,
    /// How it came to the present response, where the front made it.
    pub cause: Option<&'static str>,
    /// The worker that answered: number and process.
    pub worker: Option<(u64, u32)>,
    /// The head was complete.
    pub began_us: u64,
    /// The body, too, and it was handed on.
    pub complete_us: u64,
    /// The same by the clock that workers share, in milliseconds.
    pub complete_coarse_ms: u64,
    /// How long it waited for a thread.
    pub queue_us: u64,
    /// The head of the response was there.
    pub responded_us: u64,
    /// The application had finished, if that was before the client had taken all of the response.
    pub done_us: u64,
}

/// Records that are used again.
#[derive(Debug, Default)]
pub struct Records {
    /// Boxed, as exchanges have them.
    #[expect(clippy::vec_box, reason = "a box is handed over, not its content")]
    spare: Vec<Box<AccessRecord>>,
}

impl Records {
    /// An empty one.
    #[inline]
    pub fn take(&mut self) -> Box<AccessRecord> {
        self.spare.pop().unwrap_or_default()
    }

    /// Nobody needs it any more.
    #[inline]
    pub fn give_back(&mut self, mut record: Box<AccessRecord>) {
        if self.spare.len() < SPARE && record.text.capacity() <= USUAL_BYTES {
            record.clear();
            self.spare.push(record);
        }
    }
}

impl AccessRecord {
    /// Forgets everything but its memory.
    pub fn clear(&mut self) {
        // All of them by name, so that none is forgotten.
        let AccessRecord {
            text,
            run_ends,
            response_fields,
            status,
            cause,
            worker,
            began_us,
            complete_us,
            complete_coarse_ms,
            queue_us,
            responded_us,
            done_us,
        } = self;
        text.clear();
        run_ends.clear();
        response_fields.clear();
        (*status, *cause, *worker) = (0, None, None);
        (*began_us, *complete_us, *complete_coarse_ms) = (0, 0, 0);
        (*queue_us, *responded_us, *done_us) = (0, 0, 0);
    }

    /// Writes what is known of a request now that its head is complete.
    #[inline]
    pub fn begin(&mut self, format: &Format, request: &Request<'_>) {
        write_runs(&mut self.text, &mut self.run_ends, format, request);
    }

    /// Its head is complete.
    #[inline]
    pub fn begin_clock(&mut self, now_us: u64, coarse_ms: u64) {
        self.began_us = now_us;
        self.is_complete(now_us, coarse_ms);
    }

    /// Its body is complete, too. `coarse_ms` is the same by the clock that workers share.
    #[inline]
    pub fn is_complete(&mut self, now_us: u64, coarse_ms: u64) {
        self.complete_us = now_us;
        self.complete_coarse_ms = coarse_ms;
    }

    /// The head of the response is there. `started_ms`: when a thread took the request, by the shared clock.
    pub fn begins_response(&mut self, status: u16, now_us: u64, started_ms: u64) {
        self.status = status;
        self.responded_us = now_us;
        let waited_us = started_ms.saturating_sub(self.complete_coarse_ms) * 1000;
        // The shared clock is coarse: it must not say more than there was.
        self.queue_us = waited_us.min(now_us.saturating_sub(self.complete_us));
    }

    /// What there is to tell with the head of the response.
    pub fn timing(&self) -> Timing {
        let all_us = self.responded_us.saturating_sub(self.complete_us);
        Timing { queue_us: self.queue_us, application_us: all_us.saturating_sub(self.queue_us) }
    }

    /// The fields of the response that are wanted.
    pub fn keep_response<'f>(
        &mut self,
        format: &Format,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) {
        for wanted in &format.response_fields {
            let found = fields.clone().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            let piece = found.and_then(|(_, value)| self.keep(value));
            self.response_fields.push(piece);
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Piece {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(bytes.get(..bytes.len().min(MOST_BYTES)).unwrap_or_default());
        Some((start, self.text.len() as u32))
    }

    /// The runs, in order.
    #[inline]
    pub fn runs(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.run_ends.iter().map(move |end| {
            let run = self.text.get(start..*end as usize).unwrap_or_default();
            start = *end as usize;
            run
        })
    }

    /// How long they are together, at most.
    #[inline]
    pub fn runs_len(&self) -> usize {
        self.text.len()
    }

    /// See [`Format::response_fields`].
    pub fn response_field(&self, at: usize) -> &[u8] {
        let piece = self.response_fields.get(at).copied().flatten();
        piece.and_then(|(start, end)| self.text.get(start as usize..end as usize)).unwrap_or_default()
    }
}
