//! Extensible priorities (RFC 9218): how urgent a response is. `i` is understood and not needed: all of one urgency take turns.

/// From 0, the most urgent, to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Urgency(pub(crate) u8);

impl Default for Urgency {
    fn default() -> Self {
        Urgency(3)
    }
}

/// The urgency that a Priority field or a PRIORITY_UPDATE names. A dictionary of structured fields, of which only `u` with a digit
/// from 0 to 7 says anything (section 4); what cannot be understood is as if it were not there.
pub(crate) fn urgency(value: &[u8]) -> Urgency {
    value
        .split(|&byte| byte == b',')
        .filter_map(|member| match member.trim_ascii() {
            [b'u', b'=', digit @ b'0'..=b'7'] | [b'u', b'=', digit @ b'0'..=b'7', b';', ..] => {
                Some(Urgency(digit - b'0'))
            }
            _ => None,
        })
        .next_back()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digit_counts() {
        for (value, want) in [
            ("", 3),
            ("u=0", 0),
            ("i, u=7", 7),
            ("u=5, i", 5),
            ("u=1,u=2", 2),
            ("u=8", 3),
            ("u=-1", 3),
            ("u", 3),
            ("u=10", 3),
            ("u=2;x", 2),
            ("U=1", 3),
        ] {
            assert_eq!(urgency(value.as_bytes()), Urgency(want), "{value}");
        }
    }
}
