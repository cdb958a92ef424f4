//! How much traffic a pod may have, from the annotations that Kubernetes has for that.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use peapod_spec::pod::PodBandwidth;

const INGRESS: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS: &str = "kubernetes.io/egress-bandwidth";

/// Bits per second.
const RATES: RangeInclusive<u64> = 1000..=1_000_000_000_000_000;

/// The rates. One that makes no sense limits nothing: the pod's other traits stand.
pub(super) fn bandwidth(annotations: &BTreeMap<String, String>) -> PodBandwidth {
    let of = |key| annotations.get(key).and_then(|text| rate(text));
    PodBandwidth { ingress: of(INGRESS), egress: of(EGRESS) }
}

/// The annotations that give no rate, with what they say, for a warning.
pub(crate) fn senseless_rates(annotations: &BTreeMap<String, String>) -> Vec<(&'static str, &str)> {
    let said = [INGRESS, EGRESS].into_iter().filter_map(|key| Some((key, annotations.get(key)?.as_str())));
    said.filter(|(_, text)| rate(text).is_none()).collect()
}

fn rate(text: &str) -> Option<u64> {
    quantity(text).filter(|rate| RATES.contains(rate))
}

/// A Kubernetes quantity, rounded down to a whole number: digits with or without a fraction, of which one may be left
/// out, and behind them a decimal or binary suffix or an exponent.
fn quantity(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (number, (unit, part)) = match digits.split_once(['e', 'E']) {
        Some((number, exponent)) if digits == text => (number, power(exponent)?),
        _ => (digits, unit(&text[digits.len()..])?),
    };
    let number = number.strip_prefix('+').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    // Without its dot, in units of the fraction's last digit.
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let number = digits(whole)?.checked_mul(scale)?.checked_add(digits(fraction)?)?;
    u64::try_from(number.checked_mul(unit)? / scale.checked_mul(part)?).ok()
}

/// Ten to this power, as what is multiplied with and what is divided by.
fn power(exponent: &str) -> Option<(u128, u128)> {
    let exponent = exponent.parse::<i32>().ok()?;
    let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
    Some(if exponent < 0 { (1, power) } else { (power, 1) })
}

/// What a suffix multiplies with, and what it divides by.
fn unit(suffix: &str) -> Option<(u128, u128)> {
    Some(match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, expected) in [
            ("10M", 10_000_000),
            ("1Gi", 1 << 30),
            ("5000", 5000),
            ("1.5M", 1_500_000),
            ("1.5Mi", 3 << 19),
            ("0.0001k", 0),
            ("1.", 1),
            ("3e6", 3_000_000),
            ("1.5E9", 1_500_000_000),
            ("3000000e-3", 3000),
            (".5M", 500_000),
            ("+1.5M", 1_500_000),
            ("1000000000m", 1_000_000),
            ("5000000u", 5),
            ("7000000000n", 7),
            ("1999m", 1),
            ("1E", 1_000_000_000_000_000_000),
            ("1Ei", 1 << 60),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(quantity(text), Some(expected), "{text}");
        }
        let long = format!("1.{}", "0".repeat(50));
        let senseless =
            ["", "M", ".", ".M", "+", "-1M", "+-1M", "1.xM", "1.-1M", "1.+1M", "10MB", "99999999999P", "1e"];
        for text in senseless.into_iter().chain(["e3", "1e-99", "1e99", "1e3M", &long]) {
            assert_eq!(quantity(text), None, "{text}");
        }
    }

    #[test]
    fn a_rate_that_makes_no_sense_limits_nothing() {
        let annotations = |ingress: &str, egress: &str| {
            BTreeMap::from([(INGRESS.to_owned(), ingress.to_owned()), (EGRESS.to_owned(), egress.to_owned())])
        };
        let both = annotations("10M", "1k");
        assert_eq!(bandwidth(&both), PodBandwidth { ingress: Some(10_000_000), egress: Some(1000) });
        assert!(senseless_rates(&both).is_empty());
        let one = annotations("fast", "1P");
        assert_eq!(bandwidth(&one), PodBandwidth { ingress: None, egress: Some(1_000_000_000_000_000) });
        assert_eq!(senseless_rates(&one), [(INGRESS, "fast")]);
        let none = annotations("999", "1.1P");
        assert_eq!(bandwidth(&none), PodBandwidth::default());
        assert_eq!(senseless_rates(&none), [(INGRESS, "999"), (EGRESS, "1.1P")]);
        assert_eq!(bandwidth(&BTreeMap::new()), PodBandwidth::default());
        assert!(senseless_rates(&BTreeMap::new()).is_empty());
    }
}
