//! What a pod says about its network.

use std::net::IpAddr;

use peapod_api::v1;
use peapod_network::PORTS_PER_POD;
use peapod_spec::bounds::{DNS_BYTES, DNS_ENTRIES};
use peapod_spec::pod::{DnsConfig, PortMapping, Protocol};
use peapod_text::excerpt;

use super::field::{Checked, FieldError, at_most, known};

/// The mappings that publish something.
pub(super) fn port_mappings(mappings: Vec<v1::PortMapping>) -> Checked<Vec<PortMapping>> {
    if mappings.len() > PORTS_PER_POD {
        let reason = format!("{} mappings: a pod can have at most {PORTS_PER_POD}", mappings.len());
        return Err(FieldError::new("port_mappings", reason));
    }
    let mut checked = Vec::new();
    for (index, mapping) in mappings.into_iter().enumerate() {
        let mapping = port_mapping(&mapping).map_err(|error| error.within(&format!("port_mappings[{index}]")))?;
        checked.extend(mapping);
    }
    Ok(checked)
}

fn port_mapping(mapping: &v1::PortMapping) -> Checked<Option<PortMapping>> {
    let protocol = match known("protocol", mapping.protocol)? {
        v1::Protocol::Tcp => Protocol::Tcp,
        v1::Protocol::Udp => Protocol::Udp,
        v1::Protocol::Sctp => Protocol::Sctp,
    };
    let host_port = port("host_port", mapping.host_port)?;
    let container_port = port("container_port", mapping.container_port)?;
    let host_ip = match mapping.host_ip.as_str() {
        "" => None,
        text => {
            Some(text.parse().map_err(|_| FieldError::new("host_ip", format!("{} is no IP address", excerpt(text))))?)
        }
    };
    // The address that means all of them.
    let host_ip = host_ip.filter(|ip: &IpAddr| !ip.is_unspecified());
    if host_port == 0 {
        return Ok(None);
    }
    if container_port == 0 {
        return Err(FieldError::new("container_port", "is 0: a host port needs a port of the container"));
    }
    Ok(Some(PortMapping { protocol, container_port, host_port, host_ip }))
}

fn port(field: &str, value: i32) -> Checked<u16> {
    u16::try_from(value).map_err(|_| FieldError::new(field, format!("{value} is no port (0 to 65535)")))
}

/// Words for a resolv.conf; none of them may begin a line of its own.
pub(super) fn dns(config: v1::DnsConfig) -> Checked<DnsConfig> {
    let lists = [("servers", &config.servers), ("searches", &config.searches), ("options", &config.options)];
    for (field, list) in lists {
        at_most(field, "entries", list.len(), DNS_ENTRIES)?;
    }
    let bytes = lists.iter().flat_map(|(_, list)| *list).map(|word| word.len() + 1).sum();
    at_most("servers, searches and options", "bytes", bytes, DNS_BYTES)?;
    Ok(DnsConfig {
        servers: words("servers", config.servers)?,
        searches: words("searches", config.searches)?,
        options: words("options", config.options)?,
    })
}

fn words(field: &str, values: Vec<String>) -> Checked<Vec<String>> {
    for (index, value) in values.iter().enumerate() {
        if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(FieldError::new(format!("{field}[{index}]"), format!("{} is not one word", excerpt(value))));
        }
    }
    Ok(values)
}
