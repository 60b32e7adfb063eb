//! The `Date` field, rendered once per second.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// The last second of the year 9999, the last one that the format can express.
const LAST_SECOND: u64 = 253_402_300_799;

/// Keeps the rendered date of the second that was asked for last.
#[derive(Clone, Debug)]
pub struct DateCache {
    second: u64,
    text: [u8; 29],
}

impl DateCache {
    /// A cache that holds the epoch.
    pub const fn new() -> Self {
        DateCache { second: 0, text: *b"Thu, 01 Jan 1970 00:00:00 GMT" }
    }

    /// The date in IMF-fixdate form (RFC 9110 section 5.6.7); rendered anew only if the second has changed.
    #[inline]
    pub fn render(&mut self, unix_seconds: u64) -> &[u8; 29] {
        if unix_seconds != self.second {
            self.refresh(unix_seconds);
        }
        &self.text
    }

    #[cold]
    fn refresh(&mut self, unix_seconds: u64) {
        self.second = unix_seconds;
        // A clock that has gone mad must not take the front with it: the renderer panics after 9999.
        let time = UNIX_EPOCH + Duration::from_secs(unix_seconds.min(LAST_SECOND));
        // Always exactly 29 bytes; were it not, the old text would be a wrong date, not a crash.
        let _ = write!(&mut self.text[..], "{}", httpdate::HttpDate::from(time));
    }
}

impl Default for DateCache {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::DateCache;

    #[test]
    fn renders_and_changes_with_the_second() {
        let mut cache = DateCache::new();
        assert_eq!(cache.render(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(cache.render(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.render(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(cache.render(784_111_778), b"Sun, 06 Nov 1994 08:49:38 GMT");
    }

    #[test]
    fn survives_a_mad_clock() {
        assert_eq!(DateCache::new().render(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
