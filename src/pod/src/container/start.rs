//! StartContainer: config.json, root file system, process.

use std::io;
use std::path::Path;
use std::sync::Arc;

use peapod_cgroup::Driver;
use peapod_image::{ImageId, Rootfs, Writable};
use peapod_shim_protocol::LOG_SCHEME;
use peapod_shim_protocol::extension::Namespaces;
use peapod_spec::ImageDefaults;
use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::{PidMode, PodSpec};
use peapod_sys::fail_point;
use tokio::sync::watch;

use super::interrupt::Overridable;
use super::seccomp::Filter;
use super::spec::Looked;
use super::{look_up, mounts, spec};
use crate::apparmor;
use crate::clock;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::node::Node;
use crate::record::ContainerState;
use crate::sandbox;
use crate::shim::{NewTask, Shim};
use crate::stage::timed;

/// What a start needs.
pub(crate) struct StartInput<'a> {
    pub(crate) pod_id: &'a PodId,
    pub(crate) pod: &'a Arc<PodSpec>,
    /// Of the pod.
    pub(crate) driver: Driver,
    pub(crate) id: &'a ContainerId,
    pub(crate) spec: &'a Arc<ContainerSpec>,
    pub(crate) record: ContainerState,
    pub(crate) namespaces: Namespaces,
    /// The process whose PID namespace is shared, for `PidMode::Target`.
    pub(crate) target: Option<u32>,
    /// The deadline of a stop, which overrides the start.
    pub(crate) stop: watch::Receiver<Option<i64>>,
}

/// A container that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    /// Nanoseconds since the epoch.
    pub(crate) at: i64,
    /// The pod's namespaces, if the start made pod init.
    pub(crate) namespaces: Option<Namespaces>,
}

/// Starts a container; after an error nothing of it runs or is mounted.
pub(crate) async fn start(node: &Arc<Node>, shim: &Shim, input: StartInput<'_>) -> Result<Started, Error> {
    let StartInput { pod_id, pod, driver, id, spec: container, record, mut namespaces, target, stop } = input;
    let signal = u32::try_from(record.stop_signal).unwrap_or(15);
    let mut overridable = Overridable { shim, id, signal, stop };
    let runtime = node.runtime(&pod.runtime_handler)?;
    node.ahead.of_a_move();
    let mut made_init = None;
    if container.security.pid == PidMode::Pod && namespaces.pid.is_empty() {
        let init = overridable.or_give_up(shim.ensure_init(sandbox::init_user(pod))).await?;
        namespaces = init.map_err(|error| error.into_error("start pod init"))?;
        made_init = Some(namespaces.clone());
    }
    let (image, rootfs) = image(node, id, &record).await?;
    let (bundle, writable) = (node.bundle(pod_id, id), node.writable(id));
    let log = pod.log_directory.as_deref().zip(container.log_path.as_deref()).map(|(dir, log)| dir.join(log));
    let task = NewTask {
        id: id.to_string(),
        bundle: bundle.clone(),
        lower: rootfs.lower_dirs.clone(),
        upper: writable.join("upper"),
        work: writable.join("work"),
        terminal: container.tty,
        stdin: container.stdin.then(|| bundle.join("stdin")),
        log: log.as_deref().map(|log| format!("{LOG_SCHEME}{}", log.display())),
        log_rate: node.config.log_rate,
        runtime: runtime.path.clone(),
        runtime_root: runtime.root.clone(),
        systemd_cgroup: driver == Driver::Systemd,
    };
    let namespaces = spec::namespaces(container, &namespaces, target);
    let (shared, pod, spec, pod_dir) = (Arc::clone(node), Arc::clone(pod), Arc::clone(container), node.pod_dir(pod_id));
    let compiler = runtime.clone();
    let mut looked = timed("start: look up", look(pod_id, &spec, image, &rootfs)).await?;
    let laid_out = tokio::task::spawn_blocking(move || {
        lay_out(&bundle, &writable, log.as_deref(), spec.stdin)
            .map_err(|error| Error::failed(format!("lay out {}", bundle.display()), &error))?;
        let layer = Writable { upper: &writable.join("upper"), work: &writable.join("work") };
        let owner = (record.user.0, record.user.1);
        let note = looked.make_volumes(&spec, &rootfs, &bundle.join("rootfs"), &layer, owner)?;
        let mut config = spec::config(&shared, &pod_dir, &pod, &spec, &looked, &namespaces, (driver, &record.cgroup))?;
        let profile = config.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let filter = shared.filters.find(&compiler, profile);
        if let Filter::Ready(program) = &filter {
            config.set_seccomp_program(program).map_err(|error| Error::failed("make config.json", &error))?;
        }
        std::fs::write(bundle.join("config.json"), &config.json)
            .map_err(|error| Error::failed(format!("write the configuration in {}", bundle.display()), &error))?;
        config.notes.extend(note);
        Ok::<_, Error>((config.notes, filter))
    });
    let laid_out = timed("start: lay out", laid_out).await;
    let (notes, filter) = laid_out.map_err(|error| Error::failed("make config.json", &error))??;
    node.say_once(notes);
    fail_point("start-laid-out");
    overridable.check()?;
    let created = timed("start: shim's create", overridable.or_have_it_ended(shim.create(task))).await;
    let created = created.map_err(|error| overridable.error_or(error.into_error("create the container")))?;
    fail_point("start-created");
    if let Filter::Unknown(key) = filter {
        let (node, compiler, id) = (Arc::clone(node), runtime.clone(), id.clone());
        // Before the process runs, so that what is read is what the runtime wrote. A panic there costs a compilation.
        let _ = tokio::task::spawn_blocking(move || node.filters.learn(key, &compiler, &id)).await;
    }
    let at = clock::now();
    match timed("start: shim's start", overridable.start()).await {
        Ok(pid) => {
            fail_point("start-started");
            Ok(Started { pid: if pid == 0 { created } else { pid }, at, namespaces: made_init })
        }
        Err(error) => {
            let failure = overridable.error_or(error.into_error("start the container"));
            if let Err(error) = shim.delete(id.as_str(), "").await {
                tracing::warn!(%error, "a container that could not be started is not cleaned up; its removal tries again");
            }
            Err(failure)
        }
    }
}

