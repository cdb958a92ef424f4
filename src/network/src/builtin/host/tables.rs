//! The nftables tables of the bridge, and what they hold for pods. All of it blocks.

use std::collections::BTreeSet;
use std::io;

use super::{HostNetwork, HostState};
use crate::bounds::POD_CONNECTIONS;
use crate::builtin::naming::{GATEWAY, link_prefix, mac};
use crate::config::Settings;
use crate::error::StepError;
use crate::netns::is_gone;
use crate::nft::{Batch, Element, Nft, Ruleset, TableFamily};

impl HostNetwork {
    fn ruleset(&self) -> Ruleset {
        let Settings { bridge, v4, v6, .. } = &self.settings;
        Ruleset {
            bridge: bridge.clone(),
            links: link_prefix(bridge),
            v4: *v4,
            v6: *v6,
            mac: mac(GATEWAY),
            connections: connections_of_a_pod(),
        }
    }

    /// Makes the tables anew if somebody else has changed anything in them; whether that was so.
    pub(super) fn hold_tables(
        &self,
        inner: &mut HostState,
        elements: impl FnOnce() -> BTreeSet<Element>,
    ) -> Result<bool, StepError> {
        let bridge = &self.settings.bridge;
        let failed = |source| StepError::new(format!("look at the nftables tables {bridge}"), source);
        let nft = open(&mut inner.nft)?;
        if nft.is_untouched().map_err(failed)? {
            return Ok(false);
        }
        // Somebody has changed something, most likely of another table.
        let generation = nft.generation().map_err(failed)?;
        let elements = elements();
        let same = fingerprint(nft, bridge).and_then(|seen| {
            let mut there = BTreeSet::new();
            for (family, set) in self.ruleset().sets() {
                there.extend(nft.elements(family, bridge, set)?);
            }
            Ok(seen == inner.fingerprint && there == elements)
        });
        if same.map_err(failed)? {
            nft.remember(generation);
            return Ok(false);
        }
        self.make_tables(inner, &elements)?;
        Ok(true)
    }

    pub(super) fn make_tables(&self, inner: &mut HostState, elements: &BTreeSet<Element>) -> Result<(), StepError> {
        let bridge = &self.settings.bridge;
        let failed = |source: io::Error| {
            let unknown =
                [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::OPNOTSUPP].map(rustix::io::Errno::raw_os_error);
            let hint = match source.raw_os_error().is_some_and(|number| unknown.contains(&number)) {
                true => " (the kernel needs CONFIG_NF_TABLES_INET and CONFIG_NF_TABLES_BRIDGE)",
                false => "",
            };
            StepError::new(format!("make the nftables tables inet and bridge {bridge}{hint}"), source)
        };
        let nft = open(&mut inner.nft)?;
        let generation = nft.generation().map_err(failed)?;
        nft.remember(generation);
        // At once: pods are reached through the old ones until then.
        for batch in self.ruleset().replace().and_adding(elements) {
            nft.commit(batch).map_err(failed)?;
        }
        inner.fingerprint = fingerprint(nft, bridge).map_err(failed)?;
        Ok(())
    }

    /// Makes the tables anew, for an element that can't be taken out of them.
    pub(crate) fn rebuild(&self, elements: &BTreeSet<Element>) -> Result<(), StepError> {
        self.make_tables(&mut self.lock(), elements)
    }

    /// Adds elements to the tables.
    pub(crate) fn add(&self, elements: &BTreeSet<Element>) -> Result<(), StepError> {
        let failed = |source| StepError::new("map host ports and say what the pod may send", source);
        // Many take long: other pods come between.
        for batch in Batch::adding(elements, &self.settings.bridge) {
            open(&mut self.lock().nft)?.commit(batch).map_err(failed)?;
        }
        Ok(())
    }

    /// Takes elements out of the tables of this bridge; fine if they or the tables are not there. Goes on after an
    /// error, and gives the first.
    pub(crate) fn delete(&self, bridge: &str, elements: &BTreeSet<Element>) -> Result<(), StepError> {
        let mut first = Ok(());
        for batch in Batch::deleting(elements, bridge) {
            match open(&mut self.lock().nft)?.commit(batch) {
                // There is no such table.
                Err(error) if is_gone(&error) => {}
                other => first = first.and(other),
            }
        }
        first.map_err(|source| StepError::new("unmap host ports and forget what the pod may send", source))
    }
}

/// How many connections of one address the node keeps track of: [`POD_CONNECTIONS`], or a quarter of all if that is
/// less.
fn connections_of_a_pod() -> u32 {
    let most = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max");
    let most = most.ok().and_then(|text| text.trim().parse::<u32>().ok());
    most.map_or(POD_CONNECTIONS, |most| POD_CONNECTIONS.min((most / 4).max(1)))
}

pub(super) fn open(nft: &mut Option<Nft>) -> Result<&mut Nft, StepError> {
    match nft {
        Some(nft) => Ok(nft),
        none => {
            let nft = Nft::open().map_err(|source| StepError::new("open an nftables socket", source))?;
            Ok(none.insert(nft))
        }
    }
}

fn fingerprint(nft: &mut Nft, table: &str) -> io::Result<u64> {
    let [inet, bridge] = [TableFamily::Inet, TableFamily::Bridge].map(|family| nft.fingerprint(family, table));
    Ok(inet? ^ bridge?.rotate_left(1))
}
