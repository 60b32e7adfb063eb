//! One pass over what a worker has published of a response: from the link's frames to the pieces of one write.
//!
//! The steps of the pipeline meet here: frames (the source), the exchange's filters, the marks of the framing. What is ready leaves in one call if the
//! socket takes it; what it does not take is kept in the exchange's output. Runs on the front's thread.

use std::io::{self, IoSlice};

use pelton_http::Coding;
use pelton_http::h1::encode::{CHUNK_END, LAST_CHUNK, chunk_prefix};
use pelton_link::{Damaged, Loan, Progress};

use crate::exchange::{Exchange, Portion, Work};
use crate::response::attached::Attachment;
use crate::response::gather::{Gather, PIECES, Piece};
use crate::transport::Transport;

/// Body pieces up to this size are copied behind the head, so that both leave in one buffer.
const GATHER: usize = 16 * 1024;
/// More than this is not compressed on the event loop: it takes some tenths of a millisecond, about as long as to have a helper do it.
const FILTERED_HERE: usize = 8 * 1024;
/// With so much in the buffer, the rest waits for the next pass.
const FULL: usize = 256 * 1024;

pub(super) struct Pass<'r> {
    pub(super) gather: Gather<'r>,
    pub(super) attached: Option<Attachment>,
    /// Bytes that have passed through filters here.
    filtered: usize,
}

impl<'r> Pass<'r> {
    #[inline]
    pub(super) fn new() -> Self {
        Pass { gather: Gather::new(), attached: None, filtered: 0 }
    }

    /// Whether another frame fits.
    #[inline]
    pub(super) fn has_room(&self, wire: &[u8]) -> bool {
        self.attached.is_none() && !self.gather.is_nearly_full() && wire.len() < FULL
    }

    /// Whether bytes lie behind the buffer that leave after it.
    #[inline]
    fn carries(&self) -> bool {
        matches!(self.attached, Some(Attachment::Loan { .. } | Attachment::File { is_sent: true, .. }))
    }

    /// Whether a file was attached whose bytes pass through filters first.
    #[inline]
    fn defers(&self, exchange: &Exchange) -> bool {
        matches!(self.attached, Some(Attachment::File { is_sent: false, len: 1.., .. }))
            && is_filtered(exchange)
    }

    /// Bytes of the body, from the ring.
    #[inline]
    pub(super) fn data(
        &mut self,
        exchange: &mut Exchange,
        wire: &mut Vec<u8>,
        first: &'r [u8],
        second: &'r [u8],
    ) -> Result<(), Damaged> {
        if is_filtered(exchange) {
            return self.filter(exchange, wire, [first, second]);
        }
        let (from, len) = (wire.len(), first.len() + second.len());
        exchange.passed += len as u64;
        let chunked = match exchange.coding {
            None => return Err(Damaged),
            Some(Coding::None) => return Ok(()),
            Some(Coding::Length(length)) if exchange.passed > length => return Err(Damaged),
            Some(Coding::Length(_) | Coding::UntilClose | Coding::Frames) => false,
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
            self.gather.add_wire(wire, from);
        } else {
            self.gather.add_wire(wire, from);
            self.gather.add(Piece::Ring(first));
            if !second.is_empty() {
                self.gather.add(Piece::Ring(second));
            }
            let from = wire.len();
            if chunked {
                wire.extend_from_slice(CHUNK_END);
            }
            self.gather.add_wire(wire, from);
        }
        Ok(())
    }

    /// Bytes that are the front's own, or come out of filters.
    fn own_bytes(
        &mut self,
        exchange: &mut Exchange,
        wire: &mut Vec<u8>,
        bytes: &[u8],
    ) -> Result<(), Damaged> {
        let from = wire.len();
        frame_bytes(exchange, wire, bytes)?;
        self.gather.add_wire(wire, from);
        Ok(())
    }

