//! Amounts of resources, as Kubernetes writes them: `500m`, `1.5Gi`, `2e3`.

use std::fmt;

/// Parts of one: Kubernetes knows nothing smaller.
const NANO: i128 = 1_000_000_000;
/// Larger ones are this, as Kubernetes does it.
const LARGEST: i128 = i64::MAX as i128 * NANO;

/// An amount, exact to a billionth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity {
    nanos: i128,
}

impl Quantity {
    /// Nothing if the text is no quantity. What is smaller than a billionth is rounded away from zero.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return None;
        }
        let (twos, tens) = multiplier(suffix)?;
        let nanos = scaled(whole, fraction, twos, tens);
        Some(Self { nanos: if negative { -nanos } else { nanos } })
    }

    /// Thousandths, rounded up.
    pub(crate) fn milli(self) -> i64 {
        self.rounded(NANO / 1000)
    }

    /// Whole ones, rounded up.
    pub(crate) fn value(self) -> i64 {
        self.rounded(NANO)
    }

    pub(crate) fn is_zero(self) -> bool {
        self.nanos == 0
    }

    pub(super) fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { nanos: (self.nanos + other.nanos).min(LARGEST) }
    }

    /// So many whole ones.
    pub(crate) fn of(value: i64) -> Self {
        Self { nanos: i128::from(value) * NANO }
    }

    fn rounded(self, unit: i128) -> i64 {
        let up = self.nanos.rem_euclid(unit) != 0;
        i64::try_from(self.nanos.div_euclid(unit) + i128::from(up)).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nanos % NANO {
            0 => write!(f, "{}", self.nanos / NANO),
            _ if self.nanos % (NANO / 1000) == 0 => write!(f, "{}m", self.nanos * 1000 / NANO),
            _ => write!(f, "{}n", self.nanos),
        }
    }
}

/// Powers of two and of ten.
fn multiplier(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "" => (0, 0),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            let plain = digits.strip_prefix(['+', '-']).unwrap_or(digits);
            if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            // Far beyond what an amount can be, either way.
            (0, digits.parse().unwrap_or(if digits.starts_with('-') { -10_000 } else { 10_000 }))
        }
    })
}

/// In nanos, at most the largest amount.
fn scaled(whole: &str, fraction: &str, twos: u32, tens: i32) -> i128 {
    let digits = |text: &str| {
        text.bytes().try_fold(0_i128, |sum, digit| sum.checked_mul(10)?.checked_add(i128::from(digit - b'0')))
    };
    let shift = |number: i128, by: i32| -> Option<i128> {
        let number = number.checked_mul(1 << twos)?;
        if number == 0 {
            return Some(0);
        }
        match u32::try_from(by) {
            Ok(by) => number.checked_mul(10_i128.checked_pow(by)?),
            Err(_) => Some(match 10_i128.checked_pow(by.unsigned_abs()) {
                Some(divisor) => number / divisor + i128::from(number % divisor != 0),
                None => 1,
            }),
        }
    };
    // Digits that can't count are left out, but for that there is something.
    let kept = &fraction[..fraction.len().min(18)];
    let rest = i128::from(fraction[kept.len()..].bytes().any(|digit| digit != b'0'));
    let length = i32::try_from(kept.len()).unwrap_or_default();
    let whole = digits(whole).and_then(|number| shift(number, tens.saturating_add(9)));
    let part = digits(kept).and_then(|number| shift(number + rest, tens.saturating_add(9 - length)));
    match (whole, part) {
        (Some(whole), Some(part)) => whole.saturating_add(part).min(LARGEST),
        _ => LARGEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_counts() {
        for (text, milli, value) in [
            ("0", 0, 0),
            ("1", 1000, 1),
            ("+3", 3000, 3),
            ("-2", -2000, -2),
            ("0.5", 500, 1),
            (".5", 500, 1),
            ("5.", 5000, 5),
            ("100m", 100, 1),
            ("1500m", 1500, 2),
            ("1u", 1, 1),
            ("1n", 1, 1),
            ("0.1n", 1, 1),
            ("2000000n", 2, 1),
            ("1k", 1_000_000, 1000),
            ("1Ki", 1_024_000, 1024),
            ("1M", 1_000_000_000, 1_000_000),
            ("1.5Mi", 1_572_864_000, 1_572_864),
            ("1G", 1_000_000_000_000, 1_000_000_000),
            ("64Gi", 68_719_476_736_000, 68_719_476_736),
            ("1T", 1_000_000_000_000_000, 1_000_000_000_000),
            ("1Ti", 1_099_511_627_776_000, 1_099_511_627_776),
            ("1P", 1_000_000_000_000_000_000, 1_000_000_000_000_000),
            ("1Pi", 1_125_899_906_842_624_000, 1_125_899_906_842_624),
            ("1E", i64::MAX, 1_000_000_000_000_000_000),
            ("1Ei", i64::MAX, 1 << 60),
            ("1e3", 1_000_000, 1000),
            ("12E2", 1_200_000, 1200),
            ("1e-3", 1, 1),
            ("1.25e+2", 125_000, 125),
            ("99E", i64::MAX, i64::MAX),
            ("1e99999999999", i64::MAX, i64::MAX),
            ("1e-99999999999", 1, 1),
            ("0e99999999999", 0, 0),
            ("100000000000000000000000000000000000000000000", i64::MAX, i64::MAX),
            ("0.00000000000000000000000000000000000000001", 1, 1),
        ] {
            let quantity = Quantity::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((quantity.milli(), quantity.value()), (milli, value), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in
            ["", "-", ".", "m", "1K", "1mi", "1 Gi", "1.2.3", "1e", "1e1.5", "Gi", "1GiB", "one", "1e+-2", "--1"]
        {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn they_are_shown_in_the_unit_that_fits() {
        for (text, shown) in [("1", "1"), ("0.25", "250m"), ("5n", "5n"), ("1Ki", "1024")] {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), shown);
        }
        assert!(Quantity::parse("-1").unwrap().is_negative() && Quantity::parse("0").unwrap().is_zero());
        assert_eq!(Quantity::parse("500m").unwrap().plus(Quantity::of(1)).milli(), 1500);
    }
}
