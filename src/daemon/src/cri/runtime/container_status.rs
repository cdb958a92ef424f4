//! ContainerStatus: all that is known about one container. Reads memory only; the verbose form also its config.json.

use std::collections::BTreeMap;

use peapod_api::v1::{ContainerStatusRequest, ContainerStatusResponse};
use peapod_pod::{ContainerState, ContainerView};
use peapod_spec::container::ContainerSpec;
use serde_json::{Value, json};

use crate::cri::Node;
use crate::cri::convert::{container_status, not_empty};
use crate::cri::node::find_container;
use crate::cri::status::Answer;

pub(super) async fn handle(node: &Node, request: ContainerStatusRequest) -> Answer<ContainerStatusResponse> {
    let id = not_empty("container_id", request.container_id)?;
    let container = find_container(&node.pods.snapshot(), &id)?.1.clone();
    let info = if request.verbose { info(&container).await } else { BTreeMap::new() };
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

async fn info(container: &ContainerView) -> BTreeMap<String, String> {
    let pid = match container.state {
        ContainerState::Running { pid, .. } => pid,
        _ => 0,
    };
    // Absent before the first start: then there is nothing to show.
    let runtime_spec = match tokio::fs::read(container.bundle.join("config.json")).await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        Err(_) => Value::Null,
    };
    let info = json!({
        "sandboxID": container.pod.as_str(),
        "pid": pid,
        "cgroup": container.cgroup,
        "bundle": container.bundle,
        "writableLayer": container.upper,
        "config": config(&container.spec),
        "runtimeSpec": runtime_spec,
    });
    BTreeMap::from([("info".to_owned(), info.to_string())])
}