    #[cold]
    fn filter(
        &mut self,
        exchange: &mut Exchange,
        wire: &mut Vec<u8>,
        pieces: [&[u8]; 2],
    ) -> Result<(), Damaged> {
        let mut out = Vec::new();
        if let Some(filters) = &mut exchange.filters {
            self.filtered += pieces[0].len() + pieces[1].len();
            if let Work::Bytes(portion) = &mut exchange.work {
                // As much as the ring holds goes to the helper at once.
                pieces.iter().for_each(|piece| portion.bytes.extend_from_slice(piece));
                return Ok(());
            }
            if self.filtered > FILTERED_HERE && filters.is_heavy() {
                exchange.work = Work::Bytes(Box::new(Portion { bytes: pieces.concat(), is_last: false }));
                return Ok(());
            }
            for piece in pieces {
                filters.body(piece, &mut out);
            }
        }
        self.own_bytes(exchange, wire, &out)
    }

    /// Nothing more is there at present: what the filters keep back for that must not wait.
    #[cold]
    fn flush_filters(&mut self, exchange: &mut Exchange, wire: &mut Vec<u8>) -> Result<(), Damaged> {
        let mut out = Vec::new();
        if let Some(filters) = &mut exchange.filters {
            filters.flush(&mut out);
        }
        self.own_bytes(exchange, wire, &out)
    }

    /// The next piece of a file that passes through filters.
    #[cold]
    pub(super) fn filter_file(&mut self, exchange: &mut Exchange, wire: &mut Vec<u8>) -> Result<(), Damaged> {
        let mut out = Vec::new();
        if let Some(filters) = &mut exchange.filters {
            if filters.is_heavy() {
                exchange.work = Work::FilePiece;
                return Ok(());
            }
            filters.file_piece(&mut out).map_err(|_| Damaged)?;
        }
        self.own_bytes(exchange, wire, &out)
    }

    /// A piece of a file.
    pub(super) fn file(
        &mut self,
        exchange: &mut Exchange,
        wire: &mut Vec<u8>,
        (token, offset, len): (u64, u64, u64),
    ) -> Result<(), Damaged> {
        let is_sent = !is_filtered(exchange) && self.attach(exchange, wire, len)?;
        self.attached = Some(Attachment::File { token, offset, len, is_sent });
        Ok(())
    }

    /// Memory of the application.
    pub(super) fn loan(
        &mut self,
        exchange: &mut Exchange,
        wire: &mut Vec<u8>,
        loan: Option<Loan>,
        len: u64,
    ) -> Result<(), Damaged> {
        let bytes = loan.as_ref().and_then(|loan| (**loan).as_ref().get(..usize::try_from(len).ok()?));
        let bytes = bytes.ok_or(Damaged)?;
        if is_filtered(exchange) {
            return self.filter(exchange, wire, [bytes, &[]]);
        }
        let len = bytes.len();
        if self.attach(exchange, wire, len as u64)?
            && let Some(loan) = loan
        {
            self.attached = Some(Attachment::Loan { loan, len });
        }
        Ok(())
    }

    /// What goes before something attached; whether its bytes go on the wire at all.
    fn attach(&mut self, exchange: &mut Exchange, wire: &mut Vec<u8>, len: u64) -> Result<bool, Damaged> {
        exchange.passed += len;
        match exchange.coding {
            None => Err(Damaged),
            Some(Coding::Length(length)) if exchange.passed > length => Err(Damaged),
            Some(Coding::None) => Ok(false),
            Some(Coding::Chunked) if len == 0 => Ok(false),
            Some(Coding::Length(_) | Coding::UntilClose | Coding::Frames) => Ok(true),
            Some(Coding::Chunked) => {
                let from = wire.len();
                chunk_prefix(wire, usize::try_from(len).unwrap_or(usize::MAX));
                self.gather.add_wire(wire, from);
                Ok(true)
            }
        }
    }

