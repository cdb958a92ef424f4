//! ContainerStatus: all that is known about one container. Reads memory only; the verbose form also its config.json.

use std::collections::BTreeMap;

use peapod_api::v1::{ContainerStatusRequest, ContainerStatusResponse};
use peapod_pod::{ContainerState, ContainerView};
use peapod_spec::container::ContainerSpec;
use serde_json::{Map, Value, json};

use crate::cri::convert::{container_status, not_empty};
use crate::cri::services::find_container;
use crate::cri::status::Answer;
use crate::cri::{Services, operations};

pub(super) async fn handle(services: &Services, request: ContainerStatusRequest) -> Answer<ContainerStatusResponse> {
    let id = not_empty("container_id", request.container_id)?;
    let container = find_container(&services.pods.snapshot(), &id)?.1.clone();
    let info = if request.verbose { info(services, &container).await } else { BTreeMap::new() };
    Ok(ContainerStatusResponse { status: Some(container_status(&container)), info })
}

/// The request as it was checked; values of variables as text, for people.
fn config(spec: &ContainerSpec) -> Value {
    let mut config = json!(spec);
    if let Some(envs) = config.get_mut("envs") {
        *envs = spec
            .envs
            .iter()
            .map(|env| json!({ "key": env.key, "value": String::from_utf8_lossy(&env.value) }))
            .collect();
    }
    config
}

/// What scripts read of other runtimes has the same names here: `pid`, `sandboxID`, `privileged`, `config`,
/// `runtimeSpec`.
async fn info(services: &Services, container: &ContainerView) -> BTreeMap<String, String> {
    let pid = match container.state {
        ContainerState::Running { pid, .. } => pid,
        _ => 0,
    };
    // Absent for a container that was created by a release that kept none.
    let mut runtime_spec = match container.config_json().await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        Err(_) => Value::Null,
    };
    show_limits(services, container, &mut runtime_spec);
    let info = json!({
        "sandboxID": container.pod.as_str(),
        "pid": pid,
        "cgroup": container.cgroup,
        "bundle": container.bundle,
        "writableLayer": container.upper,
        "privileged": container.spec.security.privileged,
        "config": config(&container.spec),
        "runtimeSpec": runtime_spec,
    });
    let operations = operations::about(&services.tracer, |subject| subject.container_id() == container.id.as_str());
    operations::beside([("info", info)], operations)
}

/// The file has the limits of the start, or of the creation; these are those of the last update. What no client can
/// say stays as it is there: the devices, and what plugins have added.
fn show_limits(services: &Services, container: &ContainerView, runtime_spec: &mut Value) {
    let Some(shown) = runtime_spec.pointer_mut("/linux/resources").and_then(Value::as_object_mut) else { return };
    let limits = services.pods.limits_json(&container.spec.resources).ok();
    let Some(Value::Object(limits)) = limits.and_then(|json| serde_json::from_slice(&json).ok()) else { return };
    show(shown, limits);
}

/// What clients can say of each part.
const SAID: [(&str, &[&str]); 2] =
    [("cpu", &["shares", "period", "quota", "cpus", "mems"]), ("memory", &["limit", "swap"])];

fn show(shown: &mut Map<String, Value>, mut limits: Map<String, Value>) {
    for (part, said) in SAID {
        let mut own = limits.remove(part).and_then(|part| part.as_object().cloned()).unwrap_or_default();
        let before = shown.remove(part).and_then(|part| part.as_object().cloned()).unwrap_or_default();
        own.extend(before.into_iter().filter(|(key, _)| !said.contains(&key.as_str())));
        if !own.is_empty() {
            shown.insert(part.to_owned(), own.into());
        }
    }
    for whole in ["hugepageLimits", "unified"] {
        shown.remove(whole);
    }
    shown.extend(limits);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::show;

    #[test]
    fn limits_of_an_update_take_the_place_of_earlier_ones_and_of_nothing_else() {
        let mut shown = json!({
            "cpu": {"shares": 2, "quota": 5, "realtimePeriod": 7}, "memory": {"limit": 1}, "unified": {"memory.high": "1"},
            "pids": {"limit": 3}, "devices": [{"allow": false}],
        });
        let limits = json!({"cpu": {"shares": 4}, "hugepageLimits": []});
        let (Some(into), Some(limits)) = (shown.as_object_mut(), limits.as_object()) else { panic!() };
        show(into, limits.clone());
        let wanted = json!({
            "cpu": {"shares": 4, "realtimePeriod": 7}, "pids": {"limit": 3}, "devices": [{"allow": false}],
            "hugepageLimits": [],
        });
        assert_eq!(shown, wanted);
    }
}
