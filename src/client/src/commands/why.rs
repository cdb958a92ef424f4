//! `peapod why`: what an operation does now, and what the last ones did, stage by stage.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use peapod_api::v1;
use peapod_text::one_line;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::WhyArgs;
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::run::PodBeingMade;
use crate::select;
use crate::targets::{Targets, Whole};

/// Where a verbose status of peapod's has its operations.
const KEY: &str = "operations";
/// Pods, and containers, that one name may mean.
const MOST: usize = 16;
/// Stages in each other that are shown; peapod's are five deep.
const DEPTH: usize = 16;

/// An operation, as peapod tells it. What is missing is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ToldOperation {
    name: String,
    #[serde(flatten)]
    subject: ToldSubject,
    began_at: String,
    ms: f64,
    state: String,
    code: String,
    error: String,
    waiting_for: String,
    stages_left_out: u32,
    stages: Vec<ToldStage>,
}

/// What it is about.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ToldSubject {
    namespace: String,
    pod: String,
    pod_id: String,
    container: String,
    container_id: String,
    image: String,
}

/// A stage, with those that are in it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ToldStage {
    name: String,
    about: String,
    ms: f64,
    is_running: bool,
    is_critical: bool,
    has_failed: bool,
    stages: Vec<ToldStage>,
}

/// Prints the stages of what is done, and was, with a pod, a container or an image.
pub(crate) async fn why(connection: &CriClient, args: &WhyArgs) -> anyhow::Result<String> {
    let wanted = args.what.as_str();
    let request = v1::StatusRequest { verbose: true };
    let status = call("Status", QUICK, connection.runtime.clone().status(request)).await?;
    let Some(all) = status.info.get(KEY) else {
        anyhow::bail!("{} tells no stages of what it does; peapod does", connection.runtime_name);
    };
    let mut found = Found::default();
    let named = NamedPods::look(connection, args).await?;
    found.add(all, |operation| is_about(&operation.subject, wanted) || named.has(&operation.subject))?;
    let mut is_known = found.add_known(connection, wanted).await?;
    for id in named.ids.iter().take(if is_known { 0 } else { MOST }) {
        is_known |= found.add_known(connection, id).await?;
    }
    if found.0.is_empty() {
        anyhow::ensure!(!named.are_made, "`{wanted}` is being made, and nothing of that is remembered yet");
        anyhow::ensure!(is_known, "there is no pod, container or image `{wanted}`, and nothing that failed names it");
        anyhow::bail!(
            "nothing is remembered of `{wanted}`: it was last changed before peapod was started, or long ago"
        );
    }
    let mut operations: Vec<(ToldOperation, Value)> = found.0.into_values().collect();
    operations.sort_by(|one, other| one.0.began_at.cmp(&other.0.began_at));
    if args.json {
        let values: Vec<Value> = operations.into_iter().map(|(_, value)| value).collect();
        return super::json(&values);
    }
    let texts: Vec<String> = operations.iter().map(|(operation, _)| text(operation)).collect();
    Ok(texts.join("\n"))
}

/// Pods that a word means which is no name of theirs, or which no runtime has yet.
struct NamedPods {
    ids: Vec<String>,
    /// Of those that are being made.
    images: Vec<String>,
    are_made: bool,
}

impl NamedPods {
    async fn look(connection: &CriClient, args: &WhyArgs) -> anyhow::Result<Self> {
        let whole = Whole::look(connection).await?;
        let words = std::slice::from_ref(&args.what);
        // It may be a container's or an image's.
        let found = whole.find(Targets { words, ..Targets::default() }, |_| false);
        let is_named = |made: &&PodBeingMade| found.being_made.iter().any(|pod| made.is(pod));
        let images = whole.being_made.iter().filter(is_named).flat_map(|made| made.images.clone()).collect();
        let ids = found.pods.into_iter().map(|pod| pod.id).collect();
        Ok(Self { ids, images, are_made: !found.being_made.is_empty() })
    }

    fn has(&self, subject: &ToldSubject) -> bool {
        let is_pull = subject.pod.is_empty() && subject.container.is_empty() && !subject.image.is_empty();
        self.ids.contains(&subject.pod_id) || is_pull && self.images.iter().any(|image| is_image(&subject.image, image))
    }
}

/// What a verbose status has under [`KEY`].
#[derive(Default, Deserialize)]
#[serde(default)]
struct ToldOperations {
    operations: Vec<Value>,
}

/// Operations by their ids.
#[derive(Default)]
struct Found(BTreeMap<String, (ToldOperation, Value)>);

impl Found {
    fn add(&mut self, list: &str, is_one: impl Fn(&ToldOperation) -> bool) -> anyhow::Result<()> {
        let told: ToldOperations = serde_json::from_str(list).context("the runtime's operations can't be read")?;
        for value in told.operations {
            let operation = ToldOperation::deserialize(&value).context("the runtime's operations can't be read")?;
            if is_one(&operation) {
                let id = value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                self.0.insert(id, (operation, value));
            }
        }
        Ok(())
    }

