//! Wall-clock time, and as the log format writes it.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use protobuf::MessageField;
use protobuf::well_known_types::timestamp::Timestamp;

const SECOND: i64 = 1_000_000_000;

/// Nanoseconds since the epoch.
pub(crate) fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// For messages; 0 is "never".
pub(crate) fn timestamp(ns: i64) -> MessageField<Timestamp> {
    if ns == 0 {
        return MessageField::none();
    }
    MessageField::some(Timestamp {
        seconds: ns.div_euclid(SECOND),
        nanos: i32::try_from(ns.rem_euclid(SECOND)).unwrap_or(0),
        ..Timestamp::default()
    })
}

/// `2026-11-21T04:05:06.000000789Z`
pub(crate) fn rfc3339(ns: i64) -> String {
    let (seconds, nanos) = (ns.div_euclid(SECOND), ns.rem_euclid(SECOND));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years begin in March here, so that the leap day is their last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day = shifted.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + carry;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let mut text = String::with_capacity(30);
    // Writing to a string can't fail.
    let _ = write!(text, "{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z");
    text
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn writes_dates() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_709_164_799_000_000_007, "2024-02-28T23:59:59.000000007Z"),
            (1_709_164_800_000_000_000, "2024-02-29T00:00:00.000000000Z"),
            (1_709_251_200_000_000_000, "2024-03-01T00:00:00.000000000Z"),
            (1_735_689_599_999_999_999, "2024-12-31T23:59:59.999999999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(rfc3339(ns), text);
        }
    }
}
