//! What all attachments share on the node: the bridge, its addresses, the sysctls, the nftables tables
//! ([`tables`]). All of it blocks.

mod tables;

use self::tables::open;
use super::facts;
use super::naming::{GATEWAY, host_index_of, is_pods, mac};
use crate::config::Settings;
use crate::conntrack::{UdpConnections, forget_udp};
use crate::error::StepError;
use crate::link::Link;
use crate::neighbour::{Neighbour, Port};
use crate::netlink::{Family, Socket};
use crate::news::RouteNews;
use crate::nft::{Element, Nft, Ruleset};
use crate::routes::Routes;
use peapod_sys::sync::lock;
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

/// The packet size where neither the settings nor a default route give one.
const MTU: u32 = 1500;

/// The bridge as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bridge {
    pub(crate) index: u32,
    pub(crate) mtu: u32,
}

#[derive(Default)]
struct HostState {
    nft: Option<Nft>,
    bridge: Option<Bridge>,
    /// Of the rules as they were made.
    fingerprint: u64,
    /// Of links and all that belongs to them, since they were seen to be in order.
    news: Option<RouteNews>,
}

/// The shared part. One lock for all changes to rules: they take microseconds.
pub(crate) struct HostNetwork {
    pub(crate) settings: Settings,
    inner: Mutex<HostState>,
    /// The socket to connection tracking. It has a lock of its own, for what it does takes long.
    connections: Mutex<Option<Socket>>,
}

impl HostNetwork {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, inner: Mutex::default(), connections: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HostState> {
        // What is in there is valid after a panic elsewhere as well.
        lock(&self.inner)
    }

    /// Opens the sockets that are not open. A socket belongs to the namespace in which it was opened, and keeps it: to
    /// be called before the calling thread enters another.
    pub(crate) fn open_sockets(&self) -> Result<(), StepError> {
        open(&mut self.lock().nft)?;
        let mut connections = lock(&self.connections);
        let failed = |source| StepError::new("open a connection tracking socket", source);
        open_connections(&mut connections).map(|_| ()).map_err(failed)
    }

    /// The bridge, if it was made or seen.
    pub(crate) fn bridge(&self) -> Option<Bridge> {
        self.lock().bridge
    }

    /// Makes what is missing, or was changed by others; whether anything was. Links and what belongs to them are looked
    /// at if the kernel has told of changes, and now and then. `elements` gives what the tables have to
    /// hold, `neighbours` the pods on the bridge.
    pub(crate) fn repair(
        &self,
        elements: impl FnOnce() -> BTreeSet<Element>,
        neighbours: impl FnOnce() -> BTreeSet<Neighbour>,
    ) -> Result<bool, StepError> {
        let mut inner = self.lock();
        let (known, news) = (inner.bridge.take(), inner.news.take());
        if let Some((bridge, news)) = known.zip(news).and_then(|(bridge, news)| quiet(bridge, news)) {
            self.hold_facts()?;
            let made = self.hold_tables(&mut inner, elements)?;
            (inner.bridge, inner.news) = (Some(bridge), Some(news));
            return Ok(made);
        }
        // Before the look: what changes from now on may be missing in it.
        let news = RouteNews::open().ok();
        let mut routes = Routes::open()?;
        let links = routes.links()?;
        let found = self.bridge_among(&links)?;
        let same = known.zip(found.as_ref()).is_some_and(|(known, found)| known.index == found.index && found.up);
        if same && self.has_addresses(&mut routes)? {
            self.hold_facts()?;
            let made = self.hold_tables(&mut inner, elements)?;
            inner.bridge = known;
            self.hold_pods(&mut routes, &links, inner.bridge, neighbours)?;
            inner.news = news;
            return Ok(made);
        }
        let bridge = self.make_bridge(&mut routes, found)?;
        self.make_tables(&mut inner, &elements())?;
        inner.bridge = Some(bridge);
        self.hold_pods(&mut routes, &links, inner.bridge, neighbours)?;
        inner.news = news;
        Ok(true)
    }

    /// Sets switches of the node that somebody has changed, and says so.
    pub(crate) fn hold_facts(&self) -> Result<(), StepError> {
        let changed = facts::hold(&self.settings)?;
        if !changed.is_empty() {
            let bridge = &self.settings.bridge;
            tracing::warn!(%bridge, changed = changed.join(", "), "pods need other settings of the node: set again");
        }
        Ok(())
    }

    /// Holds what the bridge knows of pods: their links, what is behind these, and their addresses.
    fn hold_pods(
        &self,
        routes: &mut Routes,
        links: &[Link],
        bridge: Option<Bridge>,
        neighbours: impl FnOnce() -> BTreeSet<Neighbour>,
    ) -> Result<(), StepError> {
        let Some(bridge) = bridge else { return Ok(()) };
        self.hold_links(routes, links, bridge);
        // Looked at first: one that is entered meanwhile is among those that are to be there.
        let there = routes.neighbours(bridge.index)?;
        let wanted = neighbours();
        let missing: Vec<_> = wanted.difference(&there).copied().collect();
        let stale: Vec<_> = there.difference(&wanted).filter(|known| is_pods(known.mac)).copied().collect();
        routes.delete_neighbours(bridge.index, &stale)?;
        routes.add_neighbours(bridge.index, &missing)
    }

