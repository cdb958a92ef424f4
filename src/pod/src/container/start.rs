//! StartContainer: the root file system, the process, and what only now can be said in the configuration.
//!
//! A chain of types, each holding what exists by then:
//!
//! ```text
//! BegunStart ─▶ Joined (pod init runs, namespaces are known) ─▶ LaidOut (folders, config.json)
//!            ─▶ Created (by the OCI runtime) ─▶ RunningContainer (its process runs)
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peapod_image::{ImageId, Writable};
use peapod_shim_protocol::LOG_SCHEME;
use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::{self, PidMode, Scope};
use peapod_spec::{APPARMOR_DEFAULT, Config, ImageDefaults, NamespacePaths, Note, PidNamespace};
use peapod_sys::fail_point;
use peapod_trace::Span;
use tokio::sync::watch;

use super::cgroup_owner::cgroup_owner;
use super::configure::{NewRootfs, edit, make, make_volumes, namespaces};
use super::exec_base::ExecBase;
use super::image_mounts::ImageMounts;
use super::interrupt::Overridable;
use super::look_up::{LeasedLayers, defaults, look_up};
use super::seccomp::Filter;
use super::verify::verify;
use super::{ContainerContext, adjusted, kept, sandboxed, users};
use crate::clock;
use crate::config::OciRuntime;
use crate::dir;
use crate::error::Error;
use crate::id::ContainerId;
use crate::namespaces::PodNamespaces;
use crate::record::ContainerRecord;
use crate::sandbox;
use crate::shim::{NewTask, Overlay, Shim, TaskCgroup};
use crate::stages;
use crate::{apparmor, checkpoint};

/// What a start needs.
pub(crate) struct StartInput<'a> {
    pub(crate) context: &'a ContainerContext,
    pub(crate) id: &'a ContainerId,
    pub(crate) spec: &'a Arc<ContainerSpec>,
    pub(crate) record: ContainerRecord,
    /// The process whose PID namespace is shared, for `PidMode::Target`.
    pub(crate) target: Option<u32>,
    /// The deadline of a stop, which overrides the start.
    pub(crate) stop: watch::Receiver<Option<i64>>,
    pub(crate) span: &'a Span,
}

/// A container that runs.
#[derive(Debug)]
pub(crate) struct RunningContainer {
    pub(crate) pid: u32,
    /// Nanoseconds since the epoch.
    pub(crate) at: i64,
    /// The pod's namespaces, if the start made pod init.
    pub(crate) namespaces: Option<PodNamespaces>,
    /// What commands in it begin with.
    pub(crate) exec: ExecBase,
}

/// Starts a container; after an error nothing of it runs or is mounted.
pub(crate) async fn start(shim: &Shim, input: StartInput<'_>) -> Result<RunningContainer, Error> {
    let joined = BegunStart::begin(shim, input)?.join().await?;
    let laid_out = joined.lay_out().await?;
    fail_point("start-laid-out");
    let created = laid_out.create().await?;
    fail_point("start-created");
    created.start().await
}

/// Nothing was done yet.
struct BegunStart<'a> {
    context: &'a ContainerContext,
    id: &'a ContainerId,
    spec: &'a Arc<ContainerSpec>,
    record: ContainerRecord,
    target: Option<u32>,
    runtime: &'a OciRuntime,
    overridable: Overridable<'a>,
    span: &'a Span,
}

/// The container's namespaces are there.
struct Joined<'a> {
    begun: BegunStart<'a>,
    paths: NamespacePaths,
    /// The pod's, if pod init was made.
    made_init: Option<PodNamespaces>,
}

/// All that the OCI runtime reads is there.
struct LaidOut<'a> {
    joined: Joined<'a>,
    task: NewTask,
    filter: Filter,
    exec: ExecBase,
}

/// The OCI runtime holds the container's process ready.
struct Created<'a> {
    joined: Joined<'a>,
    exec: ExecBase,
    pid: u32,
    /// Of a checkpoint.
    restored: bool,
}

impl<'a> BegunStart<'a> {
    fn begin(shim: &'a Shim, input: StartInput<'a>) -> Result<Self, Error> {
        let StartInput { context, id, spec, record, target, stop, span } = input;
        span.enter(&stages::LAYERS);
        let signal = u32::try_from(record.stop_signal).unwrap_or(15);
        let overridable = Overridable { shim, id, signal, stop };
        let runtime = context.handler.runtime()?;
        context.containers.warm_up.begin();
        Ok(Self { context, id, spec, record, target, runtime, overridable, span })
    }

