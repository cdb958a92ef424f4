//! What a pod asks of its network.

use std::collections::BTreeMap;

use peapod_network::{AttachRequest, Bandwidth, Dns, PortMapping, Protocol};
use peapod_spec::pod::{self, PodSpec};

use crate::id::PodId;

/// The request, with the names under which plugins expect to hear of pods.
pub(super) fn request(id: &PodId, spec: &PodSpec) -> AttachRequest {
    let metadata = &spec.metadata;
    let args = [
        ("K8S_POD_NAMESPACE", metadata.namespace.as_str()),
        ("K8S_POD_NAME", &metadata.name),
        ("K8S_POD_INFRA_CONTAINER_ID", id.as_str()),
        ("K8S_POD_UID", &metadata.uid),
    ];
    AttachRequest {
        id: id.to_string(),
        ports: spec.port_mappings.iter().map(port).collect(),
        args: args.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        dns: spec.dns.as_ref().map(dns),
        bandwidth: Bandwidth {
            ingress: rate(&spec.annotations, "kubernetes.io/ingress-bandwidth"),
            egress: rate(&spec.annotations, "kubernetes.io/egress-bandwidth"),
        },
        ..AttachRequest::default()
    }
}

fn port(port: &pod::PortMapping) -> PortMapping {
    PortMapping {
        protocol: match port.protocol {
            pod::Protocol::Tcp => Protocol::Tcp,
            pod::Protocol::Udp => Protocol::Udp,
            pod::Protocol::Sctp => Protocol::Sctp,
        },
        container_port: port.container_port,
        host_port: port.host_port,
        host_ip: port.host_ip,
    }
}

fn dns(dns: &pod::DnsConfig) -> Dns {
    Dns { servers: dns.servers.clone(), searches: dns.searches.clone(), options: dns.options.clone() }
}

/// An annotation's bits per second. One that makes no sense limits nothing, and says so: the pod's other traits stand.
fn rate(annotations: &BTreeMap<String, String>, key: &str) -> Option<u64> {
    let text = annotations.get(key)?;
    let rate = quantity(text).filter(|rate| (1000..=1_000_000_000_000_000).contains(rate));
    if rate.is_none() {
        tracing::warn!(%key, %text, "is no rate from 1k to 1P such as 10M: the pod's traffic is not limited");
    }
    rate
}

/// A Kubernetes quantity as a whole number.
fn quantity(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 12] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("k", 1000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("e3", 1000),
        ("e6", 1_000_000),
    ];
    let unit = UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)));
    let (number, unit) = unit.unwrap_or((text, 1));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut value = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        value = value.checked_add(u64::from(digit.to_digit(10)?) * place)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, expected) in
            [("10M", 10_000_000), ("1Gi", 1 << 30), ("5000", 5000), ("1.5M", 1_500_000), ("3e6", 3_000_000)]
        {
            assert_eq!(quantity(text), Some(expected), "{text}");
        }
        for text in ["", "M", "-1M", "1.xM", "10MB", "99999999999P"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}
