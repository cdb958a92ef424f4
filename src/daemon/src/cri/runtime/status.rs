//! Status: asked every few seconds, so it looks at nothing but memory. Right after the daemon's start it waits until
//! there is something to tell of the network and of the OCI runtimes.

use std::collections::BTreeMap;
use std::sync::Arc;

use peapod_api::v1::{
    RuntimeCondition, RuntimeFeatures, RuntimeHandler, RuntimeHandlerFeatures, RuntimeStatus, StatusRequest,
    StatusResponse,
};
use peapod_image::{BrokenArchive, FolderImport};
use peapod_nri::{PluginKind, PluginSummary, Plugins};
use peapod_pod::{ContainerState, Grouping, HandlerOrigin, HandlerView, LeftOutProgram, OciRuntime, PodState};
use peapod_store::SetAside;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::bounds::{DEVICE_LOOK, DEVICES_SHOWN, STATUS_MESSAGE};
use crate::config::NriSettings;
use crate::cri::{Services, operations};
use peapod_text::{one_line, shortened};

pub(super) async fn handle(services: &Services, request: StatusRequest) -> StatusResponse {
    services.network.looked().await;
    let network = services.network.status();
    let conditions = vec![
        // Whoever can answer can run pods: what they need was checked before the socket was opened.
        condition("RuntimeReady", true, "", "peapod is running"),
        condition("NetworkReady", network.ready, &network.reason, &network.message),
        records(&services.set_aside),
        archives(&services.images.folder_import()),
    ];
    let views = services.pods.handlers().await;
    let runtime_handlers = handlers(services, &views).await;
    let with_users = runtime_handlers.iter().any(|handler| handler.features.is_some_and(|has| has.user_namespaces));
    StatusResponse {
        status: Some(RuntimeStatus { conditions }),
        info: if request.verbose { info(services, &views, devices(services).await) } else { BTreeMap::new() },
        runtime_handlers,
        features: Some(RuntimeFeatures {
            supplemental_groups_policy: true,
            // What it takes is peapod's: a handler that has the ones has the others.
            user_namespaces_host_network: with_users,
            mount_options: true,
        }),
    }
}

/// Whether peapod knows all that it once knew. The kubelet passes over conditions that it does not know; a person sees
/// them.
fn records(set_aside: &[SetAside]) -> RuntimeCondition {
    const KIND: &str = "RecordsIntact";
    if set_aside.is_empty() {
        return condition(KIND, true, "", "all records could be read when peapod started");
    }
    let lost = set_aside.iter().map(|SetAside { path, kept, reason }| {
        let (name, kept) = (path.file_name().unwrap_or_default().display(), kept.display());
        format!("{name} could not be read ({reason}) and is kept as {kept}")
    });
    let lost = lost.collect::<Vec<_>>().join("; ");
    let message = format!(
        "what ran by records that were lost was ended, and began anew: {lost}. This is said until these files are moved \
         away and peapod is started again"
    );
    condition(KIND, false, "DatabaseSetAside", &message)
}

/// Whether all archives of the import folder are images here. Until all were looked at, those count that were.
fn archives(folder: &FolderImport) -> RuntimeCondition {
    const KIND: &str = "ArchivesImported";
    let FolderImport { is_done, imported, unchanged, broken } = folder;
    if broken.is_empty() {
        let so_far = if *is_done { "" } else { ", and goes on" };
        let message =
            format!("the import folder has brought {imported} images, {unchanged} archives were known{so_far}");
        return condition(KIND, true, "", &message);
    }
    let problems = broken.iter().map(|BrokenArchive { path, problem }| format!("{}: {problem}", path.display()));
    let problems = problems.collect::<Vec<_>>().join("; ");
    let message = format!("{problems}. They are tried again when peapod starts, or with `peapod import`");
    condition(KIND, false, "ArchiveBroken", &message)
}

fn condition(kind: &str, status: bool, reason: &str, message: &str) -> RuntimeCondition {
    RuntimeCondition {
        r#type: kind.into(),
        status,
        reason: reason.into(),
        message: shortened(&one_line(message), STATUS_MESSAGE).into(),
    }
}

/// Those that pods can have. The default one has no name, and again its own.
async fn handlers(services: &Services, views: &[HandlerView]) -> Vec<RuntimeHandler> {
    let names = views.iter().filter(|view| view.refused.is_none()).map(|view| view.name.as_str());
    let mut handlers = Vec::new();
    for name in std::iter::once("").chain(names) {
        let recursive_read_only_mounts = services.pods.is_recursive_read_only(name).await;
        let user_namespaces = services.pods.has_user_namespaces(name).await;
        let features = RuntimeHandlerFeatures { recursive_read_only_mounts, user_namespaces };
        handlers.push(RuntimeHandler { name: name.into(), features: Some(features) });
    }
    handlers
}

