//! What a pod asks of its network.

use std::path::PathBuf;

use peapod_network::{AttachRequest, Bandwidth, Dns, PortMapping, Protocol};
use peapod_spec::pod::{self, PodSpec};
use peapod_trace::Span;

use crate::id::PodId;

/// The request, for the namespace that the pod has or for a new one, with the names under which plugins expect to hear
/// of pods.
pub(super) fn request(id: &PodId, spec: &PodSpec, namespace: Option<PathBuf>, span: Span) -> AttachRequest {
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
        bandwidth: Bandwidth { ingress: spec.bandwidth.ingress, egress: spec.bandwidth.egress },
        namespace,
        span,
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
