//! What operations on containers work with.

use std::sync::Arc;

use peapod_cdi::DeviceCache;
use peapod_cgroup::Hierarchy;
use peapod_image::Images;
use peapod_spec::NodeFacts;
use peapod_sys::Trash;

use super::seccomp::SeccompPrograms;
use crate::cgroup_warm_up::CgroupWarmUp;
use crate::config::CurrentSettings;
use crate::layout::Layout;
use crate::runtimes::Runtimes;
use crate::sweep::Making;
use crate::warn_once::WarnOnce;

/// Makes, starts, changes and removes containers; an operation each in the files beside this one.
#[derive(Debug)]
pub(crate) struct ContainerOperations {
    pub(crate) layout: Arc<Layout>,
    /// Where trees of files go that may take long to remove.
    pub(crate) trash: Trash,
    pub(crate) images: Images,
    /// Devices by CDI name.
    pub(crate) cdi: Arc<DeviceCache>,
    pub(crate) facts: NodeFacts,
    pub(crate) cgroups: Hierarchy,
    pub(crate) runtimes: Arc<Runtimes>,
    pub(crate) settings: CurrentSettings,
    /// Containers without a record yet.
    pub(crate) making: Making,
    pub(crate) warm_up: Arc<CgroupWarmUp>,
    /// Compiled system call filters.
    pub(crate) filters: SeccompPrograms,
    pub(crate) warn_once: WarnOnce,
}
