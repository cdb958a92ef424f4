//! What is shipped for Prometheus and Grafana names metrics that there are.

use std::collections::BTreeSet;
use std::fs;

fn text(name: &str) -> String {
    fs::read_to_string(crate::root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every metric in the document's table, a histogram by the names of its series.
fn known() -> BTreeSet<String> {
    let document = text("docs/metrics.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let mut known = BTreeSet::new();
    for (name, rest) in rows {
        if rest.starts_with("histogram") {
            known.extend(["bucket", "count", "sum"].map(|series| format!("{name}_{series}")));
        } else {
            known.insert(name.to_owned());
        }
    }
    assert!(known.len() > 50, "{known:?}");
    known
}

/// Words of our own that stand in a file; a job, a title and a file have one that is no metric's.
fn named(file: &str) -> BTreeSet<String> {
    let text = text(file);
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("peapod_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

#[test]
fn rules_and_board_ask_for_metrics_that_there_are() {
    let known = known();
    for file in ["packaging/alerts.yaml", "packaging/grafana.json"] {
        let named = named(file);
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(named.len() > 10 && unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn chapters_name_metrics_that_there_are() {
    let known = known();
    for file in ["docs/kubelet.md", "docs/in-place-of-containerd.md", "docs/troubleshooting.md"] {
        let is_family = |word: &&String| known.iter().any(|name| name.starts_with(*word));
        let named = named(file);
        let unknown: Vec<_> = named.iter().filter(|word| !is_family(word)).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn the_board_is_one() {
    let board: serde_json::Value = serde_json::from_str(&text("packaging/grafana.json")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "an id stands twice: {panel}");
        if panel["type"] != "row" {
            let targets = panel["targets"].as_array().expect("targets");
            assert!(!targets.is_empty() && targets.iter().all(|target| target["expr"].is_string()), "{panel}");
        }
    }
}
