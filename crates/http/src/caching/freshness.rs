//! Whether a response may be kept, for how long it is fresh, and whether it may be used for a request (RFC 9111 sections 3 and 4).

use crate::caching::directives::{MOST_SECONDS, RequestDirectives, ResponseDirectives, seconds};
use crate::conditions::date;

/// How long a response is of use, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// From its generation on: fresh.
    pub fresh: u64,
    /// After that: usable while it is fetched anew.
    pub while_revalidate: u64,
    /// After that: usable where the origin fails.
    pub if_error: u64,
    /// Validated before each use.
    pub always_validated: bool,
    /// Never used stale.
    pub never_stale: bool,
}

impl Lifetime {
    /// For how many seconds after its generation keeping it can be of any use, but for a validation.
    pub fn usable(&self) -> u64 {
        self.fresh + if self.never_stale { 0 } else { self.while_revalidate.max(self.if_error) }
    }
}

/// How old a kept response is (RFC 9111 section 4.2.3). Times are seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Age {
    /// How old it was when it came.
    pub when_stored: u64,
    /// When that was, by the caller's clock.
    pub stored_at: u64,
}

impl Age {
    /// Its age now.
    pub fn at(&self, now: u64) -> u64 {
        (self.when_stored + now.saturating_sub(self.stored_at)).min(MOST_SECONDS)
    }
}

/// A response that may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storable {
    /// How long it is of use.
    pub lifetime: Lifetime,
    /// How old it is.
    pub age: Age,
    /// Whether it can be validated later.
    pub has_validator: bool,
}

/// What is known of a response when its head is there.
#[derive(Clone, Copy, Debug)]
pub struct Response<I> {
    /// Its status.
    pub status: u16,
    /// Its fields, names as they were written.
    pub fields: I,
    /// Whether its request had `Authorization`.
    pub authorized: bool,
    /// The wall clock, in seconds since 1970; for `Date` and `Expires`.
    pub unix_now: u64,
    /// The caller's clock, in seconds.
    pub now: u64,
}

/// Whether a response to a GET may be kept by this cache; None: no.
pub fn may_store<'f, I>(response: &Response<I>, request: &RequestDirectives) -> Option<Storable>
where
    I: Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
{
    let all = |name: &'static [u8]| {
        response
            .fields
            .clone()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let targeted = ResponseDirectives::read_targeted(all(b"cdn-cache-control"));
    let said = targeted.unwrap_or_else(|| ResponseDirectives::read(all(b"cache-control")));
    let ignores_no_store = said.must_understand && is_understood(response.status);
    if request.no_store || said.private || (said.no_store && !ignores_no_store) {
        return None;
    }
    // A part and an interim response are none; a 304 belongs to another one.
    if matches!(response.status, 0..200 | 206 | 304)
        || (said.must_understand && !is_understood(response.status))
    {
        return None;
    }
    // Section 3.5.
    if response.authorized && !(said.public || said.must_revalidate || said.s_maxage.is_some()) {
        return None;
    }
    if all(b"set-cookie").next().is_some() || all(b"vary").any(|value| value.contains(&b'*')) {
        return None;
    }
    let generated = all(b"date").next().and_then(date).unwrap_or(response.unix_now);
    let has_validator = all(b"etag").next().is_some() || all(b"last-modified").next().is_some();
    let fresh = match (said.s_maxage.or(said.max_age), all(b"expires").next().filter(|_| targeted.is_none()))
    {
        (Some(seconds), _) => seconds,
        // A date that cannot be read is in the past (section 5.3).
        (None, Some(expires)) => date(expires).unwrap_or(0).saturating_sub(generated).min(MOST_SECONDS),
        (None, None) if (said.no_cache || said.public) && has_validator => 0,
        (None, None) => return None,
    };
    let apparent = response.unix_now.saturating_sub(generated);
    // Section 5.1: of a list the first member counts.
    let first = |value: &'f [u8]| value.split(|&byte| byte == b',').next().unwrap_or_default().trim_ascii();
    let stated = all(b"age").next().map(first).and_then(seconds).unwrap_or(0);
    let lifetime = Lifetime {
        fresh,
        while_revalidate: said.stale_while_revalidate.unwrap_or(0),
        if_error: said.stale_if_error.unwrap_or(0),
        always_validated: said.no_cache,
        never_stale: said.forbids_stale(),
    };
    let age = Age { when_stored: apparent.max(stated).min(MOST_SECONDS), stored_at: response.now };
    let is_of_use = has_validator || (!said.no_cache && lifetime.usable() > age.when_stored);
    is_of_use.then_some(Storable { lifetime, age, has_validator })
}

