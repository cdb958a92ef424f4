//! `peapod check node`: plugins that see and change containers, as a runtime tells of them.

use serde_json::Value;

use super::report::CheckReport;
use crate::connect::{CriClient, QUICK, call};

/// Those that there are, and what stands against others. Nothing of a runtime that does not tell.
pub(super) async fn check_plugins(connection: &CriClient) -> anyhow::Result<CheckReport> {
    let request = peapod_api::v1::StatusRequest { verbose: true };
    let answer = call("Status", QUICK, connection.runtime.clone().status(request)).await?;
    let told = answer.info.get("nri").and_then(|text| serde_json::from_str(text).ok());
    Ok(told.as_ref().map(report).unwrap_or_default())
}

fn report(told: &Value) -> CheckReport {
    let mut report = CheckReport::default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let plugins = list(&told["plugins"]);
    let names: Vec<_> = plugins.iter().map(|plugin| text(&plugin["name"])).collect();
    let found = match (names.is_empty(), told["socket"].as_str()) {
        (false, _) => names.join(", "),
        (true, Some(socket)) => format!("none; they connect to {socket}"),
        (true, None) => "none can connect".to_owned(),
    };
    report.works("NRI plugins", found);
    for plugin in plugins.iter().filter(|plugin| plugin["ready"] == false) {
        report.notice(&text(&plugin["name"]), "is being told what there is", None);
    }
    let is_there = |required: &str| names.iter().any(|name| name.split_once('-').is_some_and(|(_, of)| of == required));
    for required in list(&told["requiredPlugins"]).iter().filter_map(Value::as_str) {
        if !is_there(required) {
            let way_out = "start it, or look at nri.required_plugins: without it no pod is made";
            report.fails(required, "this NRI plugin is required and not connected", way_out);
        }
    }
    for (name, reason) in told["down"].as_object().into_iter().flatten() {
        let found = format!("this installed NRI plugin does not run: {}", text(reason));
        report.fails(name, found, "read the runtime's log, which has what it said");
    }
    report
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::report;

    #[test]
    fn plugins_and_what_is_missing_are_told() {
        let of = |plugins, required, down| {
            let told = json!({
                "socket": "/run/nri.sock", "plugins": plugins, "requiredPlugins": required, "down": down,
            });
            report(&told)
        };
        let none = of(json!([]), json!([]), json!({}));
        assert!(!none.has_failed() && none.text().contains("none; they connect to /run/nri.sock"), "{}", none.text());
        let here = json!([{"name": "10-here", "ready": true}, {"name": "20-new", "ready": false}]);
        let good = of(here.clone(), json!(["here"]), json!({}));
        assert!(!good.has_failed() && good.text().contains("10-here, 20-new"), "{}", good.text());
        assert!(good.text().contains("being told what there is"), "{}", good.text());
        let bad = of(here, json!(["her"]), json!({"30-gone": "exit status: 1"}));
        assert!(bad.has_failed());
        for part in ["her ", "required and not connected", "30-gone", "does not run: exit status: 1"] {
            assert!(bad.text().contains(part), "{part}: {}", bad.text());
        }
    }
}
