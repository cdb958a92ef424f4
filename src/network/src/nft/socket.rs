//! The socket to nftables in one network namespace: changes go out, and what is there is looked at.

use super::batch::{Batch, header};
use super::constants::{
    NFNL_SUBSYS_NFTABLES, NFTA_LIST_ELEM, NFTA_RULE_TABLE, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET,
    NFTA_SET_ELEM_LIST_TABLE,
};
use super::element::Element;
use super::table_family::TableFamily;
use crate::netlink::{Attributes, Family, NLM_F_ACK, NLM_F_DUMP, Socket, attributes, find};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};
use std::io;

const NFT_MSG_GETRULE: u16 = 7;
const NFT_MSG_GETSETELEM: u16 = 13;
const NFT_MSG_GETGEN: u16 = 16;
const NFTA_GEN_ID: u16 = 1;
/// `struct nfgenmsg`.
const HEADER: usize = 4;

/// The socket.
pub(crate) struct Nft {
    socket: Socket,
    /// The number of the namespace's rule sets when all of it was known: each change by anybody counts it on by one.
    generation: Option<u32>,
}

impl Nft {
    /// Opens the socket in the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: Socket::open(Family::Netfilter)?, generation: None })
    }

    /// Makes the changes; on an error none of them.
    pub(crate) fn commit(&mut self, batch: Batch) -> io::Result<()> {
        let (messages, changes) = batch.finish();
        let answers = self.socket.exchange(messages)?;
        // An error of the commit itself comes with the number of the batch's beginning.
        if let Some(errno) = answers.iter().find_map(|(_, errno)| *errno) {
            return Err(errno.into());
        }
        if answers.len() < changes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel did not answer every change"));
        }
        self.generation = self.generation.map(|number| number.wrapping_add(1));
        Ok(())
    }

    /// Whether nobody but this socket has changed any rules since [`remember`](Self::remember).
    pub(crate) fn is_untouched(&mut self) -> io::Result<bool> {
        let now = self.generation()?;
        Ok(now.is_some() && now == self.generation)
    }

    /// The number of the namespace's rule sets now.
    pub(crate) fn generation(&mut self) -> io::Result<Option<u32>> {
        let mut number = None;
        self.ask(
            NFT_MSG_GETGEN,
            NLM_F_ACK,
            0,
            |_| {},
            |list| {
                number = number.or(find(list, NFTA_GEN_ID).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes));
            },
        )?;
        Ok(number)
    }

    /// All is as it should be at this number.
    pub(crate) fn remember(&mut self, generation: Option<u32>) {
        self.generation = generation;
    }

    /// A number that is another one if any rule of the table was changed, moved, taken away or made anew.
    pub(crate) fn fingerprint(&mut self, family: TableFamily, table: &str) -> io::Result<u64> {
        let mut hasher = DefaultHasher::new();
        let which = |a: &mut Attributes| a.text(NFTA_RULE_TABLE, table);
        self.ask(NFT_MSG_GETRULE, NLM_F_DUMP, family.number(), which, |list| hasher.write(list))?;
        Ok(hasher.finish())
    }

    /// The elements of a set; none if the set is not there.
    pub(crate) fn elements(
        &mut self,
        family: TableFamily,
        table: &str,
        set: &'static str,
    ) -> io::Result<BTreeSet<Element>> {
        let mut elements = BTreeSet::new();
        let which = |a: &mut Attributes| {
            a.text(NFTA_SET_ELEM_LIST_TABLE, table);
            a.text(NFTA_SET_ELEM_LIST_SET, set);
        };
        let asked = self.ask(NFT_MSG_GETSETELEM, NLM_F_DUMP, family.number(), which, |list| {
            let list = find(list, NFTA_SET_ELEM_LIST_ELEMENTS).unwrap_or_default();
            let each = attributes(list).filter(|(kind, _)| *kind == NFTA_LIST_ELEM);
            elements.extend(each.filter_map(|(_, element)| Element::read(family, set, element)));
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(BTreeSet::new()),
            other => other.map(|()| elements),
        }
    }

    fn ask(
        &mut self,
        message: u16,
        flags: u16,
        family: u8,
        which: impl Fn(&mut Attributes),
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let kind = (NFNL_SUBSYS_NFTABLES << 8) | message;
        self.socket.dump(
            |messages| messages.push(kind, flags, &header(family, 0), &which),
            |body| each(body.get(HEADER..).unwrap_or_default()),
        )
    }
}
