//! Sizes, durations and times as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// For example `1.4 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// For example `0.4 s` or `2 min 5 s`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// How long ago a CRI time was, for example `5m`.
pub(crate) fn age(nanoseconds: i64) -> String {
    let then = UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default());
    match SystemTime::now().duration_since(then).unwrap_or_default().as_secs() {
        _ if nanoseconds <= 0 => "-".to_owned(),
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86400),
    }
}

/// A CRI time as RFC 3339; nothing for zero, which means "not yet".
pub(crate) fn timestamp(nanoseconds: i64) -> Option<String> {
    if nanoseconds <= 0 {
        return None;
    }
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.into()).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 999, 1000, 1_449_999, 999_999_999].map(bytes), ["0 B", "999 B", "1.0 kB", "1.4 MB", "1.0 GB"]);
        assert_eq!(
            [250, 12_000, 125_000].map(|ms| duration(Duration::from_millis(ms))),
            ["0.2 s", "12 s", "2 min 5 s"]
        );
        assert_eq!(timestamp(1_700_000_000_000_000_001).as_deref(), Some("2023-11-14T22:13:20.000000001Z"));
        assert_eq!((timestamp(0), age(0).as_str()), (None, "-"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ago = |seconds: i64| age(now.as_nanos() as i64 - seconds * 1_000_000_000);
        assert_eq!([ago(3), ago(150), ago(7300), ago(200_000)], ["3s", "2m", "2h", "2d"]);
    }
}
