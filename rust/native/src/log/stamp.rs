//! The time as text, made once a second.

use crate::sys;
use std::io::Write;
use std::time::{Duration, SystemTime};

/// Bytes of an RFC 3339 time up to its seconds.
const SECONDS: usize = 19;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The current second as HTTP and logs write it.
#[derive(Default)]
pub struct Stamp {
    second: i64,
    /// IMF-fixdate of RFC 9110 §5.6.7.
    pub date: Vec<u8>,
    /// `[20/Nov/2026:22:10:11 +0000]`, as Apache writes it.
    pub common: Vec<u8>,
    /// `2026-11-20T22:10:11+00:00`, RFC 3339.
    pub iso: Vec<u8>,
}

impl Stamp {
    /// Brings the texts up to date; costs one clock reading when the second is the same.
    pub fn refresh(&mut self) {
        let second = sys::realtime_seconds();
        if second != self.second {
            self.set(second);
        }
    }

    /// `2026-11-20T22:10:11.123+00:00`.
    pub fn iso_with_millis(&self, text: &mut Vec<u8>) {
        let (seconds, offset) = self.iso.split_at(self.iso.len().min(SECONDS));
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        // The clock may be in the next second already; the text is of this one.
        let is_same = i64::try_from(now.as_secs()) == Ok(self.second);
        let millis = if is_same { now.subsec_millis() } else { 999 };
        text.extend_from_slice(seconds);
        let _ = write!(text, ".{millis:03}");
        text.extend_from_slice(offset);
    }

    fn set(&mut self, second: i64) {
        self.second = second;
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(second.max(0) as u64);
        self.date = httpdate::fmt_http_date(moment).into_bytes();
        let t = sys::local_time(second);
        let (sign, hours, minutes) = offset(t.offset);
        self.common.clear();
        self.iso.clear();
        let _ = write!(
            self.common,
            "[{:02}/{}/{:04}:{:02}:{:02}:{:02} {sign}{hours:02}{minutes:02}]",
            t.day, MONTHS[t.month], t.year, t.hour, t.minute, t.second
        );
        let _ = write!(
            self.iso,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{sign}{hours:02}:{minutes:02}",
            t.year,
            t.month + 1,
            t.day,
            t.hour,
            t.minute,
            t.second
        );
    }
}

/// Sign, hours and minutes of an offset in minutes.
pub fn offset(minutes: i64) -> (char, i64, i64) {
    (
        if minutes < 0 { '-' } else { '+' },
        minutes.abs() / 60,
        minutes.abs() % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_forms_of_http_and_of_logs() {
        let mut stamp = Stamp::default();
        stamp.set(1_795_212_611);
        assert_eq!(stamp.date, b"Fri, 20 Nov 2026 22:10:11 GMT");
        assert_eq!(stamp.common.len(), 28);
        assert_eq!(stamp.iso.len(), 25);
    }

    #[test]
    fn offsets_west_of_greenwich_are_negative() {
        assert_eq!(offset(-210), ('-', 3, 30));
    }
}
