//! RuntimeConfig: who makes cgroups. The kubelet follows, whatever its own configuration says.

use peapod_api::v1::{CgroupDriver, LinuxRuntimeConfiguration, RuntimeConfigRequest, RuntimeConfigResponse};

use peapod_cgroup::Driver;

use crate::cri::Services;

pub(super) fn handle(services: &Services, _: RuntimeConfigRequest) -> RuntimeConfigResponse {
    let driver = match services.config.pods.cgroup_driver {
        Driver::Cgroupfs => CgroupDriver::Cgroupfs,
        Driver::Systemd => CgroupDriver::Systemd,
    };
    RuntimeConfigResponse { linux: Some(LinuxRuntimeConfiguration { cgroup_driver: driver.into() }) }
}
