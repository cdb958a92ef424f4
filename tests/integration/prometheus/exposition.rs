//! A strict reader of OpenMetrics text: what it does not take, a scraper may not take either.

use std::collections::{BTreeMap, BTreeSet};

/// Labels, sorted by name.
type Labels = BTreeMap<String, String>;

/// One scrape.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    /// Types by family.
    pub(super) families: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Scrape {
    /// Reads all of it.
    pub(super) fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
        let (mut scrape, mut current, mut described) = (Self::default(), String::new(), BTreeSet::new());
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (what, family) = (words.next().unwrap(), words.next().unwrap().to_owned());
                let rest = words.next().unwrap_or_default();
                assert!(described.insert((what.to_owned(), family.clone())), "twice: {line}");
                match what {
                    "HELP" => assert!(!rest.is_empty(), "{line}"),
                    "TYPE" => assert_eq!(scrape.families.insert(family.clone(), rest.to_owned()), None, "{line}"),
                    "UNIT" => assert!(family.ends_with(&format!("_{rest}")), "{line}"),
                    _ => panic!("what is that? {line}"),
                }
                current = family;
            } else {
                scrape.sample(line, &current);
            }
        }
        scrape.check_histograms();
        scrape
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        let (name, labels) = match series.split_once('{') {
            None => (series, Labels::new()),
            Some((name, rest)) => (name, labels(rest.strip_suffix('}').unwrap_or_else(|| panic!("no }}: {line}")))),
        };
        let kind = self.families.get(family).unwrap_or_else(|| panic!("no type before {line}"));
        let ends: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => panic!("{kind}?"),
        };
        assert!(ends.iter().any(|end| name == format!("{family}{end}")), "{line} is not of {family}, a {kind}");
        assert!(value >= 0.0 && value.is_finite(), "{line}");
        assert_eq!(self.samples.insert((name.to_owned(), labels), value), None, "twice: {line}");
    }

    fn check_histograms(&self) {
        let mut histograms: BTreeMap<(&str, Labels), Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            if let Some(family) = name.strip_suffix("_bucket") {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect("a bucket's bound").replace("+Inf", "inf");
                histograms.entry((family, labels)).or_default().push((bound.parse().expect("a number"), *value));
            }
        }
        for ((family, labels), mut buckets) in histograms {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by(|one, other| one.1 <= other.1), "{family}{labels:?}: {buckets:?}");
            let count = self.samples[&(format!("{family}_count"), labels.clone())];
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{family}{labels:?}");
            assert!(self.samples.contains_key(&(format!("{family}_sum"), labels)), "{family}");
        }
    }

    /// The sum of all samples of that name that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |of: &Labels| labels.iter().all(|(name, value)| of.get(*name).is_some_and(|found| found == value));
        self.samples.iter().filter(|((found, of), _)| found == name && has(of)).map(|(_, value)| value).sum()
    }

    /// All values of a label.
    pub(super) fn values(&self, label: &str) -> BTreeSet<&str> {
        self.samples.keys().filter_map(|(_, labels)| labels.get(label).map(String::as_str)).collect()
    }
}

fn labels(text: &str) -> Labels {
    let (mut labels, mut rest) = (Labels::new(), text);
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("no value: {rest}"));
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name:?}");
        let mut end = None;
        let mut escaped = false;
        for (at, c) in value.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let end = end.unwrap_or_else(|| panic!("no end: {value}"));
        assert_eq!(labels.insert(name.to_owned(), value[..end].to_owned()), None, "{text}");
        rest = &value[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels
}

#[test]
fn what_is_wrong_is_refused() {
    let good = "# HELP a_seconds A.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\na_seconds_sum{b=\"c\"} 1\n\
                a_seconds_count{b=\"c\"} 2\na_seconds_bucket{le=\"1.0\",b=\"c\"} 1\na_seconds_bucket{le=\"+Inf\",b=\"c\"} 2\n\
                # EOF\n";
    let read = Scrape::parse(good);
    assert_eq!((read.sum("a_seconds_count", &[("b", "c")]), read.sum("a_seconds_count", &[("b", "d")])), (2.0, 0.0));
    for (from, to) in [
        ("# EOF\n", ""),
        ("histogram", "gauge"),
        ("} 2\n# EOF", "} 3\n# EOF"),
        ("le=\"1.0\",b=\"c\"} 1", "le=\"1.0\",b=\"c\"} 3"),
        ("_sum{b=\"c\"} 1", "_sum{b=\"c} 1"),
        ("_count{b=\"c\"} 2", "_sum{b=\"c\"} 2"),
        ("UNIT a_seconds seconds", "UNIT a_seconds bytes"),
    ] {
        let bad = good.replace(from, to);
        assert!(std::panic::catch_unwind(|| Scrape::parse(&bad)).is_err(), "{bad}");
    }
}
