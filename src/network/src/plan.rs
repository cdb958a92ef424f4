//! Decisions without I/O: whether a request is acceptable, and what exactly is going to be made.

use crate::attachment::{AttachRequest, Attachment};
use crate::bounds::{BRIDGE_PORTS, PORTS_PER_POD};
use crate::config::Settings;
use crate::error::{AttachError, PortOwner};
use crate::link::{Mac, link_local};
use crate::neighbour::Neighbour;
use crate::nft::Element;
use crate::node::{Bridge, GATEWAY, mac};
use crate::pool::Pool;
use crate::ports::{PortMapping, PortSet, Protocol};
use crate::record::{Layout, Record, pin_name};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

const ID_MAX: usize = 128;
/// The link inside a pod.
const INTERFACE: &str = "eth0";

/// What is known of one attachment.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: Arc<Record>,
    pub(crate) attachment: Arc<Attachment>,
    /// It was made, and can be shown.
    pub(crate) complete: bool,
    /// It is being taken away: its ports are not to be mapped again.
    pub(crate) leaving: bool,
    /// When it could not be taken away for the first time.
    pub(crate) failing_since: Option<Instant>,
}

/// All attachments and the numbers they use.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) entries: HashMap<String, Entry>,
    /// Attachments whose records can't be read.
    pub(crate) lost: BTreeMap<String, Lost>,
    /// Numbers of links that no record has: those of lost attachments are among them.
    pub(crate) strays: BTreeSet<u32>,
    pub(crate) pool: Pool,
    pub(crate) closed: bool,
}

/// An attachment of which nothing is known but that it was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It was complete, and somebody may use it.
    InUse,
    /// It is to be taken away.
    Leaving,
}

/// How many numbers there are, counted from 1.
pub(crate) fn slots(settings: &Settings) -> u32 {
    [settings.v4, settings.v6].into_iter().flatten().map(|subnet| subnet.hosts()).min().unwrap_or(0)
}

/// Checks the request by itself; leaves out what maps nothing.
pub(crate) fn check(settings: &Settings, request: AttachRequest) -> Result<AttachRequest, AttachError> {
    let request = check_any(request)?;
    for port in &request.ports {
        check_port(settings, port)?;
    }
    Ok(request)
}

/// Whether it can be part of a file name.
pub(crate) fn is_id(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !id.is_empty() && id.len() <= ID_MAX && !id.starts_with('.') && id.chars().all(allowed)
}

/// What is true in every network.
pub(crate) fn check_any(mut request: AttachRequest) -> Result<AttachRequest, AttachError> {
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

fn check_port(settings: &Settings, port: &PortMapping) -> Result<(), AttachError> {
    let Some(ip) = port.host_ip else { return Ok(()) };
    if ip == IpAddr::V6(Ipv6Addr::LOCALHOST) {
        let what = "the kernel does not redirect from ::1; use 127.0.0.1, or another address of the node";
        return Err(AttachError::InvalidPort { port: *port, what });
    }
    let served = if ip.is_ipv4() { settings.v4 } else { settings.v6 };
    if served.is_none() {
        return Err(AttachError::NoFamily { port: *port, address: ip });
    }
    Ok(())
}

/// The same for both ends of a comparison: what a repeated request must be equal in.
pub(crate) fn same_ports(a: &[PortMapping], b: &[PortMapping]) -> bool {
    let key = |ports: &[PortMapping]| -> BTreeSet<(Protocol, u16, u16, Option<IpAddr>)> {
        ports.iter().map(|port| (port.protocol, port.host_port, port.container_port, port.host_ip)).collect()
    };
    key(a) == key(b)
}

impl Book {
    pub(crate) fn new(entries: HashMap<String, Entry>, pool: Pool) -> Self {
        Self { entries, lost: BTreeMap::new(), strays: BTreeSet::new(), pool, closed: false }
    }

    /// A port of the set that is in the way of an attachment's, and whose.
    pub(crate) fn meets(&self, ports: &PortSet) -> Option<(PortMapping, String)> {
        let others = self.entries.iter().map(|(id, entry)| (id.as_str(), entry.attachment.ports.as_slice()));
        ports.meets(others).map(|(port, id)| (port, id.to_owned()))
    }

    /// Reserves ports and a number for the request, none of those in `resting`; none if all free ones rest.
    pub(crate) fn reserve(
        &mut self,
        settings: &Settings,
        bridge: Bridge,
        request: &AttachRequest,
        resting: &BTreeSet<u32>,
    ) -> Result<Option<Entry>, AttachError> {
        if self.closed {
            return Err(AttachError::Closed);
        }
        if self.entries.len() >= BRIDGE_PORTS {
            return Err(AttachError::Full { most: BRIDGE_PORTS });
        }
        if let Some((port, id)) = self.meets(&ports_of(request)?) {
            return Err(AttachError::PortTaken { port, owner: PortOwner::Attachment(id) });
        }
        let Some(slot) = self.pool.take(|slot| !resting.contains(&slot)) else {
            if !resting.is_empty() {
                return Ok(None);
            }
            let subnets = [settings.v4, settings.v6].into_iter().flatten().map(|subnet| subnet.to_string());
            let subnet = subnets.collect::<Vec<_>>().join(" and ");
            return Err(AttachError::NoAddress { subnet, used: self.pool.used() });
        };
        let entry = Entry::planned(settings, bridge, request, slot);
        self.entries.insert(request.id.clone(), entry.clone());
        Ok(Some(entry))
    }

    /// Forgets an entry and frees what it had.
    pub(crate) fn forget(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.pool.give_back(entry.record.slot);
        }
    }

    /// Forgets a lost one; gives the numbers that belonged to any of them once the last is gone.
    pub(crate) fn forget_lost(&mut self, id: &str) -> BTreeSet<u32> {
        self.lost.remove(id);
        if !self.lost.is_empty() {
            return BTreeSet::new();
        }
        let strays = std::mem::take(&mut self.strays);
        strays.iter().for_each(|slot| self.pool.give_back(*slot));
        strays
    }

    /// Whether there is something of this id that is to be taken away.
    pub(crate) fn is_leaving(&self, id: &str) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.leaving) || self.lost.get(id) == Some(&Lost::Leaving)
    }
}

