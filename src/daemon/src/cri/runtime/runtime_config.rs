//! RuntimeConfig: who makes cgroups. The kubelet follows, whatever its own configuration says.

use peapod_api::v1::{CgroupDriver, LinuxRuntimeConfiguration, RuntimeConfigRequest, RuntimeConfigResponse};

use peapod_cgroup::Driver;

use crate::cri::Node;

pub(super) fn handle(node: &Node, _: RuntimeConfigRequest) -> RuntimeConfigResponse {
    let driver = match node.config.pods.cgroup_driver {
        Driver::Cgroupfs => CgroupDriver::Cgroupfs,
        Driver::Systemd => CgroupDriver::Systemd,
    };
    RuntimeConfigResponse { linux: Some(LinuxRuntimeConfiguration { cgroup_driver: driver.into() }) }
}