/// Statuses that this cache understands, in the sense of `must-understand`.
fn is_understood(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 302 | 307 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// What may be done with a kept response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It is sent.
    Fresh,
    /// It is sent, and fetched anew behind it.
    WhileRevalidating,
    /// The origin is asked first.
    Validate,
}

/// Whether a kept response may be used for a request.
pub fn reuse(lifetime: &Lifetime, age: u64, request: &RequestDirectives) -> Reuse {
    // Who accepts no age at all wants to hear it from the origin: a reload in a browser says that.
    let is_too_old = request.max_age.is_some_and(|most| most == 0 || age > most);
    if lifetime.always_validated || request.no_cache || is_too_old {
        return Reuse::Validate;
    }
    let needed = age.saturating_add(request.min_fresh.unwrap_or(0));
    if needed < lifetime.fresh {
        return Reuse::Fresh;
    }
    if lifetime.never_stale || request.min_fresh.is_some() {
        return Reuse::Validate;
    }
    let stale_for = age.saturating_sub(lifetime.fresh);
    if request.max_stale.is_some_and(|most| stale_for <= most) {
        return Reuse::Fresh;
    }
    if stale_for < lifetime.while_revalidate { Reuse::WhileRevalidating } else { Reuse::Validate }
}

/// Whether a kept response may stand in where the origin has failed: no response, or 500, 502, 503, 504 (RFC 5861 section 4).
pub fn stands_in(lifetime: &Lifetime, age: u64, request: &RequestDirectives) -> bool {
    !lifetime.never_stale
        && !request.no_cache
        && request.max_age.is_none_or(|most| age <= most)
        && age.saturating_sub(lifetime.fresh) < lifetime.if_error
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06 08:49:37, which the tests write as a date.
    const NOW: u64 = 784_111_777;
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn stored(status: u16, fields: &[(&str, &str)]) -> Option<Storable> {
        stored_with(status, fields, false, "")
    }

    fn stored_with(
        status: u16,
        fields: &[(&str, &str)],
        authorized: bool,
        request: &str,
    ) -> Option<Storable> {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let response = Response { status, fields, authorized, unix_now: NOW, now: 5 };
        may_store(&response, &RequestDirectives::read(std::iter::once(request.as_bytes()), None))
    }

    fn fresh(fields: &[(&str, &str)]) -> Option<u64> {
        stored(200, fields).map(|stored| stored.lifetime.fresh)
    }

    #[test]
    fn directives_for_such_caches_count_in_the_place_of_all_others() {
        let both = |targeted, general| fresh(&[("CDN-Cache-Control", targeted), ("Cache-Control", general)]);
        assert_eq!(both("max-age=5", "no-store"), Some(5));
        assert_eq!(both("no-store", "max-age=60"), None);
        assert_eq!(both("max-age=5", "max-age=60"), Some(5));
        assert_eq!(both("max-age=\"5\"", "max-age=60"), Some(60));
        let expires = "Mon, 07 Nov 1994 08:49:37 GMT";
        assert_eq!(fresh(&[("CDN-Cache-Control", "max-age=0"), ("Expires", expires)]), None);
    }

    #[test]
    fn only_what_says_for_how_long_is_kept() {
        assert_eq!(fresh(&[]), None);
        assert_eq!(fresh(&[("Last-Modified", DATE)]), None);
        assert_eq!(fresh(&[("cache-control", "max-age=60")]), Some(60));
        assert_eq!(fresh(&[("cache-control", "max-age=60, s-maxage=5")]), Some(5));
        assert_eq!(fresh(&[("cache-control", "max-age=60"), ("cache-control", "s-maxage=5")]), Some(5));
        assert_eq!(fresh(&[("expires", "Sun, 06 Nov 1994 08:50:37 GMT")]), Some(60));
        assert_eq!(
            fresh(&[("expires", "Sun, 06 Nov 1994 08:50:37 GMT"), ("cache-control", "max-age=3")]),
            Some(3)
        );
        let early = ("date", "Sun, 06 Nov 1994 08:49:27 GMT");
        assert_eq!(fresh(&[("expires", "Sun, 06 Nov 1994 08:50:37 GMT"), early]), Some(70));
    }

    #[test]
    fn what_is_of_no_use_is_not_kept() {
        for value in ["max-age=0", "no-cache", "max-age=x", "no-cache, max-age=60"] {
            assert_eq!(fresh(&[("cache-control", value)]), None, "{value}");
        }
        assert_eq!(fresh(&[("expires", "0")]), None);
        assert_eq!(fresh(&[("cache-control", "max-age=60"), ("age", "60")]), None);
        assert_eq!(fresh(&[("cache-control", "no-cache"), ("etag", "\"a\"")]), Some(0));
    }

    #[test]
    fn what_forbids_is_obeyed() {
        let long = ("cache-control", "max-age=60");
        for value in ["no-store", "private", "private=\"x\""] {
            assert_eq!(fresh(&[long, ("cache-control", value)]), None, "{value}");
        }
        assert_eq!(fresh(&[long, ("set-cookie", "a=b")]), None);
        assert_eq!(fresh(&[long, ("vary", "accept, *")]), None);
        assert_eq!(stored_with(200, &[long], false, "no-store"), None);
        for status in [101, 206, 304] {
            assert_eq!(stored(status, &[long]), None);
        }
        assert!(
            stored(404, &[long]).is_some()
                && stored(301, &[long]).is_some()
                && stored(500, &[long]).is_some()
        );
    }

    #[test]
    fn responses_for_one_who_is_authorized() {
        assert_eq!(stored_with(200, &[("cache-control", "max-age=60")], true, ""), None);
        for value in ["public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"] {
            assert!(stored_with(200, &[("cache-control", value)], true, "").is_some(), "{value}");
        }
    }

    #[test]
    fn must_understand() {
        assert!(stored(200, &[("cache-control", "no-store, must-understand, max-age=60")]).is_some());
        assert_eq!(stored(299, &[("cache-control", "must-understand, max-age=60")]), None);
    }

    #[test]
    fn the_age_counts_what_was_before() {
        let found = stored(
            200,
            &[("cache-control", "max-age=60"), ("date", "Sun, 06 Nov 1994 08:49:27 GMT"), ("age", "3")],
        );
        let age = found.unwrap().age;
        assert_eq!((age.when_stored, age.at(5), age.at(25)), (10, 10, 30));
    }

    #[test]
    fn reuse_follows_age_and_both_sides() {
        let lifetime = Lifetime { fresh: 60, while_revalidate: 10, if_error: 30, ..Lifetime::default() };
        let ask = |text: &str| RequestDirectives::read(std::iter::once(text.as_bytes()), None);
        let with = |age, text| reuse(&lifetime, age, &ask(text));
        assert_eq!(
            (with(59, ""), with(60, ""), with(69, "")),
            (Reuse::Fresh, Reuse::WhileRevalidating, Reuse::WhileRevalidating)
        );
        assert_eq!(
            (with(70, ""), with(5, "no-cache"), with(5, "max-age=4")),
            (Reuse::Validate, Reuse::Validate, Reuse::Validate)
        );
        assert_eq!(
            (with(5, "max-age=5"), with(50, "min-fresh=10"), with(49, "min-fresh=10")),
            (Reuse::Fresh, Reuse::Validate, Reuse::Fresh)
        );
        assert_eq!(
            (with(90, "max-stale=30"), with(91, "max-stale=30"), with(5000, "max-stale")),
            (Reuse::Fresh, Reuse::Validate, Reuse::Fresh)
        );
        assert!(stands_in(&lifetime, 89, &ask("")) && !stands_in(&lifetime, 90, &ask("")));
        let strict = Lifetime { never_stale: true, ..lifetime };
        assert_eq!(reuse(&strict, 60, &ask("max-stale")), Reuse::Validate);
        assert!(!stands_in(&strict, 60, &ask("")));
        let checked = Lifetime { always_validated: true, ..lifetime };
        assert_eq!(reuse(&checked, 0, &ask("")), Reuse::Validate);
    }
}