    async fn join(mut self) -> Result<Joined<'a>, Error> {
        let (context, overridable) = (self.context, &mut self.overridable);
        let mut made_init = None;
        if self.spec.security.pid == PidMode::Pod && context.namespaces.pid.is_none() {
            self.span.enter(&stages::POD_INIT);
            let init = overridable.or_give_up(overridable.shim.ensure_init(sandbox::init_user(&context.pod))).await?;
            made_init = Some(init.map_err(|error| error.into_error("start pod init"))?);
        }
        let paths = namespaces(self.spec, made_init.as_ref().unwrap_or(&context.namespaces), self.target);
        if !is_complete(&paths, &context.pod.namespaces) {
            let reason = "its shim does not tell all of them: run another sandbox".to_owned();
            return Err(Error::Failed { step: "find the pod's namespaces".to_owned(), reason });
        }
        Ok(Joined { begun: self, paths, made_init })
    }

    /// What the container takes from its image, and the layers, which it has leased since it was made.
    async fn image(&self) -> Result<(ImageDefaults, LeasedLayers), Error> {
        let (record, images) = (&self.record, &self.context.containers.images);
        let no_image = || Error::ImageNotFound(record.origin.image_name.clone());
        let image_id = ImageId::parse(&record.origin.image_id).ok_or_else(no_image)?;
        let image = match record.made_from.image.clone() {
            Some(image) => image,
            // Made by a release that kept nothing of it.
            None => defaults(&images.resolve(&record.origin.image_id).ok_or_else(no_image)?.config),
        };
        self.span.enter(&stages::LAYERS);
        let rootfs = images.lease(&image_id, self.id.as_str()).await;
        let rootfs = rootfs.map_err(|error| Error::failed("keep the image", &error))?;
        let bundle = self.context.bundle(self.id);
        let mounts = ImageMounts::lease(images, self.id.as_str(), &bundle, &record.image_mounts).await?;
        mounts.check(self.overridable.shim).await?;
        Ok((image, LeasedLayers { rootfs, mounts }))
    }

    /// The configuration with which the container was created.
    async fn config(&self, image: &ImageDefaults, layers: &LeasedLayers) -> Result<(Config, Vec<Note>), Error> {
        self.span.enter(&stages::LOOK_UP);
        let (bundle, id, spec) = (self.context.bundle(self.id), self.id.clone(), Arc::clone(self.spec));
        let replaced = self.record.made_from.adjusted.as_ref().map(|adjusted| adjusted.at_start.replaced.clone());
        let replaced = replaced.unwrap_or_default();
        let kept = look_up(&self.context.pod_id, "look again at what the container needs", move || {
            let config = kept::find(&bundle);
            config.as_ref().map_or(Ok(()), |config| verify(config, &id, &spec, &replaced))?;
            Ok(config)
        });
        if let Some(config) = kept.await? {
            if config.apparmor_profile() == Some(APPARMOR_DEFAULT) {
                // Somebody may have unloaded it. If it can't be had, the OCI runtime says so.
                apparmor::profiles(true).await;
            }
            return Ok((config, Vec::new()));
        }
        let made = make(self.context, self.id, self.spec, image.clone(), layers.clone()).await?;
        Ok((made.config, made.notes))
    }

    fn task(&self, layers: &LeasedLayers) -> NewTask {
        let (containers, bundle) = (&self.context.containers, self.context.bundle(self.id));
        let writable = containers.layout.writable(self.id);
        NewTask {
            id: self.id.to_string(),
            rootfs: Overlay {
                lower: layers.rootfs.lower_dirs.clone(),
                upper: writable.join("upper"),
                work: writable.join("work"),
                users: self.context.pod.namespaces.users,
                label: None,
            },
            volumes: layers.mounts.volumes(),
            terminal: self.spec.tty,
            stdin: self.spec.stdin.then(|| bundle.join("stdin")),
            log: self.log().map(|log| format!("{LOG_SCHEME}{}", log.display())),
            log_rate: containers.settings.get().log_rate,
            runtime: sandboxed::task_runtime(self.context, self.runtime),
            oom_score_adj: None,
            checkpoint: checkpoint::images(&writable),
            cgroup: TaskCgroup { path: self.record.cgroup.clone(), owner: None },
            bundle,
        }
    }

    /// What it was made of is of no use any more.
    async fn forget_checkpoint(&self) {
        let containers = &self.context.containers;
        let restore = containers.layout.writable(self.id).join(checkpoint::RESTORE);
        if let Err(error) = dir::remove(&containers.trash, restore).await {
            let container = self.id.short();
            tracing::warn!(container, %error, "a checkpoint stays until the container made of it is removed");
        }
    }

    fn log(&self) -> Option<PathBuf> {
        Some(self.context.pod.log_directory.as_deref()?.join(self.spec.log_path.as_deref()?))
    }
}

