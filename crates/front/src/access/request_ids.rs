//! Ids of requests: made here, or taken over from whom they are believed.
//!
//! An id travels to the worker as two fields behind the head as received: X-Request-ID, which the application may pass on, and
//! `pelton.request_id`, which no client can send. Runs on the front's thread.

use std::ops::Range;

use pelton_http::{Field, Head, Known, Span};

use crate::access::text::hex16;
use crate::system;

/// Longer ids are not taken over.
const LONGEST_ID: usize = 128;
/// The name of the field that the application sees.
const ID_FIELD: &[u8] = b"X-Request-ID";

/// A part drawn once, and a counter whose successive values do not look alike. Not secret.
#[derive(Debug)]
pub struct RequestIds {
    /// As digits.
    front: [u8; 16],
    count: u64,
}

impl RequestIds {
    /// Draws.
    pub fn new() -> Self {
        let mut drawn = [0u8; 16];
        // Failing leaves zeros, and ids that are unique in this process only.
        system::random(&mut drawn);
        let (front, count) = drawn.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
        RequestIds { front: hex16(number(front)), count: number(count) }
    }

    /// Gives a request its id: the one that it brings if `believes` says so, and it is one; otherwise a new one, and then `out`, which
    /// is empty, gets the head's bytes with that behind them. Returns where it is, in `out` if there is something in it, else in `bytes`.
    pub fn identify(
        &mut self,
        head: &mut Head,
        bytes: &[u8],
        believes: impl FnOnce() -> bool,
        out: &mut Vec<u8>,
    ) -> Range<usize> {
        let mut sent = head.fields.iter().filter(|field| field.known == Known::XRequestId);
        let (first, second) = (sent.next(), sent.next());
        if let (Some(field), None) = (first, second)
            && believes()
            && is_id(field.value.of(bytes))
        {
            let value = field.value;
            head.fields.push(Field { name: Span::default(), value, known: Known::RequestId });
            return value.start as usize..value.end as usize;
        }
        if first.is_some() {
            head.fields.retain(|field| field.known != Known::XRequestId);
        }
        out.reserve(bytes.len() + ID_FIELD.len() + 32);
        out.extend_from_slice(bytes);
        out.extend_from_slice(ID_FIELD);
        let start = out.len();
        out.extend_from_slice(&self.next());
        let name = Span { start: bytes.len() as u32, end: start as u32 };
        let value = Span { start: start as u32, end: out.len() as u32 };
        head.fields.push(Field { name, value, known: Known::XRequestId });
        head.fields.push(Field { name: Span::default(), value, known: Known::RequestId });
        start..out.len()
    }

    /// Digits that nobody else gets in this process.
    pub fn next(&mut self) -> [u8; 32] {
        // A bijection (splitmix64), so two counts never give one id.
        self.count = self.count.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.count;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let mut id = [0; 32];
        for (half, digits) in id.as_chunks_mut::<16>().0.iter_mut().zip([self.front, hex16(mixed)]) {
            *half = digits;
        }
        id
    }
}

/// An id from outside goes to the application and to the log: nothing but what ids are made of.
fn is_id(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.len() <= LONGEST_ID
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_http::{Limits, Receiver};

    fn identified(ids: &mut RequestIds, sent: &str, believes: bool) -> (String, Vec<(Known, String)>) {
        let bytes = format!("GET / HTTP/1.1\r\nHost: h\r\n{sent}\r\n").into_bytes();
        let (mut head, mut out) = (Head::default(), Vec::new());
        Receiver::new().advance(&bytes, &Limits::default(), &mut head).unwrap();
        let place = ids.identify(&mut head, &bytes, || believes, &mut out);
        let all = if out.is_empty() { &bytes } else { &out };
        let text = |range: Range<usize>| String::from_utf8(all[range].to_vec()).unwrap();
        let fields = head
            .fields
            .iter()
            .filter(|field| matches!(field.known, Known::XRequestId | Known::RequestId))
            .map(|field| (field.known, text(field.value.start as usize..field.value.end as usize)))
            .collect();
        (text(place), fields)
    }

    #[test]
    fn an_id_is_made_or_taken_over_and_the_application_sees_no_other() {
        let mut ids = RequestIds::new();
        for (sent, believes) in [
            ("", true),
            ("X-Request-ID: a-1\r\n", false),
            ("X-Request-ID: a b\r\n", true),
            ("X-Request-ID: a\r\nX-Request-ID: a\r\n", true),
        ] {
            let (id, fields) = identified(&mut ids, sent, believes);
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
            assert_eq!(fields, [(Known::XRequestId, id.clone()), (Known::RequestId, id)], "{sent}");
        }
        let (id, fields) = identified(&mut ids, "X-Request-ID: a-1\r\n", true);
        assert_eq!(id, "a-1");
        assert_eq!(fields, [(Known::XRequestId, id.clone()), (Known::RequestId, id)]);
    }

    #[test]
    fn ids_differ_and_those_from_outside_are_looked_at() {
        let mut ids = RequestIds::new();
        let (one, two) = (ids.next(), ids.next());
        assert_ne!(one, two);
        assert!(is_id(&one) && is_id(b"1-5759e988-bd862e3fe1be46a994272793"));
        for bad in [&b""[..], b"a b", b"\xff", b"a\"", &[b'a'; LONGEST_ID + 1]] {
            assert!(!is_id(bad));
        }
    }
}
