//! Status codes: their reason phrases and ready-made status lines.

macro_rules! statuses {
    ($($code:literal $reason:literal,)*) => {
        /// The registered phrase for a status; empty for an unknown one.
        pub const fn reason_phrase(status: u16) -> &'static str {
            match status {
                $($code => $reason,)*
                _ => "",
            }
        }

        /// The whole status line if the phrase is the registered one.
        #[inline]
        pub(crate) fn status_line(status: u16, reason: &[u8]) -> Option<&'static [u8]> {
            let (phrase, line): (&str, &str) = match status {
                $($code => ($reason, concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n")),)*
                _ => return None,
            };
            (phrase.as_bytes() == reason).then_some(line.as_bytes())
        }
    };
}

// RFC 9110 section 15 and the IANA registry. 418 and 422 as Werkzeug and Python spell them today.
statuses! {
    200 "OK",
    100 "Continue",
    101 "Switching Protocols",
    102 "Processing",
    103 "Early Hints",
    201 "Created",
    202 "Accepted",
    203 "Non-Authoritative Information",
    204 "No Content",
    205 "Reset Content",
    206 "Partial Content",
    207 "Multi-Status",
    208 "Already Reported",
    226 "IM Used",
    300 "Multiple Choices",
    301 "Moved Permanently",
    302 "Found",
    303 "See Other",
    304 "Not Modified",
    305 "Use Proxy",
    307 "Temporary Redirect",
    308 "Permanent Redirect",
    400 "Bad Request",
    401 "Unauthorized",
    402 "Payment Required",
    403 "Forbidden",
    404 "Not Found",
    405 "Method Not Allowed",
    406 "Not Acceptable",
    407 "Proxy Authentication Required",
    408 "Request Timeout",
    409 "Conflict",
    410 "Gone",
    411 "Length Required",
    412 "Precondition Failed",
    413 "Content Too Large",
    414 "URI Too Long",
    415 "Unsupported Media Type",
    416 "Range Not Satisfiable",
    417 "Expectation Failed",
    418 "I'm a teapot",
    421 "Misdirected Request",
    422 "Unprocessable Entity",
    423 "Locked",
    424 "Failed Dependency",
    425 "Too Early",
    426 "Upgrade Required",
    428 "Precondition Required",
    429 "Too Many Requests",
    431 "Request Header Fields Too Large",
    451 "Unavailable For Legal Reasons",
    500 "Internal Server Error",
    501 "Not Implemented",
    502 "Bad Gateway",
    503 "Service Unavailable",
    504 "Gateway Timeout",
    505 "HTTP Version Not Supported",
    506 "Variant Also Negotiates",
    507 "Insufficient Storage",
    508 "Loop Detected",
    510 "Not Extended",
    511 "Network Authentication Required",
}

#[cfg(test)]
mod tests {
    use super::{reason_phrase, status_line};

    #[test]
    fn lines_match_their_phrases() {
        assert_eq!(status_line(200, b"OK"), Some(&b"HTTP/1.1 200 OK\r\n"[..]));
        assert_eq!(status_line(404, b"NOT FOUND"), None);
        assert_eq!(status_line(299, b""), None);
        assert_eq!(reason_phrase(504), "Gateway Timeout");
        assert_eq!(reason_phrase(299), "");
    }
}
