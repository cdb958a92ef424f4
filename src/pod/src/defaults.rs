//! What pods have where they name nothing themselves.

use std::sync::Arc;

use peapod_spec::pod::PodSpec;
use peapod_text::excerpt;

use crate::error::Error;
use crate::layout::Layout;
use crate::record::PodCgroup;

/// Of this daemon, in this boot.
#[derive(Debug)]
pub(crate) struct PodDefaults {
    pub(crate) layout: Arc<Layout>,
    /// The id of the boot.
    pub(crate) boot_id: String,
    /// Who makes containers' cgroups, and below what.
    pub(crate) cgroup: PodCgroup,
}

impl PodDefaults {
    /// Where a new pod's containers will have their cgroups.
    pub(crate) fn cgroup_of(&self, spec: &PodSpec) -> Result<PodCgroup, Error> {
        let driver = self.cgroup.driver;
        let parent = match &spec.cgroup_parent {
            None => self.cgroup.parent.clone(),
            Some(parent) => driver.parent(parent).map_err(|error| Error::Invalid {
                field: "config.linux.cgroup_parent".to_owned(),
                reason: format!("{} {}; peapod's cgroup driver is {}", excerpt(parent), error.why, driver.name()),
            })?,
        };
        Ok(PodCgroup { parent, ..self.cgroup.clone() })
    }
}
