//! What waits and asks for the time, so that nothing else has to. Runs on the front's thread.

pub(crate) mod absences;
pub(crate) mod clock;
pub(crate) mod timers;
pub(crate) mod watch;

use mio::Token;

/// Workers and other threads have news.
pub(crate) const DOORBELL: Token = Token(usize::MAX);

/// Listener `i` has the token `FIRST_LISTENER - i`; connections' tokens are far below.
pub(crate) const FIRST_LISTENER: usize = usize::MAX - 1;

/// What the poller says of a descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readiness {
    /// Which one.
    pub(crate) token: usize,
    /// There may be something to read.
    pub(crate) readable: bool,
    /// The other end sends nothing more.
    pub(crate) read_closed: bool,
    /// Nothing can be sent any more.
    pub(crate) write_closed: bool,
    /// The connection is broken.
    pub(crate) error: bool,
}

impl From<&mio::event::Event> for Readiness {
    #[inline]
    fn from(event: &mio::event::Event) -> Self {
        Readiness {
            token: event.token().0,
            readable: event.is_readable(),
            read_closed: event.is_read_closed(),
            write_closed: event.is_write_closed(),
            error: event.is_error(),
        }
    }
}
