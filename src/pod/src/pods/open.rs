//! Opening: everything that operations work with is put together, once.

use std::io;
use std::sync::Arc;

use peapod_cdi::DeviceCache;
use peapod_cgroup::{CgroupDriver, Hierarchy};
use peapod_image::Images;
use peapod_network::Network;
use peapod_nri::{Plugins, RuntimeRequest};
use peapod_store::Database;
use peapod_sys::Trash;
use peapod_trace::Tracer;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use super::Pods;
use super::recorded::Recorded;
use crate::actor::ActorContext;
use crate::cgroup_warm_up::CgroupWarmUp;
use crate::config::{Config, CurrentSettings, CurrentTimeouts};
use crate::container::{self, ContainerOperations, ExecOperations};
use crate::defaults::PodDefaults;
use crate::error::OpenError;
use crate::facts;
use crate::layout::Layout;
use crate::listed::Listed;
use crate::measures::PodMeasures;
use crate::owner_mapping::OwnerMapping;
use crate::parent_kind::ParentKind;
use crate::plugins::NodePlugins;
use crate::publisher::Publisher;
use crate::record::PodCgroup;
use crate::runtimes::Runtimes;
use crate::sandbox::SandboxOperations;
use crate::shim::{Launcher, ShimGroup};
use crate::start_limiter::StartLimiter;
use crate::sweep::{Making, STRAYS};
use crate::warn_once::WarnOnce;

/// What pods are made with, opened by whoever opens them.
pub struct Dependencies {
    /// state.db, opened with [`crate::MIGRATIONS`] among its migrations.
    pub db: Database,
    /// Images and their layers.
    pub images: Images,
    /// Networks of pods.
    pub network: Network,
    /// Where trees of files go, on the file system of the state root.
    pub trash: Trash,
    /// What jobs of pods tell their stages.
    pub tracer: Tracer,
    /// The node's plugins, and where their requests come out.
    pub plugins: (Plugins, mpsc::Receiver<RuntimeRequest>),
}

impl Pods {
    /// Loads all records; recovers what was running in the background. Lists are complete when this returns.
    ///
    /// # Errors
    /// When records can't be read or the node lacks what every pod needs.
    pub async fn open(config: Config, dependencies: Dependencies) -> Result<Self, OpenError> {
        let cgroups = cgroups(&config)?;
        let layout = Arc::new(Layout::new(&config.run_root, &config.state_root));
        make_folders(&layout)?;
        let boot_id = boot_id(&config)?;
        let facts = facts::gather(&config.cgroup_root, cgroups.is_v2(), config.containers.selinux);
        let publisher = Arc::new(Publisher::default());
        let ((plugins, requests), publisher_of_plugins) = (dependencies.plugins, Arc::clone(&publisher));
        let measures = PodMeasures::new(publisher.dropped(), &STRAYS);
        let (launcher, shim_group) = launcher(&config, &layout, &cgroups, &measures)?;
        let owners = OwnerMapping::new(config.shim.clone(), dependencies.images.config().layers_dir());
        let runtimes = Arc::new(Runtimes::new(&config.runtimes, &config.default_runtime, owners));
        let warm_up = Arc::new(CgroupWarmUp::new(cgroups.clone()));
        let timeouts = Arc::new(CurrentTimeouts::new(config.timeouts));
        let leftovers = TaskTracker::new();
        let sandboxes = SandboxOperations {
            layout: Arc::clone(&layout),
            trash: dependencies.trash.clone(),
            network: dependencies.network,
            launcher,
            shim: config.shim.clone(),
            cgroups: cgroups.clone(),
            facts: facts.clone(),
        };
        let containers = ContainerOperations {
            layout: Arc::clone(&layout),
            trash: dependencies.trash,
            images: dependencies.images,
            cdi: Arc::new(DeviceCache::new(config.cdi_dirs.clone())),
            facts,
            cgroups,
            runtimes: Arc::clone(&runtimes),
            settings: CurrentSettings::new(config.containers.clone()),
            making: Making::default(),
            warm_up: Arc::clone(&warm_up),
            filters: container::SeccompPrograms::default(),
            warn_once: WarnOnce::default(),
        };
        let actors = ActorContext {
            db: dependencies.db,
            defaults: PodDefaults {
                layout,
                boot_id,
                cgroup: PodCgroup {
                    driver: config.cgroup_driver,
                    parent: config.cgroup_parent.clone(),
                    kind: ParentKind::Shared,
                    scope_prefix: config.scope_prefix.clone(),
                },
                categories: Arc::default(),
            },
            registry: Arc::default(),
            publisher,
            listed: Listed::new(config.listed_bytes),
            runtimes,
            sandboxes: Arc::new(sandboxes),
            containers: Arc::new(containers),
            start_limiter: StartLimiter::for_processors(measures.turns_waiting.clone(), measures.turns_taken.clone()),
            measures,
            tracer: dependencies.tracer,
            plugins: NodePlugins::new(plugins, publisher_of_plugins),
        };
        let execs = ExecOperations {
            warm_up,
            timeouts: Arc::clone(&timeouts),
            outputs: container::OutputSlots::of_node(),
            leftovers: leftovers.clone(),
        };
        let closing = watch::Sender::new(false);
        // The kernel lets the spawner into its cgroup meanwhile.
        let recorded = Recorded::load(&actors).await?;
        let entered = shim_group.entered().await;
        entered.map_err(|error| no_shim_group(&config, error))?;
        let actors = Arc::new(actors);
        let first_listing = recorded.take_up(&actors, config.shim_cgroup, &leftovers, closing.subscribe());
        let pods = Self { actors, execs: Arc::new(execs), timeouts, closing, first_listing, leftovers };
        pods.leftovers.spawn(pods.clone().serve_plugins(requests));
        Ok(pods)
    }
}

