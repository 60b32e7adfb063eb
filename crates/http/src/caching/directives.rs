//! `Cache-Control` of requests and responses (RFC 9111 section 5.2).
//!
//! Owns the grammar. Leniency goes one way: what cannot be read makes a response less reusable, never more.

/// The largest age; a larger one counts as this; RFC 9111 section 1.2.2 wants at least 2^31.
pub const MOST_SECONDS: u64 = 1 << 31;

/// What a response says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// Not to be kept at all.
    pub no_store: bool,
    /// To be validated before each reuse. With field names it means the same here, which section 5.2.2.4 allows.
    pub no_cache: bool,
    /// For one user only. With field names it means the same here (section 5.2.2.7).
    pub private: bool,
    /// May be kept although something else would forbid it.
    pub public: bool,
    /// Never to be used stale.
    pub must_revalidate: bool,
    /// The same for shared caches.
    pub proxy_revalidate: bool,
    /// May be kept only by who understands its status; `no-store` does not count then.
    pub must_understand: bool,
    /// Its body must stay as it is.
    pub no_transform: bool,
    /// Seconds for which it is fresh; 0 where the value cannot be read.
    pub max_age: Option<u64>,
    /// The same for shared caches; it counts before `max_age`.
    pub s_maxage: Option<u64>,
    /// Seconds after that in which it may be used while it is fetched anew (RFC 5861 section 3).
    pub stale_while_revalidate: Option<u64>,
    /// Seconds after that in which it may be used where the origin fails (RFC 5861 section 4).
    pub stale_if_error: Option<u64>,
}

/// What a request says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Nothing of this exchange is to be kept.
    pub no_store: bool,
    /// A kept response is to be validated first.
    pub no_cache: bool,
    /// Only what is kept is wanted; else 504.
    pub only_if_cached: bool,
    /// How old a response may be.
    pub max_age: Option<u64>,
    /// For how long it must still be fresh.
    pub min_fresh: Option<u64>,
    /// For how long it may have been stale; `u64::MAX` without a value.
    pub max_stale: Option<u64>,
}

impl ResponseDirectives {
    /// Reads all `Cache-Control` values of a response. Of a directive that stands twice the first one counts (section 4.2.1).
    pub fn read<'f>(values: impl Iterator<Item = &'f [u8]>) -> Self {
        let mut found = ResponseDirectives::default();
        each(values, |name, argument| {
            let number = |place: &mut Option<u64>| {
                if place.is_none() {
                    *place = Some(argument.and_then(seconds).unwrap_or(0));
                }
            };
            match name {
                b"no-store" => found.no_store = true,
                b"no-cache" => found.no_cache = true,
                b"private" => found.private = true,
                b"public" => found.public = true,
                b"must-revalidate" => found.must_revalidate = true,
                b"proxy-revalidate" => found.proxy_revalidate = true,
                b"must-understand" => found.must_understand = true,
                b"no-transform" => found.no_transform = true,
                b"max-age" => number(&mut found.max_age),
                b"s-maxage" => number(&mut found.s_maxage),
                b"stale-while-revalidate" => number(&mut found.stale_while_revalidate),
                b"stale-if-error" => number(&mut found.stale_if_error),
                _ => {}
            }
        });
        found
    }

    /// Reads all `CDN-Cache-Control` values of a response, whose directives are for caches like this one and count in the place of
    /// `Cache-Control` and `Expires` (RFC 9213 section 2.2). None where there is none, or what is there is no Structured Field: then those count.
    pub fn read_targeted<'f>(values: impl Iterator<Item = &'f [u8]> + Clone) -> Option<Self> {
        let has_any = values.clone().any(|value| !value.trim_ascii().is_empty());
        (has_any && values.clone().all(is_dictionary)).then(|| Self::read(values))
    }

    /// Whether it must not be used stale, for whatever reason (RFC 9111 section 4.2.4).
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache || self.s_maxage.is_some()
    }
}

impl RequestDirectives {
    /// Reads all `Cache-Control` values of a request; `Pragma: no-cache` counts where there are none (section 5.4).
    pub fn read<'f>(values: impl Iterator<Item = &'f [u8]>, pragma: Option<&[u8]>) -> Self {
        let mut found = RequestDirectives::default();
        let mut has_any = false;
        each(values, |name, argument| {
            has_any = true;
            match name {
                b"no-store" => found.no_store = true,
                b"no-cache" => found.no_cache = true,
                b"only-if-cached" => found.only_if_cached = true,
                b"max-age" => found.max_age = Some(argument.and_then(seconds).unwrap_or(0)),
                b"min-fresh" => found.min_fresh = Some(argument.and_then(seconds).unwrap_or(MOST_SECONDS)),
                // Without a value any staleness is accepted; one that cannot be read accepts none.
                b"max-stale" => {
                    found.max_stale = Some(argument.map_or(u64::MAX, |text| seconds(text).unwrap_or(0)))
                }
                _ => {}
            }
        });
        if !has_any
            && let Some(pragma) = pragma
            && pragma
                .split(|byte| *byte == b',')
                .any(|one| one.trim_ascii().eq_ignore_ascii_case(b"no-cache"))
        {
            found.no_cache = true;
        }
        found
    }
}

/// The number of seconds that a value stands for, with or without quotes. None where it is no number.
pub fn seconds(text: &[u8]) -> Option<u64> {
    let text = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(text);
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value =
        text.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(value.min(MOST_SECONDS))
}