    /// Puts pods' links back that somebody has taken off the bridge, as one does who deletes it, or switched off; and
    /// sets up those that an older peapod has made. One that can't be is said and left: it may be on its way out.
    fn hold_links(&self, routes: &mut Routes, links: &[Link], bridge: Bridge) {
        let ports = routes.ports().unwrap_or_default();
        for link in links {
            let Some(host_index) = host_index_of(&self.settings.bridge, &link.name) else { continue };
            let port = Port { link: link.index, mac: mac(host_index) };
            let is_off = link.master != bridge.index || !link.up;
            let held = if is_off { routes.put_back(link, bridge.index) } else { Ok(()) };
            let is_set = !is_off && ports.contains(&port);
            match held.and_then(|()| if is_set { Ok(()) } else { routes.set_port(&port) }) {
                Ok(()) if is_off => {
                    tracing::warn!(link = %link.name, "a pod's link was off the bridge, and is put back");
                }
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "a pod's link is not on the bridge"),
            }
        }
    }

    fn find_bridge(&self, routes: &mut Routes) -> Result<Option<Link>, StepError> {
        self.bridge_among(&routes.links()?)
    }

    fn bridge_among(&self, links: &[Link]) -> Result<Option<Link>, StepError> {
        let name = &self.settings.bridge;
        let found = links.iter().find(|link| link.name == *name).cloned();
        match found {
            Some(link) if link.kind != "bridge" => {
                let kind = if link.kind.is_empty() { "a device" } else { link.kind.as_str() };
                let what = format!("it exists and is no bridge but {kind}; set network.bridge to another name");
                Err(StepError::new(format!("use {name} as bridge"), io::Error::other(what)))
            }
            other => Ok(other),
        }
    }

    fn make_bridge(&self, routes: &mut Routes, found: Option<Link>) -> Result<Bridge, StepError> {
        let name = &self.settings.bridge;
        let mtu = self.mtu(routes)?;
        let link = match found {
            Some(link) => link,
            None => {
                routes.make_bridge(name, mac(GATEWAY), mtu)?;
                let missing = || StepError::new(format!("find bridge {name}"), rustix::io::Errno::NODEV);
                self.find_bridge(routes)?.ok_or_else(missing)?
            }
        };
        facts::hold(&self.settings)?;
        routes.set_up_bridge(&link, mac(GATEWAY))?;
        routes.switch_on(&link)?;
        for (ip, prefix) in self.gateways() {
            routes.add_address(&link, ip, prefix)?;
        }
        Ok(Bridge { index: link.index, mtu })
    }

    fn mtu(&self, routes: &mut Routes) -> Result<u32, StepError> {
        if let Some(mtu) = self.settings.mtu {
            return Ok(mtu);
        }
        let Some(index) = routes.default_link()? else { return Ok(MTU) };
        Ok(routes.links()?.iter().find(|link| link.index == index).map_or(MTU, |link| link.mtu))
    }

    fn gateways(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        let subnets = [self.settings.v4, self.settings.v6].into_iter().flatten();
        subnets.map(|subnet| (subnet.host(GATEWAY), subnet.prefix()))
    }

    fn has_addresses(&self, routes: &mut Routes) -> Result<bool, StepError> {
        let addresses = routes.addresses()?;
        Ok(self.gateways().all(|(ip, _)| addresses.contains(&ip)))
    }

    /// Takes pods away as neighbours of a bridge; fine if they or the bridge are not there.
    pub(crate) fn delete_neighbours(&self, bridge: &str, neighbours: &[Neighbour]) -> Result<(), StepError> {
        let mut routes = Routes::open()?;
        let Some(index) = routes.index_of(bridge) else { return Ok(()) };
        routes.delete_neighbours(index, neighbours)
    }

    /// Forgets UDP connections to these ports of the node.
    pub(crate) fn forget_udp(
        &self,
        ports: &BTreeSet<u16>,
        v4: bool,
        which: &UdpConnections<'_>,
    ) -> Result<(), StepError> {
        let mut connections = lock(&self.connections);
        let failed = |source| StepError::new("forget old UDP connections", source);
        let socket = open_connections(&mut connections).map_err(failed)?;
        forget_udp(socket, ports, v4, which).map_err(failed)
    }

    /// Takes bridge and table away.
    pub(crate) fn purge(&self) -> Result<(), Vec<StepError>> {
        let mut inner = self.lock();
        inner.bridge = None;
        let bridge = &self.settings.bridge;
        let table = open(&mut inner.nft).and_then(|nft| {
            nft.commit(Ruleset::purge(bridge))
                .map_err(|source| StepError::new(format!("delete the nftables tables {bridge}"), source))
        });
        let link = Routes::open().and_then(|mut routes| routes.delete(bridge));
        let errors: Vec<_> = [table, link].into_iter().filter_map(Result::err).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// Both, if nothing was told that concerns the bridge.
fn quiet(bridge: Bridge, mut news: RouteNews) -> Option<(Bridge, RouteNews)> {
    news.is_quiet(bridge.index).then_some((bridge, news))
}

fn open_connections(connections: &mut Option<Socket>) -> io::Result<&mut Socket> {
    match connections {
        Some(socket) => Ok(socket),
        none => Ok(none.insert(Socket::open(Family::Netfilter)?)),
    }
}
