//! What a pod and a container were asked to be, and the OCI runtime configuration that follows from it.
//!
//! Pure: no file, clock, process or environment is touched here. What has to be known about the image or the node is
//! handed in as [`Inputs`].
//!
//! Read [`oci_config`] first: it is the one way from a request to a `config.json`. Beside it stand [`Config`] for the
//! edits of a start, [`ExecTemplate`] for a further process in a container and [`update_resources`] with
//! [`linux_resources`] for changed limits.

pub mod bounds;
pub mod container;
pub mod pod;

mod adjust;
mod adjustment;
mod apply_edits;
mod capabilities;
mod config;
mod container_mount;
mod devices;
mod edits;
mod error;
mod exec;
mod inputs;
mod json;
mod kept;
mod mount_points;
mod mounts;
mod namespaces;
mod node_folders;
mod note;
mod path;
mod pid_mode;
mod process;
mod resources;
mod root_container;
mod seccomp;
mod selinux;
mod selinux_options;
mod ulimit;
mod user;
mod user_namespace;
mod volumes;

#[cfg(test)]
mod tests;

pub use adjustment::{Adjustment, Change, LinuxAdjustment, ProcessAdjustment, StartAdjustment};
pub use capabilities::CapabilitySet;
pub use config::{Configured, oci_config};
pub use container::APPARMOR_DEFAULT;
pub use edits::{EditMount, Edits, HookMoment};
pub use error::SpecError;
pub use exec::ExecTemplate;
pub use inputs::{
    Arch, DeviceInputs, DeviceKind, HostDevice, ImageDefaults, ImageInputs, ImageVolume, Inputs, NamespacePaths,
    NodeDefaults, NodeFacts, NodeOwner, PidNamespace, PodFiles, Profiles, ResolvedMount, SourcePropagation,
    StartInputs,
};
pub use json::resources_json;
pub use kept::Config;
pub use mounts::{POD_FILES, check_propagation};
pub use note::Note;
pub use path::normal_path;
pub use resources::{linux_resources, update_resources};
pub use root_container::{RootContainerInputs, in_sandbox_of, root_container};
pub use seccomp::default_seccomp;
pub use selinux::{Categories, NoLabel, SelinuxContext, SelinuxContexts};
pub use selinux_options::NoLabelPart;
pub use ulimit::{Ulimit, UlimitKind, UlimitTwice, Ulimits};
pub use user::{ResolvedUser, UserError, UserIds, UserRequest, resolve_user};
pub use user_namespace::{ContainerUsers, IdRange, UserNamespace};
pub use volumes::image_volumes;