/// Whether a value is a dictionary of Structured Fields (RFC 9651 section 3.2) with members of the types that directives have: a key alone,
/// or one with a number, a token or a text. A time as a text is of the wrong type.
fn is_dictionary(value: &[u8]) -> bool {
    let mut rest = value;
    while !rest.is_empty() {
        let end = member_end(rest);
        let (member, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after.get(1..).unwrap_or_default();
        // Parameters say nothing here.
        let bare = member.trim_ascii().split(|byte| *byte == b';').next().unwrap_or_default();
        let mut parts = bare.splitn(2, |byte| *byte == b'=');
        let key = parts.next().unwrap_or_default();
        let is_key = key.first().is_some_and(|byte| byte.is_ascii_lowercase() || *byte == b'*')
            && key.iter().all(|byte| {
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || matches!(byte, b'_' | b'-' | b'.' | b'*')
            });
        let is_item = parts.next().is_none_or(|item| match key {
            b"max-age" | b"s-maxage" | b"stale-while-revalidate" | b"stale-if-error" => {
                !item.is_empty() && item.iter().all(u8::is_ascii_digit)
            }
            _ => item.first().is_some_and(u8::is_ascii_graphic),
        });
        if !is_key || !is_item {
            return false;
        }
    }
    true
}

/// The longest name of a directive that means something here.
const LONGEST_NAME: usize = 22;

/// Calls `see` with each directive's name in lower case, and its argument. A comma within quotes does not separate.
fn each<'f>(values: impl Iterator<Item = &'f [u8]>, mut see: impl FnMut(&[u8], Option<&'f [u8]>)) {
    for value in values {
        let mut rest = value;
        while !rest.is_empty() {
            let end = member_end(rest);
            let (member, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = after.get(1..).unwrap_or_default();
            let mut parts = member.splitn(2, |byte| *byte == b'=');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let argument = parts.next().map(<[u8]>::trim_ascii);
            let mut lower = [0; LONGEST_NAME];
            if let Some(lower) = lower.get_mut(..name.len()) {
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                see(lower, argument);
            }
        }
    }
}

/// Where the first member of a list ends. An open quote lasts to the end.
fn member_end(list: &[u8]) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in list.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    list.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(text: &str) -> ResponseDirectives {
        ResponseDirectives::read(std::iter::once(text.as_bytes()))
    }

    fn request(text: &str) -> RequestDirectives {
        RequestDirectives::read(std::iter::once(text.as_bytes()), None)
    }

    #[test]
    fn directives_of_a_response() {
        let found = response("Public, MAX-AGE=60 , s-maxage=\"30\",stale-while-revalidate=5, immutable");
        assert!(found.public && !found.no_store);
        assert_eq!((found.max_age, found.s_maxage), (Some(60), Some(30)));
        assert_eq!(found.stale_while_revalidate, Some(5));
    }

    #[test]
    fn what_cannot_be_read_is_stale() {
        for text in [
            "max-age=a",
            "max-age=-1",
            "max-age",
            "max-age=1.5",
            "max-age=\"",
            "max-age=",
            "max-age=+1",
            "max-age=1 2",
        ] {
            assert_eq!(response(text).max_age, Some(0), "{text}");
        }
        assert_eq!(response("max-age=99999999999999999999999").max_age, Some(MOST_SECONDS));
        assert_eq!(response("max-age=1, max-age=9").max_age, Some(1));
        assert_eq!(response("xmax-age=9").max_age, None);
    }

    #[test]
    fn field_names_do_not_hide_a_directive() {
        assert!(response("private=\"x, y\"").private && response("no-cache=\"set-cookie\"").no_cache);
        // What stands in quotes is no directive.
        assert_eq!(response("ext=\"a, max-age=9, b\"").max_age, None);
        assert_eq!(response("ext=\"a\\\", max-age=9").max_age, None);
    }

    #[test]
    fn what_is_said_to_caches_like_this_one() {
        let read = |text: &'static str| ResponseDirectives::read_targeted(std::iter::once(text.as_bytes()));
        assert_eq!(read("max-age=60, foo;a=1, bar=\"x, y\"").and_then(|found| found.max_age), Some(60));
        assert!(read("private").is_some_and(|found| found.private));
        for text in [
            "",
            " ",
            "max-age=60, &&&&&",
            "max-age=\"60\"",
            "max-age =60",
            "max-age= 60",
            "Max-Age=60",
            "=1",
            "a=",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(ResponseDirectives::read_targeted(std::iter::empty()), None);
    }

    #[test]
    fn directives_of_a_request() {
        let found = request("no-cache, max-stale, min-fresh=3, max-age=x, only-if-cached");
        assert!(found.no_cache && found.only_if_cached && !found.no_store);
        assert_eq!((found.max_stale, found.min_fresh, found.max_age), (Some(u64::MAX), Some(3), Some(0)));
        assert_eq!(request("max-stale=x").max_stale, Some(0));
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        let none = std::iter::empty::<&[u8]>;
        assert!(RequestDirectives::read(none(), Some(b"foo, No-Cache")).no_cache);
        assert!(!RequestDirectives::read(std::iter::once(&b"max-age=1"[..]), Some(b"no-cache")).no_cache);
        assert!(!RequestDirectives::read(none(), Some(b"no-caches")).no_cache);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        for length in 0..5usize {
            let letters = [b',', b'"', b'\\', b'=', b'a', 0xff];
            for number in 0..letters.len().pow(length as u32) {
                let mut rest = number;
                let text: Vec<u8> = (0..length)
                    .map(|_| {
                        let one = letters[rest % letters.len()];
                        rest /= letters.len();
                        one
                    })
                    .collect();
                ResponseDirectives::read(std::iter::once(&text[..]));
                RequestDirectives::read(std::iter::once(&text[..]), Some(&text));
            }
        }
    }
}
