//! The trace that a request belongs to, as `traceparent` says (W3C Trace Context, section 3.2). Pure.

/// The parts that log records have, in OpenTelemetry's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace<'a> {
    /// 32 digits.
    pub id: &'a [u8],
    /// The caller's span, 16 digits: what is made here has none of its own.
    pub span: &'a [u8],
    /// Two digits.
    pub flags: &'a [u8],
}

/// Where the parts stand: `00-<32>-<16>-<2>`.
const LENGTH: usize = 55;

impl<'a> Trace<'a> {
    /// None for what is missing or not well-formed. Later versions may have more behind what is known.
    pub fn of(parent: &'a [u8]) -> Option<Trace<'a>> {
        let (known, more) = parent.split_at_checked(LENGTH)?;
        let (version, rest) = known.split_at_checked(3)?;
        let (id, rest) = rest.split_at_checked(33)?;
        let (span, flags) = rest.split_at_checked(17)?;
        let (version, id, span) = (digits(version, true)?, digits(id, true)?, digits(span, true)?);
        let flags = digits(flags, false)?;
        let is_extended = match more.first() {
            None => false,
            Some(b'-') => true,
            Some(_) => return None,
        };
        let is_empty = |part: &[u8]| part.iter().all(|digit| *digit == b'0');
        if version == b"ff" || version == b"00" && is_extended || is_empty(id) || is_empty(span) {
            return None;
        }
        Some(Trace { id, span, flags })
    }
}

/// Digits in small letters, with a dash behind them or without; given without it.
fn digits(part: &[u8], has_dash: bool) -> Option<&[u8]> {
    let part = if has_dash { part.strip_suffix(b"-")? } else { part };
    part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_well_formed_is_taken_apart() {
        for parent in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be",
        ] {
            let trace = Trace::of(parent.as_bytes()).unwrap();
            assert_eq!(trace.id, b"4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!((trace.span, trace.flags), (&b"00f067aa0ba902b7"[..], &b"01"[..]));
        }
    }

    #[test]
    fn anything_else_is_none() {
        for parent in [
            "",
            "00-ab-cd-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\"-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::of(parent.as_bytes()), None, "{parent}");
        }
    }
}
