//! What a frame of a worker brings along beside the ring: a file, or memory of the application.
//!
//! It is the last thing of a pass, and leaves from the exchange's output behind what goes before it. Runs on the front's thread.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use pelton_http::Coding;
use pelton_http::h1::encode::{CHUNK_END, LAST_CHUNK};
use pelton_link::{Damaged, Loan};

use crate::exchange::Exchange;
use crate::exchange::output::Flushed;
use crate::sent_file::SentFile;
use crate::transport::Transport;

/// What a frame brings along beside the ring; the last thing of a pass.
pub(super) enum Attachment {
    /// A file, from an offset. Taken in any case once its frame is consumed, or nobody would close it.
    File {
        token: u64,
        offset: u64,
        len: u64,
        /// Whether its bytes go on the wire.
        is_sent: bool,
    },
    /// Memory of the application.
    Loan { loan: Loan, len: usize },
}

impl Attachment {
    /// Names the descriptor of a file.
    pub(super) fn token(&self) -> Option<u64> {
        match self {
            Attachment::File { token, .. } => Some(*token),
            Attachment::Loan { .. } => None,
        }
    }
}

/// What was attached, once its frame is consumed.
pub(super) struct Rest {
    pub(super) attached: Attachment,
    /// That of the token; None where the worker has given none.
    pub(super) file: Option<OwnedFd>,
    /// Bytes of it that have left already.
    pub(super) sent: usize,
    /// Whether the response ends with it.
    pub(super) is_whole: bool,
}

impl Rest {
    /// Begins to send it, and keeps what the client does not take. True: it may take more at once.
    pub(super) fn send(
        self,
        exchange: &mut Exchange,
        transport: &mut Transport,
    ) -> io::Result<Result<bool, Damaged>> {
        if self.keep(exchange).is_err() {
            return Ok(Err(Damaged));
        }
        if exchange.stream != 0 {
            // Frames are made elsewhere.
            return Ok(Ok(false));
        }
        // The socket may have room for it: readiness has been reported and will not be again.
        let flushed = exchange.output.flush(transport)?;
        Ok(Ok(matches!(flushed, Flushed::Paused | Flushed::Cold)))
    }

    /// Puts it into the output, behind what goes before it.
    fn keep(self, exchange: &mut Exchange) -> Result<(), Damaged> {
        match self.attached {
            Attachment::File { is_sent: false, offset, len, .. } => {
                // Its bytes are not sent, or pass through filters first.
                if let (Some(filters), Some(file)) = (&mut exchange.filters, self.file)
                    && filters.take_body()
                {
                    filters.begin_file(Arc::new(SentFile::of_application(file)), offset, len);
                }
                return Ok(());
            }
            Attachment::File { offset, len, .. } => {
                let file = Arc::new(SentFile::of_application(self.file.ok_or(Damaged)?));
                exchange.output.push_file(file, offset, len);
            }
            Attachment::Loan { loan, len } => exchange.output.push_loan(loan, self.sent, len),
        }
        if exchange.coding == Some(Coding::Chunked) {
            exchange.output.push(CHUNK_END);
            if self.is_whole {
                exchange.output.push(LAST_CHUNK);
            }
        }
        Ok(())
    }
}
