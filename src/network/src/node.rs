//! What all attachments share on the node: the bridge, its addresses, the sysctls, the nftables table. All of it blocks.

use crate::config::Settings;
use crate::conntrack::{Which, forget_udp};
use crate::error::StepError;
use crate::link::{Link, Mac, Routes};
use crate::netlink::{Family, Socket};
use crate::netns::{ignore_routers, is_gone, sysctl};
use crate::nft::{Batch, Element, Nft, Ruleset};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of the gateway within the subnets.
const GATEWAY: u32 = 1;
/// The packet size where neither the settings nor a default route give one.
const MTU: u32 = 1500;
/// How many elements go out in one call; the socket's buffer holds several times as many.
const ELEMENTS_AT_ONCE: usize = 256;

/// The bridge as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bridge {
    pub(crate) index: u32,
    pub(crate) mtu: u32,
}

#[derive(Default)]
struct Inner {
    nft: Option<Nft>,
    bridge: Option<Bridge>,
}

/// The shared part. One lock for all changes to rules: they take microseconds.
pub(crate) struct Node {
    pub(crate) settings: Settings,
    inner: Mutex<Inner>,
    /// The socket to connection tracking. It has a lock of its own, for what it does takes long.
    connections: Mutex<Option<Socket>>,
}

/// The hardware address that goes with a number: a number that is given again has the same, so that nobody's memory of
/// it is wrong.
pub(crate) fn mac(slot: u32) -> Mac {
    let [a, b, c, d] = slot.to_be_bytes();
    // Locally administered.
    [0x02, 0x70, a, b, c, d]
}

impl Node {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, inner: Mutex::default(), connections: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is in there is valid after a panic elsewhere as well.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the sockets that are not open. A socket belongs to the namespace in which it was opened, and keeps it: to
    /// be called before the calling thread enters another.
    pub(crate) fn open_sockets(&self) -> Result<(), StepError> {
        open(&mut self.lock())?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| StepError::new("open a connection tracking socket", source);
        open_connections(&mut connections).map(|_| ()).map_err(failed)
    }

    /// The bridge, if it was made or seen.
    pub(crate) fn bridge(&self) -> Option<Bridge> {
        self.lock().bridge
    }

    /// Makes what is missing; whether anything was. `elements` gives what the table has to hold.
    pub(crate) fn repair(&self, elements: impl FnOnce() -> BTreeSet<Element>) -> Result<bool, StepError> {
        let mut inner = self.lock();
        let known = inner.bridge.take();
        let mut routes = Routes::open()?;
        let found = self.find_bridge(&mut routes)?;
        let same = known.zip(found.as_ref()).is_some_and(|(known, found)| known.index == found.index && found.up);
        if same && has_table(&mut inner, &self.settings.bridge)? {
            inner.bridge = known;
            return Ok(false);
        }
        let bridge = self.make_bridge(&mut routes, found)?;
        self.make_table(&mut inner, elements())?;
        inner.bridge = Some(bridge);
        Ok(true)
    }

