//! What one connection may cost.

/// Bounds of a connection; each has a fault of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Streams whose exchange is not over, whatever the client thinks of them. One more is refused (REFUSED_STREAM).
    pub streams: u32,
    /// Bytes of a request's body that may come before any of it is consumed. More is a FLOW_CONTROL_ERROR.
    pub stream_window: u32,
    /// The same for all streams of the connection together, so this is what unread bodies can hold of memory.
    pub connection_window: u32,
    /// CONTINUATION frames of one header block ([`Fault::HeaderBlock`](super::Fault::HeaderBlock)).
    pub continuations: u32,
    /// Streams per second that the client may reset or make us reset, and as many at once times [`BURST`]; beyond
    /// them ENHANCE_YOUR_CALM.
    pub resets: u32,
    /// Frames per second that neither ask nor carry anything, and as many at once times [`BURST`]; beyond them ENHANCE_YOUR_CALM.
    /// Requests and data that is moved earn some more.
    pub control_frames: u32,
    /// Responses whose client keeps their windows closed, while a thread of the application waits for each of them. One more is reset with
    /// ENHANCE_YOUR_CALM.
    pub stalled: u32,
    /// Whether WebSockets may be asked for (RFC 8441).
    pub websockets: bool,
}

/// Seconds' worth of frames that may come at once.
pub(crate) const BURST: u32 = 3;

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            // What RFC 9113 section 6.5.2 recommends at least; what nginx has is 128, Apache and Go 100 to 250.
            streams: 100,
            stream_window: 1_048_576,
            connection_window: 2_097_152,
            // A block of 64 KiB needs four at the largest size, and 32 at 2 KiB.
            continuations: 32,
            // A browser resets what is left of a page when it is left: a hundred at once, and then nothing for long.
            resets: 50,
            // A client that reads quickly sends a WINDOW_UPDATE for every few kilobytes, which are earned.
            control_frames: 200,
            stalled: 16,
            websockets: false,
        }
    }
}
