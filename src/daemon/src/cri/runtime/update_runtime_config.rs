//! UpdateRuntimeConfig: the kubelet tells the node's pod CIDR. The built-in network has its ranges from the
//! configuration, so this is kept for display; it may come any number of times.

use std::net::IpAddr;

use peapod_api::v1::{UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse};

use crate::cri::Services;
use crate::cri::convert::{Checked, FieldError};
use crate::cri::status::Answer;

pub(super) fn handle(services: &Services, request: UpdateRuntimeConfigRequest) -> Answer<UpdateRuntimeConfigResponse> {
    let cidr = request.runtime_config.and_then(|config| config.network_config).unwrap_or_default().pod_cidr;
    check(&cidr)?;
    if services.set_pod_cidr(cidr.clone()) && !cidr.is_empty() {
        tracing::info!(
            pod_cidr = cidr,
            "the kubelet told the node's pod CIDR; the built-in network keeps its own ranges"
        );
    }
    Ok(UpdateRuntimeConfigResponse {})
}

fn check(cidrs: &str) -> Checked<()> {
    for cidr in cidrs.split(',').filter(|_| !cidrs.is_empty()) {
        let valid = cidr.split_once('/').is_some_and(|(address, length)| {
            let longest = match address.parse() {
                Ok(IpAddr::V4(_)) => 32,
                Ok(IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            length.parse().is_ok_and(|length: u8| length <= longest)
        });
        if !valid {
            let field = "runtime_config.network_config.pod_cidr";
            return Err(FieldError::new(field, format!("{cidr:?} is not a range such as 10.1.0.0/24")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn ranges_of_both_families() {
        for good in ["", "10.0.0.0/24", "10.0.0.0/24,fd00::/64"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/24,", "x/1"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