/// What the container takes from its image, and the layers, which it has leased since it was made.
async fn image(node: &Node, id: &ContainerId, record: &ContainerState) -> Result<(ImageDefaults, Rootfs), Error> {
    let no_image = || Error::ImageNotFound(record.image_name.clone());
    let image_id = ImageId::parse(&record.image_id).ok_or_else(no_image)?;
    let image = match record.image.clone() {
        Some(image) => image,
        // Made by a release that kept nothing of it.
        None => spec::defaults(&node.images.resolve(&record.image_id).ok_or_else(no_image)?.config),
    };
    let rootfs = timed("start: lease", node.images.lease(&image_id, id.as_str())).await;
    Ok((image, rootfs.map_err(|error| Error::failed("keep the image", &error))?))
}

async fn look(pod: &PodId, spec: &Arc<ContainerSpec>, image: ImageDefaults, rootfs: &Rootfs) -> Result<Looked, Error> {
    let apparmor = apparmor::profiles(spec.security.wants_default_apparmor()).await;
    let (spec, rootfs) = (Arc::clone(spec), rootfs.clone());
    look_up(pod, "look up what the container needs", move || {
        mounts::make_absent(&spec.mounts)?;
        spec::look(&spec, &image, &rootfs, apparmor)
    })
    .await
}

/// Everything on disk that the OCI runtime and the shim expect, but for config.json.
fn lay_out(bundle: &Path, writable: &Path, log: Option<&Path>, stdin: bool) -> io::Result<()> {
    std::fs::create_dir_all(bundle.join("rootfs"))?;
    for dir in ["upper", "work"] {
        std::fs::create_dir_all(writable.join(dir))?;
    }
    if let Some(folder) = log.and_then(Path::parent) {
        std::fs::create_dir_all(folder)?;
    }
    if stdin {
        match nix::unistd::mkfifo(&bundle.join("stdin"), nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR)
        {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
