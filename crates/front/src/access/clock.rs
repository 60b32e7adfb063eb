//! The time in access lines, as text that is made once a second.
//!
//! Must not ask what time it is. Pure.

use std::io::Write;

/// Bytes of a time in the common form, and of one in ISO's without milliseconds.
const COMMON: usize = 26;
const ISO: usize = 19;

#[derive(Debug)]
pub struct Clock {
    second: u64,
    common: [u8; COMMON],
    iso: [u8; ISO],
}

impl Default for Clock {
    fn default() -> Self {
        let mut clock = Clock { second: 0, common: [0; COMMON], iso: [0; ISO] };
        clock.show(0);
        clock
    }
}

impl Clock {
    /// Appends `20/Nov/2026:18:57:57 +0000`.
    #[inline]
    pub fn common(&mut self, out: &mut Vec<u8>, unix_ms: u64) {
        self.follow(unix_ms / 1000);
        out.extend_from_slice(&self.common);
    }

    /// Appends `2026-11-20T18:57:57.123Z`.
    #[inline]
    pub fn iso(&mut self, out: &mut Vec<u8>, unix_ms: u64) {
        self.follow(unix_ms / 1000);
        out.extend_from_slice(&self.iso);
        let rest = (unix_ms % 1000) as u16;
        let digit = |n: u16| b'0' + (n % 10) as u8;
        out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest), b'Z']);
    }

    #[inline]
    fn follow(&mut self, unix_seconds: u64) {
        if self.second != unix_seconds {
            self.show(unix_seconds);
        }
    }

    #[cold]
    fn show(&mut self, unix_seconds: u64) {
        self.second = unix_seconds;
        // It fits for the next 7000 years; what does not is cut off.
        let _ = write_time(&mut &mut self.common[..], unix_seconds, false);
        let _ = write_time(&mut &mut self.iso[..], unix_seconds, true);
    }
}

/// `20/Nov/2026:18:57:57 +0000` or `2026-11-20T18:57:57`.
fn write_time(out: &mut impl Write, unix_seconds: u64, is_iso: bool) -> std::io::Result<()> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    if is_iso {
        return write!(out, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}");
    }
    let name = MONTHS.get(month as usize - 1).copied().unwrap_or("???");
    write!(out, "{day:02}/{name}/{year:04}:{h:02}:{m:02}:{s:02} +0000")
}

/// Days since 1970-01-01 as year, month, day of the Gregorian calendar. Counts in eras of 400 years (146,097 days) that begin on
/// 1 March, so that the leap day is the last day of a year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_share_a_clock() {
        let (mut clock, mut out) = (Clock::default(), Vec::new());
        clock.iso(&mut out, 951_782_399_007);
        clock.common(&mut out, 951_782_399_999);
        clock.iso(&mut out, 951_782_400_120);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "2000-02-28T23:59:59.007Z28/Feb/2000:23:59:59 +00002000-02-29T00:00:00.120Z"
        );
    }

    fn time(seconds: u64) -> String {
        let mut out = Vec::new();
        write_time(&mut out, seconds, false).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_right_around_leap_days_and_years() {
        assert_eq!(time(0), "01/Jan/1970:00:00:00 +0000");
        assert_eq!(time(951_782_399), "28/Feb/2000:23:59:59 +0000");
        assert_eq!(time(951_782_400), "29/Feb/2000:00:00:00 +0000");
        assert_eq!(time(1_709_251_199), "29/Feb/2024:23:59:59 +0000");
        assert_eq!(time(1_735_689_599), "31/Dec/2024:23:59:59 +0000");
        assert_eq!(time(4_107_542_400), "01/Mar/2100:00:00:00 +0000");
    }
}
