//! The life of pods and containers on a node, without any wire format.
//!
//! [`Pods`] is the public API: [`Pods::open`] loads what an earlier daemon recorded and returns a handle that can be
//! cloned. It has a method for each CRI call about pods and containers, such as [`Pods::run_pod`] and
//! [`Pods::start_container`], which take checked types of `peapod-spec` and end with an [`Error`] whose variant says
//! how a caller goes on. Dropping a call's future stops no operation, but for commands: an equal call joins it. Lists
//! and statuses read a [`Snapshot`]: all pods and containers as of one moment, had without waiting
//! ([`Pods::snapshot`]), or followed change by change ([`Pods::subscribe`]) or event by event ([`Change::events`]).
//! [`Config`] is what the crate has to know of the node, and [`Dependencies`] are the databases, images and networks
//! that it works with.
//!
//! Behind the API each pod has a state machine, pure, which decides (`machine`), and an actor, which carries that out
//! and is the only one to write the pod's record (`actor`). The work itself is in `sandbox` (a pod: its shim, network
//! and files), `container` and `shim` (calls to a pod's shim). What was decided is first on disk (`record`), then in
//! the snapshot (`publisher`), and only then answered. After a restart `load` reads the records and `recover` asks the
//! shims what became of their containers; what no record leads to is ended by `sweep`.

mod actor;
mod apparmor;
mod bounds;
mod cgroup_warm_up;
mod checkpoint;
mod clock;
mod config;
mod container;
mod cpuset;
mod defaults;
mod dir;
mod disk;
mod error;
mod event;
mod facts;
mod features;
mod id;
mod idle_program;
mod known_features;
mod layout;
mod listed;
mod load;
mod machine;
mod measures;
mod namespaces;
mod owner_mapping;
mod parent_kind;
mod plugins;
mod pods;
mod program;
mod publisher;
mod read;
mod record;
mod recover;
mod refused_limits;
mod registry;
mod runtimes;
#[cfg(test)]
mod samples;
mod sandbox;
mod selinux;
mod shim;
mod stages;
mod start_limiter;
mod sweep;
mod systemd;
mod view;
mod warn_once;

pub use bounds::{CHECKPOINT_TIME, CHECKPOINT_TIME_MAX};
pub use checkpoint::{CheckpointRequest, PodCheckpointRequest, archives};
pub use config::{
    Config, ContainerSettings, Grouping, HandlerOrigin, HandlerTable, LeftOutProgram, OciRuntime, RestorePolicy,
    SelinuxLabels, Timeouts,
};
pub use container::{ExecBase, ExecOutput, ExecRequest, OutputSlot};
pub use error::{Error, OpenError};
pub use event::{PodEvent, PodEventKind, PodEventSubject, PodEvents};
pub use id::{ContainerId, PodId};
pub use measures::PodMeasures;
pub use parent_kind::ParentKind;
pub use pods::{Dependencies, ExecSession, Pods};
pub use publisher::{Change, Lagged, SnapshotNews, Subscription};
pub use record::{ImageMount, MIGRATIONS};
pub use runtimes::HandlerView;
pub use shim::SessionAddress;
pub use stages::STAGES;
pub use view::{ContainerState, ContainerView, PodEntry, PodState, PodView, Resolved, Snapshot};