/// A missing path means the node's own namespace, which nobody gets who did not ask for it.
fn is_complete(paths: &NamespacePaths, asked_for: &pod::Namespaces) -> bool {
    let is_there = |path: &Option<PathBuf>, scope: Scope| path.is_some() || scope == Scope::Node;
    is_there(&paths.network, asked_for.network)
        && (paths.user.is_some() || asked_for.users.is_none())
        && is_there(&paths.ipc, asked_for.ipc)
        && paths.pid != PidNamespace::NotYet
}

impl<'a> Joined<'a> {
    async fn lay_out(mut self) -> Result<LaidOut<'a>, Error> {
        let begun = &self.begun;
        let (image, layers) = begun.image().await?;
        let (mut config, mut notes) = begun.config(&image, &layers).await?;
        begun.span.enter(&stages::LAY_OUT);
        let (task, log) = (begun.task(&layers), begun.log());
        let (context, id, spec, paths) =
            (begun.context.clone(), begun.id.clone(), Arc::clone(begun.spec), self.paths.clone());
        let (bundle, upper, work) = (task.bundle.clone(), task.rootfs.upper.clone(), task.rootfs.work.clone());
        let (writable, is_restored) = (context.containers.layout.writable(begun.id), task.checkpoint.is_some());
        if begun.record.origin.is_restored && !is_restored {
            let step = format!("find the checkpoint that it is made of below {}", writable.display());
            return Err(Error::Failed { step, reason: "it is gone: make the container anew".to_owned() });
        }
        let (owner, runtime) = ((begun.record.user.uid, begun.record.user.gid), begun.runtime.clone());
        let adjusted = begun.record.made_from.adjusted.clone();
        let laid_out = tokio::task::spawn_blocking(move || {
            if is_restored {
                checkpoint::lay_out(&writable, &layers.rootfs, context.containers.images.config().limits)?;
            }
            make_folders(&bundle, [&upper, &work], log.as_deref(), spec.stdin)
                .and_then(|()| users::give(&upper, context.pod.namespaces.users))
                .map_err(|error| Error::failed(format!("lay out {}", bundle.display()), &error))?;
            let writable = Writable { upper: &upper, work: &work };
            let (volumes, note) =
                make_volumes(&context, &image, &spec, &layers.rootfs, &NewRootfs { bundle: &bundle, writable, owner })?;
            notes.extend(edit(&mut config, &context, &spec, &paths, &volumes)?.into_iter().chain(note));
            adjusted::at_start(&mut config, adjusted.as_deref())?;
            let filter = match is_restored {
                // CRIU brings the filters that the processes have.
                true => Filter::Plain,
                false => context.containers.filters.find(&runtime, config.seccomp()),
            };
            if let Filter::Ready(program) = &filter {
                config.set_seccomp_program(program);
            }
            kept::write(&bundle, &config)?;
            sandboxed::lay_out_root(&context, &id, &runtime, &paths)?;
            let exec = config.exec_template().map_err(|error| Error::failed("make config.json", &error))?;
            Ok::<_, Error>((notes, filter, ExecBase::of(exec), config))
        });
        let (notes, filter, exec, config) =
            laid_out.await.map_err(|error| Error::failed("make config.json", &error))??;
        let BegunStart { context, runtime, overridable, .. } = &mut self.begun;
        context.containers.warn_once.warn(notes);
        let owner = overridable.or_give_up(cgroup_owner(context, overridable.shim, &config)).await??;
        let checked = sandboxed::check_shim(context, runtime, overridable.shim);
        overridable.or_give_up(checked).await??;
        let cgroup = TaskCgroup { owner, ..task.cgroup };
        let rootfs = Overlay { label: config.mount_label().map(str::to_owned), ..task.rootfs };
        let task = NewTask { oom_score_adj: config.oom_score_adj(), cgroup, rootfs, ..task };
        Ok(LaidOut { joined: self, task, filter, exec })
    }
}