    /// Those of pods, containers and images that there are; whether there is one.
    async fn add_known(&mut self, connection: &CriClient, wanted: &str) -> anyhow::Result<bool> {
        let mut is_known = false;
        let runtime = &connection.runtime;
        let request = v1::ListPodSandboxRequest { filter: None };
        let pods = call("ListPodSandbox", QUICK, runtime.clone().list_pod_sandbox(request)).await?.items;
        for pod in pods.into_iter().filter(|pod| select::is_meant(pod, wanted)).take(MOST) {
            let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.id, verbose: true };
            let status = call("PodSandboxStatus", QUICK, runtime.clone().pod_sandbox_status(request)).await;
            is_known |= self.add_info(status.map(|status| status.info))?;
        }
        let request = v1::ListContainersRequest { filter: None };
        let containers = call("ListContainers", QUICK, runtime.clone().list_containers(request)).await?.containers;
        let is_meant = |container: &v1::Container| {
            has_id(&container.id, wanted) || (!is_known && select::container_name(container) == wanted)
        };
        let meant: Vec<_> = containers.into_iter().filter(is_meant).take(MOST).collect();
        for container in meant {
            let request = v1::ContainerStatusRequest { container_id: container.id, verbose: true };
            let status = call("ContainerStatus", QUICK, runtime.clone().container_status(request)).await;
            is_known |= self.add_info(status.map(|status| status.info))?;
        }
        if !is_known {
            let request = v1::ListImagesRequest { filter: None };
            let images = call("ListImages", QUICK, connection.image.clone().list_images(request)).await?.images;
            let is_meant = |image: &v1::Image| {
                let mut names = image.repo_tags.iter().chain(&image.repo_digests);
                names.any(|name| is_image(name, wanted)) || has_id(select::short(&image.id), select::short(wanted))
            };
            for image in images.into_iter().filter(is_meant).take(MOST) {
                let image = Some(v1::ImageSpec { image: image.id, ..Default::default() });
                let request = v1::ImageStatusRequest { image, verbose: true };
                let status = call("ImageStatus", QUICK, connection.image.clone().image_status(request)).await;
                is_known |= self.add_info(status.map(|status| status.info))?;
            }
        }
        Ok(is_known)
    }

    /// False for what was removed this moment.
    fn add_info(&mut self, info: Result<BTreeMap<String, String>, CallError>) -> anyhow::Result<bool> {
        match info {
            Ok(info) => {
                info.get(KEY).map_or(Ok(()), |list| self.add(list, |_| true))?;
                Ok(true)
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a name, or the beginning of an id, means what an operation is about: also of a pod that is being made, or
/// that is gone.
fn is_about(subject: &ToldSubject, wanted: &str) -> bool {
    if wanted.is_empty() {
        return false;
    }
    let ToldSubject { namespace, pod, pod_id, container, container_id, image } = subject;
    let is_pod = match wanted.split_once('/') {
        Some((of, name)) => of == namespace && name == pod,
        None => wanted == pod,
    };
    let is_image = container.is_empty() && !image.is_empty() && is_image(image, wanted);
    is_pod
        || (!container.is_empty() && container == wanted)
        || has_id(pod_id, wanted)
        || has_id(container_id, wanted)
        || is_image
}

/// The whole name, its end, and each without the tag.
fn is_image(image: &str, wanted: &str) -> bool {
    let start = image.rfind('/').map_or(0, |at| at + 1);
    let bare = image[start..].find([':', '@']).map_or(image, |at| &image[..start + at]);
    let ends = |name: &str| name == wanted || name.strip_suffix(wanted).is_some_and(|before| before.ends_with('/'));
    ends(image) || ends(bare)
}

fn has_id(id: &str, wanted: &str) -> bool {
    wanted.len() >= 4 && id.starts_with(wanted)
}

/// For people: the operation, then a line for each stage.
fn text(operation: &ToldOperation) -> String {
    let ToldOperation { name, subject, began_at, ms, state, .. } = operation;
    let mut text = name.clone();
    let pod = [&*subject.namespace, &*subject.pod].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>();
    let mut parts = vec![pod.join("/"), select::short(&subject.pod_id).to_owned()];
    parts.extend([subject.container.clone(), select::short(&subject.container_id).to_owned(), subject.image.clone()]);
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let _ = write!(text, " {part}");
    }
    let time = format!("{ms:.1} ms");
    let _ = match &**state {
        "running" => write!(text, ": running for {time}, waiting for {}", operation.waiting_for),
        "failed" => write!(text, ": failed after {time}, {}", operation.code),
        "left" => write!(text, ": its client left after {time}"),
        _ => write!(text, ": {time}"),
    };
    let _ = write!(text, " ({began_at})");
    let mut lines = vec![text];
    if !operation.error.is_empty() {
        lines.push(format!("  {}", operation.error));
    }
    let longest = longest(&operation.stages, true);
    add_stages(&mut lines, &operation.stages, longest, 0);
    if operation.stages_left_out > 0 {
        lines.push(format!("  and {} stages more", operation.stages_left_out));
    }
    lines.iter().fold(String::new(), |text, line| text + &one_line(line) + "\n")
}

/// The stage without others in it that took longest of those that were waited for.
fn longest(stages: &[ToldStage], is_critical: bool) -> Option<&ToldStage> {
    let leaves = stages.iter().filter_map(|stage| {
        let is_critical = is_critical && stage.is_critical;
        if stage.stages.is_empty() { is_critical.then_some(stage) } else { longest(&stage.stages, is_critical) }
    });
    leaves.max_by(|one, other| one.ms.total_cmp(&other.ms))
}

fn add_stages(lines: &mut Vec<String>, stages: &[ToldStage], longest: Option<&ToldStage>, depth: usize) {
    for stage in stages {
        let about = if stage.about.is_empty() { String::new() } else { format!(" {}", stage.about) };
        let mut notes = Vec::new();
        if stage.is_running {
            notes.push("running");
        }
        if stage.has_failed {
            notes.push("failed");
        }
        if longest.is_some_and(|longest| std::ptr::eq(longest, stage)) {
            notes.push("the longest");
        }
        if !stage.is_critical {
            notes.push("beside others");
        }
        let notes = if notes.is_empty() { String::new() } else { format!("  <- {}", notes.join(", ")) };
        lines.push(format!("{:>12.3} ms  {}{}{about}{notes}", stage.ms, "  ".repeat(depth), stage.name));
        if depth < DEPTH {
            add_stages(lines, &stage.stages, longest, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(value: &Value) -> ToldOperation {
        ToldOperation::deserialize(value).unwrap()
    }

    #[test]
    fn a_failed_start_is_told_with_its_stages() {
        let failed = operation(&json!({
            "id": "01", "name": "RunPodSandbox", "beganAt": "2026-11-28T12:00:00Z", "ms": 90_012.5, "state": "failed",
            "code": "Unknown", "error": "plugin\u{1b}[2J slow", "unknown": 7,
            "namespace": "default", "pod": "web", "podId": "0123456789abcdef0123",
            "stages": [
                {"name": "check", "ms": 0.5, "isCritical": true},
                {"name": "set-up", "ms": 90_012.0, "isCritical": true, "hasFailed": true, "stages": [
                    {"name": "shim", "ms": 91_000.0},
                    {"name": "network", "ms": 90_011.0, "isCritical": true, "hasFailed": true, "stages": [
                        {"name": "CNI plugin", "about": "slow (ADD)", "ms": 90_010.25, "isCritical": true, "hasFailed": true},
                    ]},
                ]},
            ],
        }));
        let expected = "\
RunPodSandbox default/web 0123456789abc: failed after 90012.5 ms, Unknown (2026-11-28T12:00:00Z)
  plugin\\u{1b}[2J slow
       0.500 ms  check
   90012.000 ms  set-up  <- failed
   91000.000 ms    shim  <- beside others
   90011.000 ms    network  <- failed
   90010.250 ms      CNI plugin slow (ADD)  <- failed, the longest
";
        assert_eq!(text(&failed), expected);
    }

    #[test]
    fn what_runs_says_what_it_waits_for() {
        let running = operation(&json!({
            "name": "PullImage", "ms": 3200.0, "state": "running", "waitingFor": "registry a.b: manifest",
            "image": "a.b/c:d", "stagesLeftOut": 3,
            "stages": [{"name": "registry", "about": "a.b: manifest", "ms": 3199.0, "isRunning": true, "isCritical": true}],
        }));
        let expected = "\
PullImage a.b/c:d: running for 3200.0 ms, waiting for registry a.b: manifest ()
    3199.000 ms  registry a.b: manifest  <- running, the longest
  and 3 stages more
";
        assert_eq!(text(&running), expected);
    }

    #[test]
    fn names_and_beginnings_of_ids_mean_what_operations_are_about() {
        let subject = |value| ToldSubject::deserialize(&value).unwrap();
        let container = subject(json!({
            "namespace": "n", "pod": "web", "podId": "aaaa1111", "container": "main", "containerId": "bbbb2222",
            "image": "nginx",
        }));
        for wanted in ["web", "n/web", "aaaa", "main", "bbbb2222"] {
            assert!(is_about(&container, wanted), "{wanted}");
        }
        for wanted in ["", "we", "m/web", "aaa", "n", "nginx", "bbbb3"] {
            assert!(!is_about(&container, wanted), "{wanted}");
        }
        let pull = subject(json!({"image": "registry:5000/library/nginx:1.27"}));
        for wanted in
            ["registry:5000/library/nginx:1.27", "registry:5000/library/nginx", "nginx", "library/nginx", "nginx:1.27"]
        {
            assert!(is_about(&pull, wanted), "{wanted}");
        }
        for wanted in ["ginx", "nginx:1.2", "1.27", "", "registry"] {
            assert!(!is_about(&pull, wanted), "{wanted}");
        }
        assert!(!is_about(&ToldSubject::default(), ""));
    }
}
