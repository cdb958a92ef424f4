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

/// A Kubernetes quantity as a whole number.
fn quantity(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 12] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("k", 1000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("e3", 1000),
        ("e6", 1_000_000),
    ];
    let unit = UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)));
    let (number, unit) = unit.unwrap_or((text, 1));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut value = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        value = value.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, expected) in
            [("10M", 10_000_000), ("1Gi", 1 << 30), ("5000", 5000), ("1.5M", 1_500_000), ("3e6", 3_000_000)]
        {
            assert_eq!(quantity(text), Some(expected), "{text}");
        }
        for text in ["", "M", "-1M", "1.xM", "10MB", "99999999999P"] {
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
