//! The heart of peapod: the life of pods and containers, without any wire format.
//!
//! [`Pods`] is the door. Behind it each pod has a machine, which decides, and an actor, which carries that out and is
//! the only writer of the pod's record. What was decided is first on disk, then in the [`Snapshot`] that every list and
//! status reads, and only then answered.

mod actor;
mod apparmor;
mod bounds;
mod cgroup_warm_up;
mod clock;
mod config;
mod container;
mod defaults;
mod dir;
mod disk;
mod error;
mod facts;
mod features;
mod id;
mod layout;
mod listed;
mod load;
mod machine;
mod namespaces;
mod pods;
mod program;
mod publisher;
mod read;
mod record;
mod recover;
mod registry;
mod runtimes;
#[cfg(test)]
mod samples;
mod sandbox;
mod shim;
mod stage;
mod start_limiter;
mod sweep;
mod systemd;
mod view;
mod warn_once;

pub use config::{Config, OciRuntime, Timeouts};
pub use container::{ExecBase, ExecOutput, ExecRequest, OutputSlot};
pub use error::{Error, OpenError};
pub use id::{ContainerId, PodId};
pub use pods::{Dependencies, Pods};
pub use publisher::{Change, Lagged, Subscription};
pub use record::MIGRATIONS;
pub use view::{ContainerState, ContainerView, PodEntry, PodState, PodView, Resolved, Snapshot};
