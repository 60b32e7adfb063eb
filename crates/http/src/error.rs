//! Everything that can be wrong with a message, and whose fault it is.
//!
//! One table below gives each fault of a client its status and its sentence, so the response, the log line and the
//! tests cannot disagree.

use std::fmt;

macro_rules! http_errors {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $detail:literal;)*) => {
        /// A fault of the client. The connection cannot be used for another request afterwards.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum HttpError {
            $($(#[$doc])* $name,)*
        }

        impl HttpError {
            /// All variants, for tests and documentation.
            pub const ALL: &'static [HttpError] = &[$(HttpError::$name),*];

            /// The status of the response.
            pub const fn status(self) -> u16 {
                match self { $(HttpError::$name => $status),* }
            }

            /// One sentence for the response's body and the log. Says nothing about the machine.
            pub const fn detail(self) -> &'static str {
                match self { $(HttpError::$name => $detail),* }
            }
        }
    };
}

http_errors! {
    /// The request line is not `method SP target SP version`.
    RequestLine = 400, "The request line is malformed.";
    /// More empty lines before the request line than any client needs.
    EmptyLines = 400, "Too many empty lines before the request.";
    /// The method is longer than any registered one (RFC 9112 section 3 wants 501).
    MethodTooLong = 501, "The method is too long.";
    /// `CONNECT` asks for a tunnel; this is an origin server.
    ConnectRefused = 501, "CONNECT is not supported.";
    /// `:protocol` names something that is not spoken here (RFC 9220 section 3 wants 501).
    ProtocolUnknown = 501, "Only WebSockets can be asked for by CONNECT.";
    /// A pseudo-header field of HTTP/2 is missing, repeated, unknown, or stands behind another field.
    PseudoField = 400, "A pseudo-header field is missing, repeated or misplaced.";
    /// A field about an HTTP/1 connection in HTTP/2.
    ConnectionField = 400, "The request has a field that HTTP/2 does not allow.";
    /// The body is not as long as Content-Length says.
    LengthMismatch = 400, "The body is not as long as Content-Length says.";
    /// The target has none of the four forms, or a form that the method does not allow.
    Target = 400, "The request target is malformed.";
    /// The target says https and the connection is none.
    Misdirected = 421, "The request target needs a secured connection.";
    /// The path has `%00`, which no path that anybody means has.
    TargetNul = 400, "The request target has an encoded NUL.";
    /// The request line exceeds `line_bytes`.
    LineTooLong = 414, "The request line is too long.";
    /// A well-formed version that is neither 1.0 nor 1.1.
    Version = 505, "Only HTTP/1.0 and HTTP/1.1 are supported here.";
    /// A line that does not end with CR LF, or a CR or LF elsewhere.
    LineEnding = 400, "Lines must end with CR LF.";
    /// A field name is no token: empty, space before the colon, or a folded line.
    FieldName = 400, "A field name is malformed.";
    /// A field value has control characters.
    FieldValue = 400, "A field value is malformed.";
    /// A field name has an underscore and the policy refuses that.
    FieldUnderscore = 400, "A field name contains an underscore.";
    /// The head exceeds `head_bytes`.
    HeadTooLarge = 431, "The request head is too large.";
    /// More fields than `fields`.
    TooManyFields = 431, "The request has too many fields.";
    /// HTTP/1.1 without Host.
    HostMissing = 400, "The Host field is missing.";
    /// More than one Host.
    HostRepeated = 400, "The Host field is repeated.";
    /// Host is not `host[:port]`.
    HostInvalid = 400, "The Host field is malformed.";
    /// Content-Length is no plain decimal number, or too large to count.
    ContentLengthInvalid = 400, "The Content-Length field is malformed.";
    /// More than one Content-Length, even if they agree.
    ContentLengthRepeated = 400, "The Content-Length field is repeated.";
    /// Transfer-Encoding is no list of codings that ends with one `chunked`.
    TransferEncodingInvalid = 400, "The Transfer-Encoding field is malformed.";
    /// More than one Transfer-Encoding.
    TransferEncodingRepeated = 400, "The Transfer-Encoding field is repeated.";
    /// Transfer-Encoding in an HTTP/1.0 message.
    TransferEncodingVersion = 400, "Transfer-Encoding needs HTTP/1.1.";
    /// A transfer coding other than `chunked`.
    TransferCodingUnknown = 501, "The transfer coding is not supported.";
    /// Transfer-Encoding together with Content-Length, the classic way to smuggle a request.
    LengthConflict = 400, "Transfer-Encoding and Content-Length exclude each other.";
    /// An expectation other than `100-continue`.
    ExpectationUnknown = 417, "The expectation is not supported.";
    /// A trusted proxy's forwarding field cannot be understood.
    ForwardedInvalid = 400, "A forwarding field is malformed.";
    /// Forwarded and the X-Forwarded fields name different clients, schemes or hosts.
    ForwardedConflict = 400, "The forwarding fields contradict each other.";
    /// The body is announced as, or has become, larger than `body_bytes`.
    BodyTooLarge = 413, "The request body is too large.";
    /// A chunk-size line or the end of a chunk is malformed.
    Chunk = 400, "The chunked body is malformed.";
    /// A chunk-size line exceeds `chunk_line_bytes`, or all extensions together their fixed bound.
    ChunkLineTooLong = 400, "A chunk line is too long.";
    /// A trailer field is malformed.
    Trailer = 400, "A trailer field is malformed.";
    /// The trailer fields exceed `trailer_bytes`.
    TrailerTooLarge = 431, "The trailer fields are too large.";
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status(), self.detail())
    }
}

impl std::error::Error for HttpError {}

/// A fault of the application: a response head that may not go on the wire. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The status is not between 100 and 999.
    Status,
    /// The reason phrase has control characters.
    Reason,
    /// A field name is not a token.
    FieldName,
    /// A field value has control characters; a CR or LF would split the response in two.
    FieldValue,
    /// Content-Length is not a plain decimal number, or two of them disagree.
    ContentLength,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResponseError::Status => "the status must be a number from 100 to 999",
            ResponseError::Reason => "the reason phrase contains control characters",
            ResponseError::FieldName => "a field name is not a token",
            ResponseError::FieldValue => "a field value contains control characters",
            ResponseError::ContentLength => "Content-Length is invalid or given twice with different values",
        })
    }
}

impl std::error::Error for ResponseError {}

#[cfg(test)]
mod tests {
    use super::HttpError;

    #[test]
    fn every_fault_has_a_response() {
        for error in HttpError::ALL {
            assert!(matches!(error.status(), 400 | 413 | 414 | 417 | 421 | 431 | 501 | 505), "{error:?}");
            assert!(error.detail().ends_with('.'), "{error:?}");
            assert!(!crate::h1::status::reason_phrase(error.status()).is_empty(), "{error:?}");
        }
    }
}
