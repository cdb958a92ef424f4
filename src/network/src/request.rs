//! Whether a request is acceptable, whatever network fulfils it. Decisions without I/O.

use crate::attachment::AttachRequest;
use crate::bounds::PORTS_PER_POD;
use crate::error::AttachError;
use crate::ports::{PortMapping, PortSet, Protocol};
use std::collections::BTreeSet;
use std::net::IpAddr;

const ID_MAX: usize = 128;

/// Whether it can be part of a file name.
pub(crate) fn is_id(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !id.is_empty() && id.len() <= ID_MAX && !id.starts_with('.') && id.chars().all(allowed)
}

/// What is true in every network.
pub(crate) fn check(mut request: AttachRequest) -> Result<AttachRequest, AttachError> {
    if !is_id(&request.id) {
        return Err(AttachError::InvalidId { id: request.id.chars().take(ID_MAX).collect() });
    }
    request.ports.retain(|port| port.host_port != 0);
    if request.ports.len() > PORTS_PER_POD {
        return Err(AttachError::TooManyPorts { count: request.ports.len() });
    }
    if let Some(port) = request.ports.iter().find(|port| port.container_port == 0) {
        return Err(AttachError::InvalidPort { port: *port, what: "leads to container port 0; use 1 to 65535" });
    }
    ports_of(&request)?;
    Ok(request)
}

/// The request's ports, as a set.
pub(crate) fn ports_of(request: &AttachRequest) -> Result<PortSet, AttachError> {
    PortSet::of(&request.ports).map_err(|(earlier, port)| {
        let what = if earlier == port { "is mapped twice" } else { "is mapped twice, to different ports" };
        AttachError::InvalidPort { port, what }
    })
}

/// The same for both ends of a comparison: what a repeated request must be equal in.
pub(crate) fn same_ports(a: &[PortMapping], b: &[PortMapping]) -> bool {
    let key = |ports: &[PortMapping]| -> BTreeSet<(Protocol, u16, u16, Option<IpAddr>)> {
        ports.iter().map(|port| (port.protocol, port.host_port, port.container_port, port.host_ip)).collect()
    };
    key(a) == key(b)
}
