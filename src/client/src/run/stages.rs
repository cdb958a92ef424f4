//! Where the time until a pod was ready went: a line for the console.

use std::time::{Duration, Instant};

use peapod_api::v1;
use serde_json::Value;

use crate::connect::{CriClient, QUICK, call};
use crate::units;

/// The stages so far.
#[derive(Debug)]
pub(super) struct StageLine {
    begun: Instant,
    parts: Vec<String>,
}

impl StageLine {
    /// The pod is asked for now.
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), parts: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &str, took: Duration) {
        self.parts.push(format!("{name} {}", short(took)));
    }

    /// The pod was made. What part of it the network was is known of peapod alone.
    pub(super) async fn add_pod(&mut self, connection: &CriClient, pod: &str, took: Duration) {
        self.add("sandbox", took);
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.to_owned(), verbose: true };
        let status = call("PodSandboxStatus", QUICK, connection.runtime.clone().pod_sandbox_status(request)).await;
        let told = status.ok().and_then(|status| status.info.get("operations").and_then(|list| network(list)));
        if let Some(took) = told {
            self.add("network", took);
        }
    }

    /// All of them, now that the pod is ready.
    pub(super) fn ready(&self) -> String {
        let ready = format!("ready {}", units::duration(self.begun.elapsed()));
        let parts: Vec<&str> = self.parts.iter().map(String::as_str).chain([ready.as_str()]).collect();
        parts.join(" · ")
    }
}

fn short(took: Duration) -> String {
    if took < Duration::from_secs(1) { format!("{} ms", took.as_millis().max(1)) } else { units::duration(took) }
}

/// The stage `network` of RunPodSandbox, wherever it stands among peapod's stages.
fn network(list: &str) -> Option<Duration> {
    let told: Value = serde_json::from_str(list).ok()?;
    let operations = told.get("operations")?.as_array()?;
    let made =
        operations.iter().find(|operation| operation.get("name").and_then(Value::as_str) == Some("RunPodSandbox"))?;
    let ms = stage(made, "network")?;
    (ms.is_finite() && ms >= 0.0).then(|| Duration::from_secs_f64((ms / 1000.0).min(3600.0)))
}

fn stage(of: &Value, name: &str) -> Option<f64> {
    let stages = of.get("stages")?.as_array()?;
    let own = stages.iter().find(|stage| stage.get("name").and_then(Value::as_str) == Some(name));
    match own {
        Some(own) => own.get("ms")?.as_f64(),
        None => stages.iter().find_map(|inner| stage(inner, name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_found_in_what_peapod_tells() {
        let told = r#"{"operations":[{"name":"StopPodSandbox","stages":[{"name":"network","ms":9}]},
            {"name":"RunPodSandbox","stages":[{"name":"set-up","ms":7,"stages":[{"name":"network","ms":2.5}]}]}]}"#;
        assert_eq!(network(told), Some(Duration::from_micros(2500)));
        assert_eq!((network("{}"), network("[")), (None, None));
        let mut line = StageLine::begin();
        line.add("sandbox", Duration::from_micros(3400));
        line.add("web", Duration::from_millis(1250));
        let said = line.ready();
        assert!(said.starts_with("sandbox 3 ms · web 1.2 s · ready 0.0 s"), "{said}");
    }
}