/// Folders of CDI devices with what is in them now, which is looked at for this alone.
async fn devices(services: &Services) -> Value {
    let cache = Arc::clone(services.pods.cdi());
    let look = tokio::task::spawn_blocking(move || cache.look());
    let Ok(Ok(index)) = timeout(DEVICE_LOOK, look).await else {
        let dirs = &services.config.pods.cdi_dirs;
        return json!({ "specDirs": dirs, "error": "the folders of CDI devices do not answer: is a file system dead?" });
    };
    let mut all = index.devices();
    let shown: Vec<Value> = all
        .by_ref()
        .take(DEVICES_SHOWN)
        .map(|(name, files)| json!({ "name": name.to_string(), "files": files }))
        .collect();
    let broken = index.broken().iter().take(DEVICES_SHOWN);
    let broken: Vec<Value> =
        broken.map(|broken| json!({ "path": broken.path, "problem": one_line(&broken.problem.to_string()) })).collect();
    let left_out = all.count() + index.broken().len() - broken.len();
    json!({ "specDirs": index.dirs(), "devices": shown, "broken": broken, "leftOut": left_out })
}

/// A handler, and where it comes from.
fn runtime(view: &HandlerView) -> Value {
    let OciRuntime { path, root, origin, grouping, cgroup_writable, arguments } = &view.runtime;
    let from = match origin {
        HandlerOrigin::Configured => "configuration",
        HandlerOrigin::Found => "PATH",
    };
    let mut shown = json!({ "path": path, "root": root, "from": from });
    if *grouping == Grouping::RootContainer {
        shown["rootContainer"] = true.into();
    }
    if !arguments.is_empty() {
        shown["arguments"] = json!(arguments);
    }
    if *cgroup_writable {
        shown["cgroupWritable"] = true.into();
    }
    if let Some(refused) = &view.refused {
        shown["refused"] = one_line(refused).into_owned().into();
    }
    shown
}

fn info(services: &Services, views: &[HandlerView], devices: Value) -> BTreeMap<String, String> {
    let config = &services.config;
    let runtimes: BTreeMap<_, _> = views.iter().map(|view| (&view.name, runtime(view))).collect();
    let left_out: Vec<Value> = services
        .pods
        .left_out_programs()
        .iter()
        .map(|LeftOutProgram { path, reason }| json!({ "path": path, "reason": one_line(reason) }))
        .collect();
    let shown = json!({
        "stateRoot": config.state_root,
        // By the name that critest looks for: what is above it has to let owners be mapped.
        "stateDir": services.images.config().layers_dir(),
        "runRoot": config.run_root,
        "socket": config.grpc.socket,
        "shim": config.pods.shim,
        "cgroupDriver": config.pods.cgroup_driver.name(),
        "cgroupParent": config.pods.cgroup_parent,
        // What `peapod run` asks for: limits of a pod without a parent hold for its containers together.
        "podLimits": config.pods.cgroup_driver.has_pod_groups(),
        "scopePrefix": config.pods.scope_prefix.as_str(),
        "defaultRuntime": config.pods.default_runtime,
        "runtimes": runtimes,
        "leftOutPrograms": left_out,
        "hostsDirs": config.images.hosts_dirs,
    });
    let snapshot = services.pods.snapshot();
    let counts = json!({
        "podsReady": snapshot.pods().filter(|entry| entry.pod.state == PodState::Ready).count(),
        "pods": snapshot.pods().count(),
        "containersRunning": snapshot
            .containers()
            .filter(|container| matches!(container.state, ContainerState::Running { .. }))
            .count(),
        "containers": snapshot.containers().count(),
        "images": services.images.list().len(),
    });
    let network = services.network.status();
    let network = json!({ "name": network.name, "podCIDR": services.pod_cidr() });
    let operations = operations::running_and_failed(&services.tracer);
    let told = [
        ("cdi", devices),
        ("config", shown),
        ("counts", counts),
        ("network", network),
        ("nri", plugins(&config.nri, services.pods.plugins())),
    ];
    operations::beside(told, operations)
}

/// Where plugins come from, and those that there are.
fn plugins(settings: &NriSettings, plugins: &Plugins) -> Value {
    let shown = |plugin: PluginSummary| {
        let kind = match plugin.kind {
            PluginKind::Connected => "connected",
            PluginKind::Installed => "installed",
        };
        json!({ "name": plugin.name, "kind": kind, "ready": plugin.is_ready, "events": plugin.events })
    };
    let installed = settings.installed.as_ref();
    json!({
        "socket": settings.socket,
        "pluginDir": installed.map(|installed| &installed.programs),
        "pluginConfigDir": installed.map(|installed| &installed.configurations),
        "requiredPlugins": settings.rules.required,
        "plugins": plugins.list().into_iter().map(shown).collect::<Vec<_>>(),
        "down": plugins.down(),
    })
}
