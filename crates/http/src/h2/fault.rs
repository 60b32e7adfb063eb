//! What ends a whole connection, and with which words. A fault of one stream only is an [`HttpError`](crate::HttpError) or a reset.

use super::frame::ErrorCode;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $detail:literal;)*) => {
        /// Why a connection was given up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Fault] = &[$(Fault::$name),*];

            /// The code in GOAWAY.
            pub const fn code(self) -> ErrorCode {
                match self { $(Fault::$name => ErrorCode::$code),* }
            }

            /// One sentence for GOAWAY and the log.
            pub const fn detail(self) -> &'static str {
                match self { $(Fault::$name => $detail),* }
            }
        }
    };
}

faults! {
    /// Not `PRI * HTTP/2.0` and so on, or no SETTINGS behind it.
    Preface = ProtocolError, "The connection preface is malformed.";
    /// A frame where it must not stand, or with a wrong stream number.
    Frame = ProtocolError, "A frame is out of place.";
    /// Padding longer than the frame.
    Padding = ProtocolError, "The padding of a frame is too long.";
    /// A setting outside its range.
    Setting = ProtocolError, "A setting has an impossible value.";
    /// A stream that depends on itself.
    Dependency = ProtocolError, "A stream depends on itself.";
    /// A window that is opened by nothing.
    Increment = ProtocolError, "A window is opened by nothing.";
    /// A wrong length for the kind of frame, or a frame larger than allowed.
    FrameSize = FrameSizeError, "The length of a frame is wrong.";
    /// More data than the window allows, or a window beyond its maximum.
    Window = FlowControlError, "A flow-control window is exceeded.";
    /// A frame for a stream that is over.
    Closed = StreamClosed, "A frame came for a stream that is closed.";
    /// The header block cannot be decoded.
    Compression = CompressionError, "A header block cannot be decoded.";
    /// A header block without end: too many bytes or too many frames.
    HeaderBlock = EnhanceYourCalm, "A header block has too many bytes or frames.";
    /// Lists of fields, few or one, that are too large by far ("HTTP/2 bomb").
    HeaderLists = EnhanceYourCalm, "Header lists are far too large.";
    /// A frame or a header block that does not come to its end in time.
    Late = EnhanceYourCalm, "A frame or a header block took too long.";
    /// Streams reset by the client faster than `resets` allows ("rapid reset").
    Resets = EnhanceYourCalm, "Too many streams are reset.";
    /// Streams that we had to reset for the client's faults, faster than `resets` allows ("MadeYouReset").
    CausedResets = EnhanceYourCalm, "Too many streams have to be reset.";
    /// PING.
    Pings = EnhanceYourCalm, "Too many PING frames.";
    /// SETTINGS.
    Settings = EnhanceYourCalm, "Too many SETTINGS frames.";
    /// Frames with nothing in them.
    EmptyFrames = EnhanceYourCalm, "Too many empty frames.";
    /// WINDOW_UPDATE, far more than the data sent explains.
    WindowUpdates = EnhanceYourCalm, "Too many WINDOW_UPDATE frames.";
    /// PRIORITY, PRIORITY_UPDATE, unknown kinds, and what comes for streams that are over.
    OtherFrames = EnhanceYourCalm, "Too many frames without use.";
}
