//! What pods have where they name nothing themselves.

use std::sync::Arc;

use peapod_cgroup::CgroupDriver;
use peapod_spec::container::Resources;
use peapod_spec::pod::PodSpec;
use peapod_text::excerpt;

use crate::error::Error;
use crate::id::PodId;
use crate::layout::Layout;
use crate::parent_kind::ParentKind;
use crate::record::PodCgroup;
use crate::selinux::CategoryPool;

/// Annotation of a pod that a kubelet made.
const OF_KUBELET: &str = "kubernetes.io/config.source";

/// Of this daemon, in this boot.
#[derive(Debug)]
pub(crate) struct PodDefaults {
    pub(crate) layout: Arc<Layout>,
    /// The id of the boot.
    pub(crate) boot_id: String,
    /// Who makes containers' cgroups, and below what.
    pub(crate) cgroup: PodCgroup,
    /// SELinux categories in use.
    pub(crate) categories: Arc<CategoryPool>,
}

impl PodDefaults {
    /// Where a new pod's containers will have their cgroups.
    pub(crate) fn cgroup_of(&self, id: &PodId, spec: &PodSpec) -> Result<PodCgroup, Error> {
        let driver = self.cgroup.driver;
        let (parent, kind) = match &spec.cgroup_parent {
            Some(parent) => (given(driver, parent)?, ParentKind::Given),
            None if is_limited(spec) => match driver.pod_group(&self.cgroup.parent, id.as_str()) {
                Some(own) => (own, ParentKind::Own),
                None => {
                    tracing::warn!(
                        pod = id.short(),
                        driver = driver.name(),
                        "limits of the pod as a whole are recorded and not set: with this cgroup driver a pod has a \
                         group of its own only if its client names one (linux.cgroup_parent)"
                    );
                    (self.cgroup.parent.clone(), ParentKind::Shared)
                }
            },
            None => (self.cgroup.parent.clone(), ParentKind::Shared),
        };
        Ok(PodCgroup { parent, kind, ..self.cgroup.clone() })
    }
}

fn given(driver: CgroupDriver, parent: &str) -> Result<String, Error> {
    driver.parent(parent).map_err(|error| Error::Invalid {
        field: "config.linux.cgroup_parent".to_owned(),
        reason: format!("{} {}; peapod's cgroup driver is {}", excerpt(parent), error.why, driver.name()),
    })
}

/// Whether limits are asked for that hold for all its containers together. A kubelet tells those of the cgroup that it
/// has made; one that makes none tells sums, in which a container without limits counts nothing.
fn is_limited(spec: &PodSpec) -> bool {
    !spec.annotations.contains_key(OF_KUBELET) && spec.resources.as_ref().is_some_and(Resources::is_limit)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::samples::pod_spec;

    fn cgroup_of(driver: CgroupDriver, spec: &PodSpec) -> (String, ParentKind) {
        let cgroup = PodCgroup { driver, parent: "/parent".to_owned(), ..PodCgroup::default() };
        let layout = Arc::new(Layout::new(Path::new("/run"), Path::new("/state")));
        let defaults = PodDefaults { layout, boot_id: String::new(), cgroup, categories: Arc::default() };
        let cgroup = defaults.cgroup_of(&PodId::parse(&"a".repeat(64)).unwrap(), spec).unwrap();
        (cgroup.parent, cgroup.kind)
    }

    #[test]
    fn a_pod_with_limits_and_without_a_parent_has_a_group_of_its_own() {
        let of = |change: fn(&mut PodSpec)| {
            let mut spec = pod_spec("one");
            change(&mut spec);
            cgroup_of(CgroupDriver::Cgroupfs, &spec)
        };
        let memory = || Some(Resources { memory_limit: 1 << 20, ..Resources::default() });
        let shared = ("/parent".to_owned(), ParentKind::Shared);
        assert_eq!(of(|_| {}), shared);
        assert_eq!(
            of(|spec| spec.resources = Some(Resources { cpu_shares: 2, cpu_period: 9, ..Resources::default() })),
            shared
        );
        let mut spec = pod_spec("one");
        spec.resources = memory();
        assert_eq!(
            cgroup_of(CgroupDriver::Cgroupfs, &spec),
            (format!("/parent/pod{}", "a".repeat(64)), ParentKind::Own)
        );
        assert_eq!(cgroup_of(CgroupDriver::Systemd, &spec), shared);
        spec.annotations.insert(OF_KUBELET.to_owned(), "api".to_owned());
        assert_eq!(cgroup_of(CgroupDriver::Cgroupfs, &spec), shared);
        spec.annotations.clear();
        spec.cgroup_parent = Some("/given".to_owned());
        assert_eq!(cgroup_of(CgroupDriver::Cgroupfs, &spec), ("/given".to_owned(), ParentKind::Given));
    }
}
