//! RuntimeConfig: who makes cgroups. The kubelet follows, whatever its own configuration says.

use peapod_api::v1::{self, LinuxRuntimeConfiguration, RuntimeConfigRequest, RuntimeConfigResponse};

use peapod_cgroup::CgroupDriver;

use crate::cri::Services;

pub(super) fn handle(services: &Services, _: RuntimeConfigRequest) -> RuntimeConfigResponse {
    let driver = match services.config.pods.cgroup_driver {
        CgroupDriver::Cgroupfs => v1::CgroupDriver::Cgroupfs,
        CgroupDriver::Systemd => v1::CgroupDriver::Systemd,
    };
    RuntimeConfigResponse { linux: Some(LinuxRuntimeConfiguration { cgroup_driver: driver.into() }) }
}
