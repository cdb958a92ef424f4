//! What a result says about the pod, checked: it becomes part of the pod's status and files. Versions 0.3 to 1.1 differ
//! in nothing that is read here.

use super::caller::INTERFACE;
use super::conflist::excerpt;
use crate::attachment::Attachment;
use crate::bounds::{PLUGIN_ADDRESSES, PLUGIN_LINKS};
use crate::config::LINK_NAME_MAX;
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;

/// Bytes of a hardware address in the kernel (`MAX_ADDR_LEN`).
const MAC_MAX: usize = 32;

#[derive(Deserialize)]
struct WrittenResult {
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
    let written = WrittenResult::deserialize(result).map_err(|error| excerpt(&error.to_string()))?;
    let (links, ips) = (written.interfaces.len(), written.ips.len());
    if links > PLUGIN_LINKS || ips > PLUGIN_ADDRESSES {
        return Err(format!(
            "it has {links} interfaces and {ips} addresses; at most {PLUGIN_LINKS} and {PLUGIN_ADDRESSES} are allowed"
        ));
    }
    // Addresses of the node's end, if a plugin lists them, are not the pod's.
    let inside = |index: usize| written.interfaces.get(index).is_none_or(|link| !link.sandbox.is_empty());
    for address in written.ips.iter().filter(|address| address.interface.is_none_or(inside)) {
        let ip =
            ip(&address.address).ok_or_else(|| format!("'{}' is no address of a pod", excerpt(&address.address)))?;
        attachment.ips.push(ip);
        attachment.gateways.extend(address.gateway);
    }
    let links = || written.interfaces.iter().filter(|link| !link.sandbox.is_empty());
    if let Some(link) = links().find(|link| link.name == INTERFACE).or_else(|| links().next()) {
        if !is_link_name(&link.name) {
            return Err(format!("'{}' is no name of a link", excerpt(&link.name)));
        }
        if !is_mac(&link.mac) {
            return Err(format!("'{}' is no hardware address", excerpt(&link.mac)));
        }
        attachment.interface.clone_from(&link.name);
        attachment.mac.clone_from(&link.mac);
        attachment.mtu = link.mtu;
    }
    Ok(())
}

/// An address that one host can have, behind it perhaps the length of its prefix.
fn ip(text: &str) -> Option<IpAddr> {
    let (ip, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    let ip: IpAddr = ip.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let fits = prefix.is_none_or(|prefix| prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most));
    (fits && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback()).then_some(ip)
}

/// As the kernel allows.
fn is_link_name(name: &str) -> bool {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    (1..=LINK_NAME_MAX).contains(&name.len()) && name != "." && name != ".." && name.chars().all(allowed)
}

/// Pairs of hexadecimal digits with colons between; or nothing, as some links have none.
fn is_mac(text: &str) -> bool {
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
    text.is_empty() || text.len() < 3 * MAC_MAX && text.split(':').all(pair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::record::planned;
    use serde_json::json;

    fn answer(result: &Value) -> Result<Attachment, String> {
        let mut attachment = planned("a", "/run/netns".as_ref(), Vec::new());
        read(result, &mut attachment).map(|()| attachment)
    }

    #[test]
    fn reads_what_plugins_say() {
        let usual = json!({
            "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": "/x", "mac": "02:00:00:00:00:07", "mtu": 1400}],
            "ips": [{"address": "10.9.0.2/24", "gateway": "10.9.0.1", "interface": 1}, {"address": "10.9.0.1", "interface": 0}],
        });
        let attachment = answer(&usual).unwrap();
        assert_eq!((attachment.ips.len(), attachment.mac.as_str(), attachment.mtu), (1, "02:00:00:00:00:07", 1400));
        let infiniband = vec!["00"; 20].join(":");
        answer(&json!({"interfaces": [{"name": "ib0", "sandbox": "/x", "mac": infiniband}]})).unwrap();
    }

    #[test]
    fn refuses_what_cannot_be() {
        let link = |name: &str, mac: &str| json!({"interfaces": [{"name": name, "sandbox": "/x", "mac": mac}]});
        let ip = |text: &str| json!({"ips": [{"address": text}]});
        let many = |count: usize| json!({"ips": vec![json!({"address": "10.0.0.1"}); count]});
        for wrong in [
            link("0123456789abcdef", ""),
            link("a b", ""),
            link("../x", ""),
            link("eth0", "02:00\n127.0.0.1 evil"),
            link("eth0", &"0".repeat(200)),
            ip("0.0.0.0/0"),
            ip("10.0.0.1/33"),
            ip("224.0.0.1"),
            ip("10.0.0.1 evil"),
            ip(""),
            many(PLUGIN_ADDRESSES + 1),
            json!({"interfaces": vec![json!({}); PLUGIN_LINKS + 1]}),
            json!({"ips": "10.0.0.1"}),
        ] {
            let error = answer(&wrong).unwrap_err();
            assert!(error.len() < 500 && !error.contains('\n'), "{error}");
        }
        answer(&many(PLUGIN_ADDRESSES)).unwrap();
    }
}