impl Entry {
    pub(crate) fn of(record: Record, complete: bool) -> Self {
        let attachment = Arc::new(record.attachment.clone());
        Self { record: Arc::new(record), attachment, complete, leaving: !complete, failing_since: None }
    }

    fn planned(settings: &Settings, bridge: Bridge, request: &AttachRequest, slot: u32) -> Self {
        let octets = mac(slot).map(|octet| format!("{octet:02x}"));
        let attachment = Attachment {
            id: request.id.clone(),
            netns: settings.netns_dir.join(pin_name(&request.id)),
            ips: addresses(settings, slot),
            gateways: addresses(settings, GATEWAY),
            interface: INTERFACE.to_owned(),
            mac: octets.join(":"),
            mtu: bridge.mtu,
            host_interface: host_interface(&settings.bridge, slot),
            ports: request.ports.clone(),
        };
        let record = Record { attachment, bridge: settings.bridge.clone(), slot, layout: Layout::Routed };
        Self { leaving: false, ..Self::of(record, false) }
    }
}

fn addresses(settings: &Settings, slot: u32) -> Vec<IpAddr> {
    [settings.v4, settings.v6].into_iter().flatten().map(|subnet| subnet.host(slot)).collect()
}

/// What the tables hold for the pod of this number, of which nothing else is known: its layout may be the older one.
pub(crate) fn sources(settings: &Settings, slot: u32) -> BTreeSet<Element> {
    let link = host_interface(&settings.bridge, slot);
    Element::of_pod(&link, mac(slot), &addresses(settings, slot), Layout::Shared)
}

/// The pod of this number as the bridge's neighbour.
pub(crate) fn neighbours(settings: &Settings, slot: u32) -> Vec<Neighbour> {
    known_by(settings, mac(slot), &addresses(settings, slot))
}

/// One hardware address and the IP addresses that it has on the bridge.
pub(crate) fn known_by(settings: &Settings, mac: Mac, ips: &[IpAddr]) -> Vec<Neighbour> {
    let link_local = settings.v6.map(|_| IpAddr::V6(link_local(mac)));
    ips.iter().copied().chain(link_local).map(|ip| Neighbour { ip, mac }).collect()
}

/// How the names of the pods' links on the node begin, from the bridge's name.
pub(crate) fn link_prefix(bridge: &str) -> String {
    // FNV-1a, folded: two bridges of one node hardly ever get the same, and if they do with the same number as well,
    // the kernel says so and another number is taken.
    let hash = bridge.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("pv{:04x}-", (hash >> 16) ^ (hash & 0xffff))
}

