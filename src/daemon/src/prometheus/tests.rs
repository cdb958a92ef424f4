//! All families, as docs/metrics.md lists them.

use std::fmt::Write as _;

use crate::prometheus::family::{FamilyKind, MetricFamily};
use crate::prometheus::{calls, files, images, plugins, pods, process, sessions, spans, stores};

fn all() -> Vec<&'static MetricFamily> {
    let all: [&'static [MetricFamily]; 9] = [
        &calls::FAMILIES,
        &pods::FAMILIES,
        &plugins::FAMILIES,
        &images::FAMILIES,
        &stores::FAMILIES,
        &sessions::FAMILIES,
        &spans::FAMILIES,
        &files::FAMILIES,
        &process::FAMILIES,
    ];
    all.into_iter().flatten().collect()
}

fn table() -> String {
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for MetricFamily { name, kind, labels, help } in all() {
        let (ends, kind) = match kind {
            FamilyKind::Counter => ("_total", "counter"),
            FamilyKind::Gauge => ("", "gauge"),
            FamilyKind::Histogram => ("", "histogram"),
            FamilyKind::Info => ("_info", "info"),
        };
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        writeln!(table, "| `{name}{ends}` | {kind} | {labels} | {help} |").unwrap();
    }
    table
}

#[test]
fn the_document_lists_all_metrics() {
    let document = include_str!("../../../../docs/metrics.md");
    let table = table();
    assert!(document.contains(&table), "docs/metrics.md should have this table:\n{table}");
}

#[test]
fn names_are_as_prometheus_wants_them() {
    let mut names: Vec<_> = all().iter().map(|family| family.name).collect();
    for MetricFamily { name, kind, labels, help } in all() {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(plain(name) && labels.iter().all(|label| plain(label)), "{name}");
        assert!(name.starts_with("peapod_") || name.starts_with("process_"), "{name}");
        assert!(!name.ends_with("_total") && !name.ends_with("_info"), "{name}: its type adds that");
        assert!(*kind != FamilyKind::Histogram || name.ends_with("_seconds"), "{name}");
        assert!(help.ends_with('.') && !help.contains('|') && !help.contains('\n'), "{name}: {help}");
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands twice");
}