    fn find_bridge(&self, routes: &mut Routes) -> Result<Option<Link>, StepError> {
        let name = &self.settings.bridge;
        let found = routes.links()?.into_iter().find(|link| link.name == *name);
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
        if self.settings.v4.is_some() {
            sysctl("ipv4/ip_forward", "1")?;
            // Answers to a node's process that came by 127.0.0.1 are addressed to it.
            sysctl(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
        }
        if self.settings.v6.is_some() {
            sysctl("ipv6/conf/all/forwarding", "1")?;
            sysctl(&format!("ipv6/conf/{name}/disable_ipv6"), "0")?;
        }
        ignore_routers(name)?;
        routes.switch_on(&link)?;
        for subnet in [self.settings.v4, self.settings.v6].into_iter().flatten() {
            routes.add_address(&link, subnet.host(GATEWAY), subnet.prefix())?;
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

    fn make_table(&self, inner: &mut Inner, elements: BTreeSet<Element>) -> Result<(), StepError> {
        let Settings { bridge, v4, v6, .. } = &self.settings;
        let failed = |source| StepError::new(format!("make the nftables table inet {bridge}"), source);
        let nft = open(inner)?;
        nft.commit(Ruleset { bridge: bridge.clone(), v4: *v4, v6: *v6 }.replace()).map_err(failed)?;
        let elements: Vec<_> = elements.into_iter().collect();
        for part in elements.chunks(ELEMENTS_AT_ONCE) {
            let mut batch = Batch::new(bridge);
            part.iter().for_each(|element| element.add(&mut batch));
            nft.commit(batch).map_err(failed)?;
        }
        Ok(())
    }

    /// Adds elements to the table.
    pub(crate) fn add(&self, elements: &BTreeSet<Element>) -> Result<(), StepError> {
        if elements.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(&self.settings.bridge);
        elements.iter().for_each(|element| element.add(&mut batch));
        let mut inner = self.lock();
        open(&mut inner)?.commit(batch).map_err(|source| StepError::new("map host ports", source))
    }

    /// Takes elements out of the table of this bridge; fine if they or the table are not there.
    pub(crate) fn delete(&self, bridge: &str, elements: &BTreeSet<Element>) -> Result<(), StepError> {
        if elements.is_empty() {
            return Ok(());
        }
        let mut inner = self.lock();
        let nft = open(&mut inner)?;
        let mut commit = |elements: &mut dyn Iterator<Item = &Element>| {
            let mut batch = Batch::new(bridge);
            elements.for_each(|element| element.delete(&mut batch));
            match nft.commit(batch) {
                Err(error) if is_gone(&error) => Ok(false),
                other => other.map(|()| true),
            }
        };
        let failed = |source| StepError::new("unmap host ports", source);
        if commit(&mut elements.iter()).map_err(failed)? {
            return Ok(());
        }
        // One of them is missing, and a batch is all or nothing.
        for element in elements {
            commit(&mut std::iter::once(element)).map_err(failed)?;
        }
        Ok(())
    }

    /// Forgets UDP connections to these ports of the node.
    pub(crate) fn forget_udp(&self, ports: &BTreeSet<u16>, v4: bool, which: &Which<'_>) -> Result<(), StepError> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| StepError::new("forget old UDP connections", source);
        let socket = open_connections(&mut connections).map_err(failed)?;
        forget_udp(socket, ports, v4, which).map_err(failed)
    }

    /// Takes bridge and table away.
    pub(crate) fn purge(&self) -> Result<(), Vec<StepError>> {
        let mut inner = self.lock();
        inner.bridge = None;
        let bridge = &self.settings.bridge;
        let table = open(&mut inner).and_then(|nft| {
            let mut batch = Batch::new(bridge);
            // Deleting it is an error if it is not there.
            batch.add_table();
            batch.delete_table();
            nft.commit(batch)
                .map_err(|source| StepError::new(format!("delete the nftables table inet {bridge}"), source))
        });
        let link = Routes::open().and_then(|mut routes| routes.delete(bridge));
        let errors: Vec<_> = [table, link].into_iter().filter_map(Result::err).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn open(inner: &mut Inner) -> Result<&mut Nft, StepError> {
    match &mut inner.nft {
        Some(nft) => Ok(nft),
        none => {
            let nft = Nft::open().map_err(|source| StepError::new("open an nftables socket", source))?;
            Ok(none.insert(nft))
        }
    }
}

fn open_connections(connections: &mut Option<Socket>) -> io::Result<&mut Socket> {
    match connections {
        Some(socket) => Ok(socket),
        none => Ok(none.insert(Socket::open(Family::Netfilter)?)),
    }
}

fn has_table(inner: &mut Inner, bridge: &str) -> Result<bool, StepError> {
    open(inner)?
        .has_table(bridge)
        .map_err(|source| StepError::new(format!("look for the nftables table inet {bridge}"), source))
}
