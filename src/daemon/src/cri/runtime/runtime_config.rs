//! RuntimeConfig: who makes cgroups. The kubelet follows, whatever its own configuration says.

use peapod_api::v1::{CgroupDriver, LinuxRuntimeConfiguration, RuntimeConfigRequest, RuntimeConfigResponse};

use crate::cri::Node;

pub(super) fn handle(node: &Node, _: RuntimeConfigRequest) -> RuntimeConfigResponse {
    let driver = if node.config.pods.systemd_cgroup { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs };
    RuntimeConfigResponse { linux: Some(LinuxRuntimeConfiguration { cgroup_driver: driver.into() }) }
}
