//! Batches: all of their changes are made at once, or none.

use crate::netlink::{Attributes, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NetlinkMessages};

use super::constants::{
    NFNL_SUBSYS_NFTABLES, NFTA_LIST_ELEM, NFTA_RULE_TABLE, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET,
    NFTA_SET_ELEM_LIST_TABLE,
};
use super::element::Element;
use super::rule::Rule;
use super::table_family::TableFamily;
use std::collections::BTreeSet;
use std::time::Duration;

const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;

const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_DELTABLE: u16 = 2;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_MSG_NEWSET: u16 = 9;
const NFT_MSG_NEWSETELEM: u16 = 12;
const NFT_MSG_DELSETELEM: u16 = 14;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_SET_TABLE: u16 = 1;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_DATA_TYPE: u16 = 6;
const NFTA_SET_DATA_LEN: u16 = 7;
const NFTA_SET_ID: u16 = 10;
const NFTA_SET_DESC: u16 = 9;
const NFTA_SET_TIMEOUT: u16 = 11;
const NFTA_SET_DESC_SIZE: u16 = 1;
const NFT_SET_MAP: u32 = 8;
const NFT_SET_TIMEOUT: u32 = 0x10;
const NFT_SET_EVAL: u32 = 0x20;

/// How many elements go out in one call: their messages stay below a netlink socket's smallest usual buffers.
const AT_ONCE: usize = 256;

/// A type of nftables, and how many bytes it takes in a key.
#[derive(Clone, Copy)]
pub(super) enum Type {
    Ipv4,
    Ipv6,
    Mac,
    Protocol,
    Port,
    Mark,
    Link,
}

impl Type {
    fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Mac => 9,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::Link => 41,
        }
    }

    fn length(self) -> u32 {
        match self {
            Self::Ipv6 | Self::Link => 16,
            // All others are padded to whole registers.
            Self::Mac => 8,
            Self::Ipv4 | Self::Protocol | Self::Port | Self::Mark => 4,
        }
    }
}

/// The number of a concatenated type: six bits for each part.
fn concatenated(types: &[Type]) -> u32 {
    types.iter().fold(0, |number, part| (number << 6) | part.number())
}

fn length(types: &[Type]) -> u32 {
    types.iter().map(|part| part.length()).sum()
}

/// Where a chain hangs in the packet's way.
pub(super) struct Hook {
    pub(super) kind: &'static str,
    pub(super) number: u32,
    pub(super) priority: i32,
}

/// A set that rules fill as packets come.
pub(super) struct DynamicSet {
    /// How many elements it takes.
    pub(super) size: u32,
    /// How long an element stays; without, until its state says that nothing is left of it.
    pub(super) timeout: Option<Duration>,
}

/// Changes to the tables of one name that are made together.
pub(crate) struct Batch {
    table: String,
    family: TableFamily,
    messages: NetlinkMessages,
    sets: u32,
}

/// `struct nfgenmsg`: family, version, and for the ends of a batch its subsystem.
pub(super) fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

impl Batch {
    /// A batch that begins with the table of this family.
    pub(crate) fn new(family: TableFamily, table: &str) -> Self {
        let mut messages = NetlinkMessages::default();
        messages.push(NFNL_MSG_BATCH_BEGIN, 0, &header(0, NFNL_SUBSYS_NFTABLES), |_| {});
        Self { table: table.to_owned(), family, messages, sets: 0 }
    }

    /// Batches that add these elements to the tables of this name; fine if they are there.
    pub(crate) fn adding(elements: &BTreeSet<Element>, table: &str) -> Vec<Self> {
        let elements: Vec<Element> = elements.iter().cloned().collect();
        elements.chunks(AT_ONCE).map(|part| of_elements(part, table, Self::add_elements)).collect()
    }

    /// With these elements, which are added in the same moment; those for which there is no room come in batches
    /// behind it.
    pub(crate) fn and_adding(mut self, elements: &BTreeSet<Element>) -> Vec<Self> {
        let elements: Vec<Element> = elements.iter().cloned().collect();
        let (first, rest) = elements.split_at(elements.len().min(AT_ONCE));
        add(&mut self, first, Self::add_elements);
        let table = self.table.clone();
        let behind = rest.chunks(AT_ONCE).map(|part| of_elements(part, &table, Self::add_elements));
        std::iter::once(self).chain(behind).collect()
    }

    /// Batches that take these elements out of the tables of this name, whether they are there or not. Each fails if
    /// its table is not there, and is of one table.
    pub(crate) fn deleting(elements: &BTreeSet<Element>, table: &str) -> Vec<Self> {
        let elements: Vec<Element> = elements.iter().cloned().collect();
        let of_families = elements.chunk_by(|a, b| a.family == b.family);
        let parts = of_families.flat_map(|of_family| of_family.chunks(AT_ONCE));
        let delete = |batch: &mut Self, of_set: &[Element]| {
            // One that is missing would keep the others.
            batch.add_elements(of_set);
            batch.delete_elements(of_set);
        };
        parts.map(|part| of_elements(part, table, delete)).collect()
    }

    /// What follows is about the table of this family.
    pub(crate) fn switch_to(&mut self, family: TableFamily) {
        self.family = family;
    }

