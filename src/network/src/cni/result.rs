//! What a result says about the pod. Versions 0.3 to 1.1 differ in nothing that is read here.

use super::caller::INTERFACE;
use crate::attachment::Attachment;
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    interfaces: Vec<Interface>,
    #[serde(default)]
    ips: Vec<Address>,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    name: String,
    #[serde(default)]
    mac: String,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    sandbox: String,
}

#[derive(Deserialize)]
struct Address {
    address: String,
    gateway: Option<IpAddr>,
    interface: Option<usize>,
}

/// Fills in what the plugins decided. The addresses keep the order that they have there.
pub(crate) fn read(result: &Value, attachment: &mut Attachment) -> Result<(), String> {
    let written = Written::deserialize(result).map_err(|error| error.to_string())?;
    // Addresses of the node's end, if a plugin lists them, are not the pod's.
    let inside = |index: usize| written.interfaces.get(index).is_none_or(|link| !link.sandbox.is_empty());
    for address in written.ips.iter().filter(|address| address.interface.is_none_or(inside)) {
        let ip = address.address.split('/').next().unwrap_or_default();
        let ip = ip.parse().map_err(|_| format!("'{}' is no address", address.address))?;
        attachment.ips.push(ip);
        attachment.gateways.extend(address.gateway);
    }
    let links = || written.interfaces.iter().filter(|link| !link.sandbox.is_empty());
    if let Some(link) = links().find(|link| link.name == INTERFACE).or_else(|| links().next()) {
        attachment.interface.clone_from(&link.name);
        attachment.mac.clone_from(&link.mac);
        attachment.mtu = link.mtu;
    }
    Ok(())
}