/// The node's cgroups, with the parent of pods' own.
fn cgroups(config: &Config) -> Result<Hierarchy, OpenError> {
    let hierarchy =
        Hierarchy::detect(&config.cgroup_root).map_err(|error| OpenError::Cgroup(peapod_text::chain(&error)))?;
    if config.cgroup_driver == CgroupDriver::Cgroupfs {
        // So that others can see from the start that somebody uses it.
        let made = hierarchy.cgroup(&config.cgroup_parent).map(|parent| parent.create());
        if let Ok(Err(error)) = made {
            tracing::warn!(%error, "the parent of pods' cgroups can't be made yet");
        }
    }
    Ok(hierarchy)
}

fn make_folders(layout: &Layout) -> Result<(), OpenError> {
    for path in [layout.pods(), layout.sockets()] {
        std::fs::create_dir_all(&path).map_err(|source| lacks(format!("can't make {}", path.display()), source))?;
    }
    Ok(())
}

fn boot_id(config: &Config) -> Result<String, OpenError> {
    let file = &config.boot_id_file;
    let id = std::fs::read_to_string(file)
        .map_err(|source| lacks(format!("can't read this boot's id from {}", file.display()), source))?;
    Ok(id.trim().to_owned())
}

fn launcher(
    config: &Config,
    layout: &Layout,
    cgroups: &Hierarchy,
    measures: &PodMeasures,
) -> Result<(Launcher, ShimGroup), OpenError> {
    let group = cgroups.cgroup(&config.shim_cgroup);
    let group = group.map_err(|error| OpenError::Cgroup(peapod_text::chain(&error)))?;
    let launcher = Launcher::new(config.shim.clone(), group, layout.sockets(), measures.clone());
    launcher.map_err(|source| no_shim_group(config, source))
}

fn no_shim_group(config: &Config, source: io::Error) -> OpenError {
    lacks(format!("can't put shims into cgroup {}", config.shim_cgroup), source)
}

fn lacks(step: String, source: io::Error) -> OpenError {
    OpenError::Node { step, source }
}