impl<'a> LaidOut<'a> {
    async fn create(self) -> Result<Created<'a>, Error> {
        let Self { mut joined, task, filter, exec } = self;
        let BegunStart { context, id, runtime, overridable, span, .. } = &mut joined.begun;
        overridable.check()?;
        span.enter_on(&stages::RUNTIME_CREATE, runtime.name());
        let restored = task.checkpoint.clone();
        let call = overridable.shim.create(task);
        let created = overridable.or_have_it_ended(call).await;
        let pid = created.map_err(|error| {
            let failure = sandboxed::explain(error.into_error("create the container"));
            overridable.error_or(match &restored {
                Some(images) => checkpoint::explain(failure, &images.with_file_name("restore.log")),
                None => failure,
            })
        })?;
        if let Filter::Unknown(key) = filter {
            let (containers, runtime, id) = (Arc::clone(&context.containers), runtime.clone(), id.clone());
            // Before the process runs, so that what is read is what the runtime wrote. A panic there costs a
            // compilation.
            let _ = tokio::task::spawn_blocking(move || containers.filters.learn(key, &runtime, &id)).await;
        }
        Ok(Created { joined, exec, pid, restored: restored.is_some() })
    }
}

impl Created<'_> {
    async fn start(self) -> Result<RunningContainer, Error> {
        let Self { joined: Joined { mut begun, made_init, .. }, exec, pid, restored } = self;
        let told = begun.context.plugins.container_starts(begun.id, pid, begun.span).await;
        begun.span.enter_on(&stages::RUNTIME_START, begun.runtime.name());
        let at = clock::now();
        let started = match told {
            Ok(told) => begun
                .overridable
                .start()
                .await
                .map(|pid| (pid, told))
                .map_err(|error| begun.overridable.error_or(error.into_error("start the container"))),
            Err(refused) => Err(refused),
        };
        match started {
            Ok((told, plugins)) => {
                fail_point("start-started");
                if restored {
                    begun.forget_checkpoint().await;
                }
                plugins.has_started(begun.span).await;
                Ok(RunningContainer { pid: if told == 0 { pid } else { told }, at, namespaces: made_init, exec })
            }
            Err(failure) => {
                begun.span.fail();
                begun.span.enter(&stages::UNDO);
                if let Err(error) = begun.overridable.shim.delete_task(begun.id.as_str()).await {
                    tracing::warn!(
                        %error,
                        "a container that could not be started is not cleaned up; its removal tries again"
                    );
                }
                Err(failure)
            }
        }
    }
}

/// Everything on disk that the OCI runtime and the shim expect, but for config.json.
fn make_folders(bundle: &Path, writable: [&Path; 2], log: Option<&Path>, stdin: bool) -> io::Result<()> {
    std::fs::create_dir_all(bundle.join("rootfs"))?;
    for folder in writable.into_iter().chain(log.and_then(Path::parent)) {
        std::fs::create_dir_all(folder)?;
    }
    if stdin {
        let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
        match nix::unistd::mkfifo(&bundle.join("stdin"), mode) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use peapod_spec::{IdRange, UserNamespace};

    use super::*;

    #[test]
    fn no_container_gets_the_nodes_namespaces_by_mistake() {
        let path = |text: &str| Some(PathBuf::from(text));
        let whole =
            NamespacePaths { network: path("/n"), ipc: path("/i"), uts: None, user: None, pid: PidNamespace::New };
        let (own, nodes) = (
            pod::Namespaces::default(),
            pod::Namespaces { network: Scope::Node, ipc: Scope::Node, ..pod::Namespaces::default() },
        );
        assert!(is_complete(&whole, &own));
        for lacking in [
            NamespacePaths { network: None, ..whole.clone() },
            NamespacePaths { ipc: None, ..whole.clone() },
            NamespacePaths { pid: PidNamespace::NotYet, ..whole.clone() },
        ] {
            assert!(!is_complete(&lacking, &own), "{lacking:?}");
        }
        let range = IdRange::new(7, 7).unwrap();
        let users = pod::Namespaces { users: Some(UserNamespace { uids: range, gids: range }), ..own.clone() };
        assert!(!is_complete(&whole, &users));
        assert!(is_complete(&NamespacePaths { user: path("/u"), ..whole.clone() }, &users));
        assert!(is_complete(&NamespacePaths { network: None, ipc: None, ..whole }, &nodes));
    }
}
