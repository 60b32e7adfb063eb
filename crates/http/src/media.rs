//! Which of several media types a client likes best: `Accept` (RFC 9110 section 12.5.1).

use crate::codings::weight_of;
use crate::header_policy::list_members;

/// The number of the best of `offered`; of those that are liked equally the first one. Where a client accepts none of them, or does not say,
/// it is the first one: to explain something in a form that was not asked for is better than not to explain it.
pub fn best<'o>(accept: &[u8], offered: impl Iterator<Item = &'o [u8]>) -> Option<usize> {
    let mut best = None;
    for (number, media_type) in offered.enumerate() {
        let weight = weight_for(accept, media_type);
        if best.is_none_or(|(_, most)| weight > most) {
            best = Some((number, weight));
        }
    }
    best.map(|(number, _)| number)
}

/// In thousandths; the most specific range that fits counts.
fn weight_for(accept: &[u8], media_type: &[u8]) -> u16 {
    let end = media_type.iter().position(|&byte| byte == b';').unwrap_or(media_type.len());
    let wanted = media_type.get(..end).unwrap_or_default().trim_ascii();
    let kind = wanted.split(|&byte| byte == b'/').next().unwrap_or_default();
    let mut found = (0, 0);
    for member in list_members(accept) {
        let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let range = parts.next().unwrap_or_default();
        let specific = if range.eq_ignore_ascii_case(wanted) {
            3
        } else if range.strip_suffix(b"/*").is_some_and(|family| family.eq_ignore_ascii_case(kind)) {
            2
        } else if range == b"*/*" {
            1
        } else {
            continue;
        };
        let weight =
            parts.find(|part| part.len() > 1 && part.starts_with(b"q=")).map_or(Some(1000), weight_of);
        if specific > found.0 {
            found = (specific, weight.unwrap_or(0));
        }
    }
    found.1
}

#[cfg(test)]
mod tests {
    use super::best;

    #[test]
    fn the_client_decides_and_else_the_order() {
        for (accept, number) in [
            ("", 0),
            ("image/png", 0),
            ("*/*", 0),
            ("application/json", 1),
            ("application/json, text/html;q=0.9", 1),
            ("text/html, application/json;q=0.9", 0),
            ("text/*;q=0.1, application/*", 1),
            ("text/html;q=0, */*", 1),
            ("APPLICATION/JSON;charset=utf-8;q=0.5,text/html;q=0.4", 1),
            ("text/html;q=nonsense, application/json;q=0.1", 1),
            (",,;,/", 0),
        ] {
            let offered = [&b"text/html; charset=utf-8"[..], b"application/json"];
            assert_eq!(best(accept.as_bytes(), offered.into_iter()), Some(number), "{accept}");
        }
        assert_eq!(best(b"*/*", std::iter::empty()), None);
    }
}
