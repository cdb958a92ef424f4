//! The heart of peapod: the life of pods and containers, without any wire format.
//!
//! [`Pods`] is the door. Behind it one driver per pod is the only writer of that pod's state and record; what it decided
//! is first on disk, then in the [`Snapshot`] that every list and status reads, and only then answered.

mod ahead;
mod apparmor;
mod bounds;
mod clock;
mod config;
mod container;
mod dir;
mod disk;
mod driver;
mod error;
mod facts;
mod features;
mod id;
mod listed;
mod load;
mod node;
mod pods;
mod program;
mod read;
mod record;
mod recover;
mod registry;
mod sandbox;
mod shim;
mod stage;
mod sweep;
mod systemd;
mod turns;
mod view;

pub use config::{Config, OciRuntime, Patience};
pub use container::{ExecBase, ExecOutput, ExecRequest, OutputSlot};
pub use error::{Error, OpenError};
pub use id::{ContainerId, PodId};
pub use pods::{Parts, Pods};
pub use record::MIGRATIONS;
pub use view::{ContainerState, ContainerView, PodEntry, PodState, PodView, Resolved, Snapshot};
