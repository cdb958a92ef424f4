//! Batches: all of their changes are made at once, or none.

use crate::netlink::{Attributes, Family, Messages, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, Socket};
use rustix::io::Errno;
use std::io;

use super::expression::Rule;

const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NFNL_SUBSYS_NFTABLES: u16 = 10;

const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_GETTABLE: u16 = 1;
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
const NFTA_RULE_TABLE: u16 = 1;
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
const NFT_SET_MAP: u32 = 8;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
pub(super) const NFTA_DATA_VALUE: u16 = 1;

/// The family of a table for both IP versions.
const NFPROTO_INET: u8 = 1;

/// A type of nftables, and how many bytes it takes in a key.
#[derive(Clone, Copy)]
pub(super) enum Type {
    Ipv4,
    Ipv6,
    Protocol,
    Port,
}

impl Type {
    fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
        }
    }

    fn length(self) -> u32 {
        match self {
            Self::Ipv6 => 16,
            // Shorter ones are padded to a register.
            _ => 4,
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

/// Changes to one table that are made together.
pub(crate) struct Batch {
    table: String,
    messages: Messages,
    sets: u32,
}

/// `struct nfgenmsg`: family, version, and for the ends of a batch its subsystem.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

impl Batch {
    pub(crate) fn new(table: &str) -> Self {
        let mut messages = Messages::default();
        messages.push(NFNL_MSG_BATCH_BEGIN, 0, &header(0, NFNL_SUBSYS_NFTABLES), |_| {});
        Self { table: table.to_owned(), messages, sets: 0 }
    }

    fn push(&mut self, message: u16, flags: u16, body: impl FnOnce(&mut Attributes, &str)) {
        let kind = (NFNL_SUBSYS_NFTABLES << 8) | message;
        let table = &self.table;
        self.messages.push(kind, flags | NLM_F_ACK, &header(NFPROTO_INET, 0), |a| body(a, table));
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
        self.sets += 1;
        let id = self.sets;
        self.push(NFT_MSG_NEWSET, NLM_F_CREATE, |a, table| {
            a.text(NFTA_SET_TABLE, table);
            a.text(NFTA_SET_NAME, name);
            a.be32(NFTA_SET_FLAGS, if data.is_empty() { 0 } else { NFT_SET_MAP });
            a.be32(NFTA_SET_KEY_TYPE, concatenated(key));
            a.be32(NFTA_SET_KEY_LEN, length(key));
            if !data.is_empty() {
                a.be32(NFTA_SET_DATA_TYPE, concatenated(data));
                a.be32(NFTA_SET_DATA_LEN, length(data));
            }
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

    pub(super) fn element(&mut self, add: bool, set: &str, key: &[u8], data: Option<&[u8]>) {
        let (message, flags) = if add { (NFT_MSG_NEWSETELEM, NLM_F_CREATE) } else { (NFT_MSG_DELSETELEM, 0) };
        self.push(message, flags, |a, table| {
            a.text(NFTA_SET_ELEM_LIST_TABLE, table);
            a.text(NFTA_SET_ELEM_LIST_SET, set);
            a.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |a| {
                a.nest(NFTA_LIST_ELEM, |a| {
                    a.nest(NFTA_SET_ELEM_KEY, |a| a.bytes(NFTA_DATA_VALUE, key));
                    if let Some(data) = data {
                        a.nest(NFTA_SET_ELEM_DATA, |a| a.bytes(NFTA_DATA_VALUE, data));
                    }
                });
            });
        });
    }
}

/// The socket to nftables in one network namespace.
pub(crate) struct Nft {
    socket: Socket,
}

impl Nft {
    /// Opens the socket in the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: Socket::open(Family::Netfilter)? })
    }

    /// Makes the changes; on an error none of them.
    pub(crate) fn commit(&mut self, mut batch: Batch) -> io::Result<()> {
        batch.messages.push(NFNL_MSG_BATCH_END, 0, &header(0, NFNL_SUBSYS_NFTABLES), |_| {});
        // The ends of a batch are not acknowledged by older kernels, and we ask for none.
        let changes = batch.messages.count() as usize - 2;
        let answers = self.socket.exchange(batch.messages)?;
        // An error of the commit itself comes with the number of the batch's beginning.
        if let Some(errno) = answers.iter().find_map(|(_, errno)| *errno) {
            return Err(errno.into());
        }
        if answers.len() < changes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel did not answer every change"));
        }
        Ok(())
    }

    /// Whether the table is there.
    pub(crate) fn has_table(&mut self, table: &str) -> io::Result<bool> {
        let mut messages = Messages::default();
        let kind = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE;
        messages.push(kind, NLM_F_ACK, &header(NFPROTO_INET, 0), |a| a.text(NFTA_TABLE_NAME, table));
        match self.socket.request(messages) {
            Ok(()) => Ok(true),
            Err((_, error)) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(false),
            Err((_, error)) => Err(error),
        }
    }
}