    /// Nothing more is read in this pass; `is_read`: nothing more was there. Gives whether all that was there has also been dealt with.
    #[inline]
    pub(super) fn close(
        &mut self,
        exchange: &mut Exchange,
        wire: &mut Vec<u8>,
        is_read: bool,
        progress: Progress,
    ) -> Result<bool, Damaged> {
        let has_file = exchange.filters.as_ref().is_some_and(|filters| filters.has_file());
        if let Work::Bytes(portion) = &mut exchange.work
            && is_read
            && !has_file
            && self.attached.is_none()
        {
            // What the coding has kept back so far is a part of the work.
            portion.is_last = progress == Progress::Complete;
        }
        let has_work = exchange.work != Work::None;
        let at_end = is_read && !has_file && !self.defers(exchange) && !has_work;
        if at_end && progress == Progress::Open && exchange.filters.is_some() && exchange.coding.is_some() {
            let _ = self.flush_filters(exchange, wire);
        }
        if at_end && progress == Progress::Complete {
            self.end(exchange, wire)?;
        }
        Ok(at_end)
    }

    /// All of the response has been seen. What is attached gets its mark of the end behind it.
    #[inline]
    fn end(&mut self, exchange: &mut Exchange, wire: &mut Vec<u8>) -> Result<(), Damaged> {
        if is_filtered(exchange) {
            self.end_filters(exchange, wire)?;
        }
        match exchange.coding {
            None => return Err(Damaged),
            Some(Coding::Length(length)) if exchange.passed != length => return Err(Damaged),
            Some(Coding::Chunked) if !self.carries() => {
                let from = wire.len();
                wire.extend_from_slice(LAST_CHUNK);
                self.gather.add_wire(wire, from);
            }
            _ => {}
        }
        Ok(())
    }

    #[cold]
    fn end_filters(&mut self, exchange: &mut Exchange, wire: &mut Vec<u8>) -> Result<(), Damaged> {
        let mut out = Vec::new();
        if let Some(mut filters) = exchange.filters.take() {
            filters.end(&mut out);
        }
        self.own_bytes(exchange, wire, &out)
    }

    /// Sends what there is, keeps a copy of what the transport does not take now, and lets go of the ring. Gives how many bytes have left of
    /// what is attached, and that.
    #[inline]
    pub(super) fn leave(
        self,
        exchange: &mut Exchange,
        transport: &mut Transport,
        wire: &[u8],
    ) -> (io::Result<usize>, Option<Attachment>) {
        let sent = self.send(exchange, transport, wire);
        let rest_sent = sent.map(|sent| exchange.output.keep(self.gather.bytes(wire), sent));
        (rest_sent, self.attached)
    }

    /// Sends what there is, as far as the transport takes it now; gives how many bytes that was.
    #[inline]
    fn send(&self, exchange: &mut Exchange, transport: &mut Transport, wire: &[u8]) -> io::Result<usize> {
        // What goes before a file is kept back for the file's first bytes, so that they share a packet.
        let loan = match &self.attached {
            Some(Attachment::File { is_sent: true, .. }) => return Ok(0),
            Some(Attachment::Loan { loan, len }) => (**loan).as_ref().get(..*len),
            _ => None,
        };
        if !exchange.output.is_empty() || exchange.stream != 0 {
            return Ok(0);
        }
        let mut slices = [IoSlice::new(&[]); PIECES + 1];
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(self.gather.bytes(wire).chain(loan)) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        exchange.output.send_now(transport, slices.get(..count).unwrap_or_default())
    }
}

/// Whether bytes of the body are to pass through filters.
#[inline]
pub(super) fn is_filtered(exchange: &Exchange) -> bool {
    exchange.filters.as_ref().is_some_and(|filters| filters.take_body())
}

/// Appends bytes of a body to `wire` in the form that the framing gives them.
pub(crate) fn frame_bytes(exchange: &mut Exchange, wire: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Damaged> {
    exchange.passed += bytes.len() as u64;
    match exchange.coding {
        None => return Err(Damaged),
        Some(Coding::Length(length)) if exchange.passed > length => return Err(Damaged),
        Some(Coding::None) => {}
        Some(Coding::Chunked) if bytes.is_empty() => {}
        Some(Coding::Length(_) | Coding::UntilClose | Coding::Frames) => wire.extend_from_slice(bytes),
        Some(Coding::Chunked) => {
            chunk_prefix(wire, bytes.len());
            wire.extend_from_slice(bytes);
            wire.extend_from_slice(CHUNK_END);
        }
    }
    Ok(())
}
