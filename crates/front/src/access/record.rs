//! What an access line will say: gathered from the head of a request to the end of its answer.
//!
//! One piece of memory holds all texts, and records are used again, so that a request costs no allocation for its line. Only those fields
//! are kept which the format asks for. Runs on the front's thread.

use penstock_http::{Head, Known, Timing, Version};
use penstock_link::coarse_ms;

use crate::access::format::Format;

/// More of one field, or of a first line that cannot be understood, is not kept.
const MOST_BYTES: usize = 8 * 1024;

/// Records kept for the next requests.
const SPARE: usize = 256;

/// A part of a record's memory; `None` for what was not sent.
type Piece = Option<(u32, u32)>;

/// See the module's head. Times are microseconds of the front's own clock, 0 for what has not happened.
#[derive(Debug, Default)]
pub struct AccessRecord {
    text: Vec<u8>,
    client: Piece,
    /// The other end of the connection, where that is not the client.
    proxy: Piece,
    method: Piece,
    target: Piece,
    /// Length of the target up to the query.
    path_len: u32,
    line: Piece,
    version: Version,
    request_fields: Vec<Piece>,
    answer_fields: Vec<Piece>,
    /// Status of the answer; 0 when none was sent.
    pub status: u16,
    /// The request's id, as 32 characters or as it was sent; empty for none.
    id: Piece,
    /// How it came to the present answer, where the front made it.
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
    /// The head of the answer was there.
    pub answered_us: u64,
    /// The application had finished, if that was before the client had taken all of the answer.
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
        if self.spare.len() < SPARE {
            record.clear();
            self.spare.push(record);
        }
    }
}

impl AccessRecord {
    /// Forgets everything but its memory.
    pub fn clear(&mut self) {
        let (mut text, mut request_fields, mut answer_fields) = (
            std::mem::take(&mut self.text),
            std::mem::take(&mut self.request_fields),
            std::mem::take(&mut self.answer_fields),
        );
        text.clear();
        request_fields.clear();
        answer_fields.clear();
        *self = AccessRecord { text, request_fields, answer_fields, ..AccessRecord::default() };
    }

    /// A request whose head is complete, of `client`, which came by a connection of `peer`.
    pub fn begin(
        &mut self,
        format: &Format,
        head: &Head,
        bytes: &[u8],
        client: &[u8],
        peer: &[u8],
        now_us: u64,
    ) {
        self.begin_clock(now_us);
        self.client = self.keep(client);
        if client != peer {
            self.proxy = self.keep(peer);
        }
        self.version = head.version;
        let target = head.target.of(bytes);
        self.method = self.keep(head.method.of(bytes));
        // The whole line lies together, as most formats want it.
        self.text.push(b' ');
        self.target = self.keep(target);
        // The path may also come from an absolute target, so its length is that of what stands before the query.
        self.path_len = match head.query.is_empty() {
            true => target.strip_suffix(b"?").unwrap_or(target).len(),
            false => target.len().saturating_sub(head.query.len() + 1),
        } as u32;
        self.text.push(b' ');
        let protocol = self.keep(head.version.as_str().as_bytes());
        self.line = self.method.zip(protocol).map(|((start, _), (_, end))| (start, end));
        for (known, wanted) in format.request_known.iter().zip(&format.request_fields) {
            let found = match known {
                Known::Other => {
                    head.fields.iter().find(|field| field.name.of(bytes).eq_ignore_ascii_case(wanted))
                }
                known => head.fields.iter().find(|field| field.known == *known),
            };
            let piece = found.and_then(|field| self.keep(field.value.of(bytes)));
            self.request_fields.push(piece);
        }
    }

    /// Only the times; for what is no line.
    pub fn begin_clock(&mut self, now_us: u64) {
        self.began_us = now_us;
        self.is_complete(now_us);
    }

    /// Its body is complete, too.
    pub fn is_complete(&mut self, now_us: u64) {
        self.complete_us = now_us;
        self.complete_coarse_ms = coarse_ms();
    }

    /// Something that is no request: `bytes` are what there is of it.
    pub fn begin_without_head(&mut self, bytes: &[u8], peer: &[u8], now_us: u64) {
        self.began_us = now_us;
        self.client = self.keep(peer);
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
        self.line = self.keep(bytes.get(..end).unwrap_or_default()).filter(|(start, end)| start < end);
    }

    /// The head of the answer is there. `started_ms`: when a thread took the request, by the shared clock.
    pub fn is_answered(&mut self, status: u16, now_us: u64, started_ms: u64) {
        self.status = status;
        self.answered_us = now_us;
        let waited_us = started_ms.saturating_sub(self.complete_coarse_ms) * 1000;
        // The shared clock is coarse: it must not say more than there was.
        self.queue_us = waited_us.min(now_us.saturating_sub(self.complete_us));
    }

    /// What there is to tell with the head of the answer.
    pub fn timing(&self) -> Timing {
        let all_us = self.answered_us.saturating_sub(self.complete_us);
        Timing { queue_us: self.queue_us, application_us: all_us.saturating_sub(self.queue_us) }
    }

    /// The id of the request.
    pub fn set_id(&mut self, id: &[u8]) {
        self.id = self.keep(id);
    }

    /// The fields of the answer that are wanted.
    pub fn keep_answer<'f>(
        &mut self,
        format: &Format,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) {
        for wanted in &format.answer_fields {
            let found = fields.clone().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            let piece = found.and_then(|(_, value)| self.keep(value));
            self.answer_fields.push(piece);
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Piece {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(bytes.get(..bytes.len().min(MOST_BYTES)).unwrap_or_default());
        Some((start, self.text.len() as u32))
    }

    fn read(&self, piece: Piece) -> &[u8] {
        piece.and_then(|(start, end)| self.text.get(start as usize..end as usize)).unwrap_or_default()
    }

    /// The client's address, as the application sees it.
    pub fn client(&self) -> &[u8] {
        self.read(self.client)
    }

    /// The address of whom the connection came from, where that is a proxy.
    pub fn proxy(&self) -> &[u8] {
        self.read(self.proxy)
    }

    /// Empty where there was no head.
    pub fn method(&self) -> &[u8] {
        self.read(self.method)
    }

    /// The target as received.
    pub fn target(&self) -> &[u8] {
        self.read(self.target)
    }

    /// The target up to the query.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        target.get(..self.path_len as usize).unwrap_or(target)
    }

    /// What follows the question mark.
    pub fn query(&self) -> &[u8] {
        self.target().get(self.path_len as usize + 1..).unwrap_or_default()
    }

    /// `GET /path HTTP/1.1`, or what there was instead.
    pub fn request_line(&self) -> &[u8] {
        self.read(self.line)
    }

    /// `HTTP/1.1`; empty where there was no head.
    pub fn protocol(&self) -> &'static str {
        if self.method.is_some() { self.version.as_str() } else { "" }
    }

    /// See [`Format::request_fields`].
    pub fn request_field(&self, at: usize) -> &[u8] {
        self.read(self.request_fields.get(at).copied().flatten())
    }

    /// See [`Format::answer_fields`].
    pub fn answer_field(&self, at: usize) -> &[u8] {
        self.read(self.answer_fields.get(at).copied().flatten())
    }

    /// The request's id; empty for none.
    pub fn id(&self) -> &[u8] {
        self.read(self.id)
    }
}