    /// The messages with their end, and how many of them are changes.
    pub(super) fn finish(mut self) -> (NetlinkMessages, usize) {
        self.messages.push(NFNL_MSG_BATCH_END, 0, &header(0, NFNL_SUBSYS_NFTABLES), |_| {});
        // The ends of a batch are not acknowledged by older kernels, and none is asked for.
        let changes = self.messages.count() as usize - 2;
        (self.messages, changes)
    }

    fn push(&mut self, message: u16, flags: u16, body: impl FnOnce(&mut Attributes, &str)) {
        let kind = (NFNL_SUBSYS_NFTABLES << 8) | message;
        let (family, table) = (self.family.number(), &self.table);
        self.messages.push(kind, flags | NLM_F_ACK, &header(family, 0), |a| body(a, table));
    }

    /// Makes the table, or leaves it if it is there.
    pub(crate) fn add_table(&mut self) {
        self.push(NFT_MSG_NEWTABLE, NLM_F_CREATE, |a, table| a.text(NFTA_TABLE_NAME, table));
    }

    /// Takes the table away with all that is in it.
    pub(crate) fn delete_table(&mut self) {
        self.push(NFT_MSG_DELTABLE, 0, |a, table| a.text(NFTA_TABLE_NAME, table));
    }

    pub(super) fn add_chain(&mut self, name: &str, hook: Option<&Hook>) {
        self.push(NFT_MSG_NEWCHAIN, NLM_F_CREATE, |a, table| {
            a.text(NFTA_CHAIN_TABLE, table);
            a.text(NFTA_CHAIN_NAME, name);
            if let Some(hook) = hook {
                a.nest(NFTA_CHAIN_HOOK, |a| {
                    a.be32(NFTA_HOOK_HOOKNUM, hook.number);
                    a.be32(NFTA_HOOK_PRIORITY, hook.priority.cast_unsigned());
                });
                a.text(NFTA_CHAIN_TYPE, hook.kind);
            }
        });
    }

    /// Adds a set, or with `data` a map.
    pub(super) fn add_set(&mut self, name: &str, key: &[Type], data: &[Type]) {
        self.set(name, if data.is_empty() { 0 } else { NFT_SET_MAP }, key, |a| {
            if !data.is_empty() {
                a.be32(NFTA_SET_DATA_TYPE, concatenated(data));
                a.be32(NFTA_SET_DATA_LEN, length(data));
            }
        });
    }

    /// Adds a set that rules fill.
    pub(super) fn add_dynamic_set(&mut self, name: &str, key: &[Type], set: &DynamicSet) {
        let timeout = set.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self.set(name, NFT_SET_EVAL | timeout.map_or(0, |_| NFT_SET_TIMEOUT), key, |a| {
            if let Some(timeout) = timeout {
                a.be64(NFTA_SET_TIMEOUT, timeout);
            }
            a.nest(NFTA_SET_DESC, |a| a.be32(NFTA_SET_DESC_SIZE, set.size));
        });
    }

    fn set(&mut self, name: &str, flags: u32, key: &[Type], more: impl FnOnce(&mut Attributes)) {
        self.sets += 1;
        let id = self.sets;
        self.push(NFT_MSG_NEWSET, NLM_F_CREATE, |a, table| {
            a.text(NFTA_SET_TABLE, table);
            a.text(NFTA_SET_NAME, name);
            a.be32(NFTA_SET_FLAGS, flags);
            a.be32(NFTA_SET_KEY_TYPE, concatenated(key));
            a.be32(NFTA_SET_KEY_LEN, length(key));
            more(a);
            a.be32(NFTA_SET_ID, id);
        });
    }

    pub(super) fn add_rule(&mut self, chain: &str, rule: Rule) {
        self.push(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |a, table| {
            a.text(NFTA_RULE_TABLE, table);
            a.text(NFTA_RULE_CHAIN, chain);
            a.nest(NFTA_RULE_EXPRESSIONS, |a| rule.write(a));
        });
    }

    /// Adds elements of one set; fine if they are there. One message, one acknowledgement, however many they are.
    pub(super) fn add_elements(&mut self, elements: &[Element]) {
        self.elements(NFT_MSG_NEWSETELEM, NLM_F_CREATE, elements);
    }

    /// Takes elements of one set away; fails if one of them is not there.
    pub(super) fn delete_elements(&mut self, elements: &[Element]) {
        self.elements(NFT_MSG_DELSETELEM, 0, elements);
    }

    fn elements(&mut self, message: u16, flags: u16, elements: &[Element]) {
        let Some(first) = elements.first() else { return };
        self.push(message, flags, |a, table| {
            a.text(NFTA_SET_ELEM_LIST_TABLE, table);
            a.text(NFTA_SET_ELEM_LIST_SET, first.set);
            a.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |a| {
                for element in elements {
                    a.nest(NFTA_LIST_ELEM, |a| element.write(a));
                }
            });
        });
    }
}

fn of_elements(elements: &[Element], table: &str, change: impl Fn(&mut Batch, &[Element])) -> Batch {
    let mut batch = Batch::new(TableFamily::Inet, table);
    add(&mut batch, elements, change);
    batch
}

fn add(batch: &mut Batch, elements: &[Element], change: impl Fn(&mut Batch, &[Element])) {
    for of_set in elements.chunk_by(|a, b| (a.family, a.set) == (b.family, b.set)) {
        if let Some(first) = of_set.first() {
            batch.switch_to(first.family);
        }
        change(batch, of_set);
    }
}
