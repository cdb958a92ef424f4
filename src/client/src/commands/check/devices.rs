//! `peapod check devices`: what containers can have by CDI name, and the files that can't be used.

use serde_json::Value;

use super::report::CheckReport;
use crate::connect::{CriClient, QUICK, call};
use crate::table::table;

/// The devices in short, and the table of them.
pub(super) async fn check_devices(connection: &CriClient) -> anyhow::Result<(CheckReport, String)> {
    let request = peapod_api::v1::StatusRequest { verbose: true };
    let answer = call("Status", QUICK, connection.runtime.clone().status(request)).await?;
    let told = answer.info.get("cdi").and_then(|text| serde_json::from_str(text).ok());
    let told = told.ok_or_else(|| anyhow::anyhow!("{} does not tell of its CDI devices", connection.runtime_name))?;
    Ok(report(&told))
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn report(told: &Value) -> (CheckReport, String) {
    let mut report = CheckReport::default();
    let dirs = texts(&told["specDirs"]).join(", ");
    if let Some(error) = told["error"].as_str() {
        report.fails("CDI devices", format!("{dirs}: {error}"), "look at that folder's file system");
        return (report, String::new());
    }
    if dirs.is_empty() {
        report.notice("CDI devices", "none can be had", Some("cdi.spec_dirs in peapod's configuration is empty"));
        return (report, String::new());
    }
    let all: Vec<&Value> = told["devices"].as_array().into_iter().flatten().collect();
    report.works("CDI devices", format!("{} in {dirs}", all.len()));
    for device in &all {
        if let [one, other, ..] = texts(&device["files"])[..] {
            let name = device["name"].as_str().unwrap_or_default();
            report.fails(name, format!("{one} and {other} both describe it"), "remove it from one of them");
        }
    }
    for broken in told["broken"].as_array().into_iter().flatten() {
        let text = |key: &str| broken[key].as_str().unwrap_or_default();
        let way_out = "mend or remove it, or have its driver write it anew; its devices can't be had";
        report.fails("CDI file", format!("{}: {}", text("path"), text("problem")), way_out);
    }
    if let Some(more) = told["leftOut"].as_u64().filter(|more| *more > 0) {
        report.notice("CDI devices", format!("{more} more devices and files are not shown"), None);
    }
    let row = |device: &&Value| {
        vec![device["name"].as_str().unwrap_or_default().to_owned(), texts(&device["files"]).join(" ")]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let text = if rows.is_empty() { String::new() } else { format!("\n{}", table(&["DEVICE", "FILE"], &rows)) };
    (report, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::report;

    #[test]
    fn devices_and_what_stands_against_them_are_told() {
        let (found, table) = report(&json!({
            "specDirs": ["/etc/cdi", "/run/cdi"],
            "devices": [
                {"name": "v.com/c=0", "files": ["/etc/cdi/a.json"]},
                {"name": "v.com/c=1", "files": ["/etc/cdi/a.json", "/etc/cdi/b.json"]},
            ],
            "broken": [{"path": "/run/cdi/c.yaml", "problem": "line 3: unknown field `x`"}],
            "leftOut": 7,
        }));
        assert!(found.has_failed());
        let text = found.text();
        for part in [
            "CDI devices  2 in /etc/cdi, /run/cdi",
            "v.com/c=1    /etc/cdi/a.json and /etc/cdi/b.json both describe it",
            "/run/cdi/c.yaml: line 3: unknown field `x`",
            "7 more",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(table.contains("v.com/c=1   /etc/cdi/a.json /etc/cdi/b.json"), "{table}");
        let (none, table) = report(&json!({"specDirs": ["/etc/cdi"], "devices": [], "broken": [], "leftOut": 0}));
        assert!(!none.has_failed() && table.is_empty(), "{}", none.text());
        let (off, _) = report(&json!({"specDirs": [], "devices": [], "broken": [], "leftOut": 0}));
        assert!(!off.has_failed() && off.text().contains("cdi.spec_dirs"), "{}", off.text());
        let (dead, _) = report(&json!({"specDirs": ["/etc/cdi"], "error": "dead"}));
        assert!(dead.has_failed() && dead.text().contains("/etc/cdi: dead"));
    }
}
