//! `peapod check handlers`: what pods can name in a RuntimeClass, and where each comes from.

use serde_json::Value;

use super::report::CheckReport;
use crate::connect::{CriClient, QUICK, call};
use crate::table::table;

/// The handlers in short, and the table of them.
pub(super) async fn check_handlers(connection: &CriClient) -> anyhow::Result<(CheckReport, String)> {
    let request = peapod_api::v1::StatusRequest { verbose: true };
    let answer = call("Status", QUICK, connection.runtime.clone().status(request)).await?;
    let told = answer.info.get("config").and_then(|text| serde_json::from_str::<Value>(text).ok());
    let told = told
        .filter(|told| told["runtimes"].as_object().is_some_and(|all| all.values().all(|it| it["from"].is_string())));
    let told =
        told.ok_or_else(|| anyhow::anyhow!("{} does not tell where its handlers come from", connection.runtime_name))?;
    Ok(report(&told))
}

fn report(told: &Value) -> (CheckReport, String) {
    let (mut report, mut rows, mut offered) = (CheckReport::default(), Vec::new(), Vec::new());
    for (name, runtime) in told["runtimes"].as_object().into_iter().flatten() {
        let text = |key: &str| runtime[key].as_str().unwrap_or_default();
        let state = if runtime["refused"].is_string() { "refused" } else { "offered" };
        rows.push([name, text("path"), text("from"), state].map(str::to_owned).into());
        match runtime["refused"].as_str() {
            None => offered.push(name.as_str()),
            // Nobody asked for one that was found.
            Some(reason) if text("from") == "PATH" => report.notice(name, "is no handler", Some(reason)),
            Some(reason) => report.fails(name, "no pod can have this handler", reason),
        }
    }
    for program in told["leftOutPrograms"].as_array().into_iter().flatten() {
        let path = program["path"].as_str().unwrap_or_default();
        report.notice("handlers", format!("{path} is none"), program["reason"].as_str());
    }
    let default = told["defaultRuntime"].as_str().unwrap_or_default();
    report.works("handlers", format!("{}; without a RuntimeClass {default}", offered.join(", ")));
    (report, format!("\n{}", table(&["HANDLER", "PROGRAM", "FROM", "STATE"], &rows)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::report;

    #[test]
    fn handlers_and_what_is_none_are_told() {
        let told = |more| {
            json!({
                "defaultRuntime": "crun",
                "runtimes": {
                    "crun": {"path": "/usr/bin/crun", "from": "PATH"},
                    "kata": {"path": "/opt/kata", "from": more, "refused": "since Kata 2.0"},
                },
                "leftOutPrograms": [{"path": "/x/youki", "reason": "others can change it"}],
            })
        };
        let (found, table) = report(&told("configuration"));
        let text = found.text();
        assert!(found.has_failed(), "{text}");
        for part in
            ["no pod can have this handler", "since Kata 2.0", "/x/youki is none", "others can change", "crun; without"]
        {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(
            table.contains("crun") && table.contains("/usr/bin/crun   PATH") && table.contains("refused"),
            "{table}"
        );
        assert!(!report(&told("PATH")).0.has_failed());
    }
}