/// The name of the link on the node: all 15 bytes, from the bridge's name and the number.
fn host_interface(bridge: &str, slot: u32) -> String {
    format!("{}{slot:08x}", link_prefix(bridge))
}

/// The number of a link of this bridge.
pub(crate) fn slot_of(bridge: &str, link: &str) -> Option<u32> {
    u32::from_str_radix(link.strip_prefix(&link_prefix(bridge))?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::CniConfig;
    use crate::config::Config;

    fn settings(subnets: &[&str]) -> Settings {
        let subnets = subnets.iter().map(|text| text.parse().unwrap()).collect();
        let config = Config {
            bridge: "peapod0".to_owned(),
            subnets,
            netns_dir: "/run/netns".into(),
            mtu: None,
            cni: CniConfig::default(),
        };
        config.settings().unwrap()
    }

    fn request(id: &str, ports: &[(u16, u16, &str)]) -> AttachRequest {
        let ports = ports
            .iter()
            .map(|(host_port, container_port, ip)| PortMapping {
                protocol: Protocol::Tcp,
                container_port: *container_port,
                host_port: *host_port,
                host_ip: (!ip.is_empty()).then(|| ip.parse().unwrap()),
            })
            .collect();
        AttachRequest { id: id.to_owned(), ports, ..AttachRequest::default() }
    }

    #[test]
    fn refuses_what_cannot_work() {
        let v4 = settings(&["10.93.0.0/16"]);
        for id in ["", ".x", "..", "a/b", "a b", &"x".repeat(129)] {
            assert!(matches!(check(&v4, request(id, &[])), Err(AttachError::InvalidId { .. })), "{id}");
        }
        let wrong = |ports: &[(u16, u16, &str)]| check(&v4, request("a", ports)).unwrap_err().to_string();
        assert!(wrong(&[(80, 0, "")]).contains("container port 0"));
        assert!(wrong(&[(80, 1, "::1")]).contains("::1"));
        assert!(wrong(&[(80, 1, "fd00::1")]).contains("no address of that family"));
        assert!(wrong(&[(80, 1, ""), (80, 2, "")]).contains("different ports"));
        assert!(wrong(&[(80, 1, ""), (80, 1, "")]).contains("twice"));
        assert_eq!(check(&v4, request("a", &[(0, 0, ""), (0, 7, "::1")])).unwrap().ports, []);
        check(&settings(&["fd93::/64"]), request("a", &[(80, 1, "fd00::1")])).unwrap();
    }

    #[test]
    fn plans_whole_attachments() {
        let settings = settings(&["fd93::/64", "10.93.0.0/29"]);
        let pool = Pool::new(slots(&settings), BTreeSet::new(), 0);
        let mut book = Book::new(HashMap::new(), pool);
        let bridge = Bridge { index: 3, mtu: 1400 };
        let reserve = |book: &mut Book, request: &AttachRequest| {
            book.reserve(&settings, bridge, request, &BTreeSet::new()).map(|entry| entry.unwrap().attachment)
        };
        let first = reserve(&mut book, &request("a", &[(80, 8080, "")])).unwrap();
        assert_eq!(first.ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.93.0.2", "fd93::2"]);
        assert_eq!(first.gateways.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.93.0.1", "fd93::1"]);
        assert_eq!((first.mac.as_str(), first.mtu), ("02:70:00:00:00:02", 1400));
        assert_eq!(first.netns.to_str(), Some("/run/netns/peapod-a"));
        assert_eq!(first.host_interface.len(), 15);
        let taken = reserve(&mut book, &request("b", &[(80, 1, "10.0.0.1")])).unwrap_err();
        assert_eq!(taken.to_string(), "host port 10.0.0.1:80/TCP is taken by pod a: stop that, or map another port");
        for id in ["b", "c", "d", "e"] {
            reserve(&mut book, &request(id, &[])).unwrap();
        }
        let full = reserve(&mut book, &request("f", &[])).unwrap_err().to_string();
        assert!(full.starts_with("no address is free in 10.93.0.0/29 and fd93::/64 (5 in use)"), "{full}");
        book.forget("a");
        assert_eq!(reserve(&mut book, &request("f", &[(80, 1, "")])).unwrap().ips[0].to_string(), "10.93.0.2");
    }
}
