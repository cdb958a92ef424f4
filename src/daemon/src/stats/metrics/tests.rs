use std::collections::BTreeSet;

use super::*;

/// What cAdvisor, as it is in kubelets, calls them. critest wants all of these that a node can tell.
const NAMES: usize = 56;

#[test]
fn each_metric_has_a_name_of_its_own_and_a_meaning() {
    let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), NAMES);
    assert!(METRICS.iter().map(|metric| metric.name).eq(names), "not in the order of names");
    for metric in &METRICS {
        assert!(metric.help.ends_with('.') && metric.name.starts_with("container_"), "{}", metric.name);
        let (total, inodes) = (metric.name.ends_with("_total"), metric.name == "container_fs_inodes_total");
        let counts = (total && !inodes) || metric.name.ends_with("_failcnt");
        assert_eq!(metric.kind == MetricKind::Counter, counts, "{}", metric.name);
    }
}

#[test]
fn what_is_announced() {
    let line = |metric: &Metric| {
        let (kind, needs) = (metric.kind, metric.needs);
        format!("{} {kind:?} [{}] {needs:?}\n    {}\n", metric.name, metric.labels().join(" "), metric.help)
    };
    let text: String = METRICS.iter().map(line).collect();
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/metrics.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "UPDATE_GOLDEN=1 writes it anew");
}
