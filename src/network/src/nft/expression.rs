//! The kernel's expressions: small steps of which a rule is made, which load something into a register, compare it, or
//! act.

use super::constants::NFTA_DATA_VALUE;
use crate::netlink::Attributes;

const LOOKUP_F_INV: u32 = 1;

/// The first register of four bytes; the next ones follow.
pub(super) const REG: u32 = 8;

/// Keys of `meta`.
pub(super) const META_IIFNAME: u32 = 6;
pub(super) const META_OIFNAME: u32 = 7;
pub(super) const META_NFPROTO: u32 = 15;
pub(super) const META_L4PROTO: u32 = 16;
pub(super) const META_PKTTYPE: u32 = 19;

/// How what is loaded is compared.
#[derive(Clone, Copy)]
pub(super) enum Is {
    Equal = 0,
    Different = 1,
    AtMost = 3,
    AtLeast = 5,
}

/// A part of a frame: of which header, from which byte on, how many.
#[derive(Clone, Copy)]
pub(super) struct FrameField {
    base: u32,
    offset: u32,
    length: u32,
}

impl FrameField {
    pub(super) const fn link(offset: u32, length: u32) -> Self {
        Self { base: 0, offset, length }
    }

    pub(super) const fn network(offset: u32, length: u32) -> Self {
        Self { base: 1, offset, length }
    }

    /// Bytes behind the IP header and its extensions; not there in any but the first fragment of a packet.
    pub(super) const fn transport(offset: u32, length: u32) -> Self {
        Self { base: 2, offset, length }
    }

    /// How many registers it takes.
    pub(super) fn registers(self) -> u32 {
        self.length.div_ceil(4)
    }
}

/// The kernel's name of an expression, and what writes its attributes.
pub(super) type Step = (&'static str, Box<dyn FnOnce(&mut Attributes)>);

pub(super) fn step(name: &'static str, write: impl FnOnce(&mut Attributes) + 'static) -> Step {
    (name, Box::new(write))
}

fn value(a: &mut Attributes, kind: u16, bytes: &[u8]) {
    a.nest(kind, |a| a.bytes(NFTA_DATA_VALUE, bytes));
}

/// Loads what the kernel knows of a packet beside its bytes.
pub(super) fn meta(key: u32, register: u32) -> Step {
    step("meta", move |a| {
        a.be32(2, key);
        a.be32(1, register);
    })
}

/// Changes that.
pub(super) fn set_meta(key: u32, register: u32) -> Step {
    step("meta", move |a| {
        a.be32(2, key);
        a.be32(3, register);
    })
}

/// Loads a field.
pub(super) fn load(field: FrameField, register: u32) -> Step {
    step("payload", move |a| {
        for (kind, value) in [(1, register), (2, field.base), (3, field.offset), (4, field.length)] {
            a.be32(kind, value);
        }
    })
}

/// Writes into a field that no checksum covers.
pub(super) fn set_field(field: FrameField, register: u32) -> Step {
    step("payload", move |a| {
        let of_field = [(5, register), (2, field.base), (3, field.offset), (4, field.length)];
        for (kind, value) in of_field.into_iter().chain([(6, 0), (7, 0), (8, 0)]) {
            a.be32(kind, value);
        }
    })
}

/// Loads these bytes.
pub(super) fn immediate(bytes: Vec<u8>) -> Step {
    step("immediate", move |a| {
        a.be32(1, REG);
        value(a, 2, &bytes);
    })
}

/// Goes on if what is loaded is so, compared with these bytes.
pub(super) fn compare(is: Is, bytes: Vec<u8>) -> Step {
    step("cmp", move |a| {
        a.be32(1, REG);
        a.be32(2, is as u32);
        value(a, 3, &bytes);
    })
}

/// Keeps only these bits of what is loaded.
pub(super) fn mask(bytes: Vec<u8>) -> Step {
    step("bitwise", move |a| {
        a.be32(1, REG);
        a.be32(2, REG);
        a.be32(3, u32::try_from(bytes.len()).unwrap_or(0));
        value(a, 4, &bytes);
        value(a, 5, &vec![0; bytes.len()]);
    })
}

/// Goes on if what is loaded is in the set.
pub(super) fn among(set: &str) -> Step {
    let set = set.to_owned();
    step("lookup", move |a| {
        a.text(1, &set);
        a.be32(2, REG);
    })
}

/// Goes on if what is loaded is not in the set.
pub(super) fn not_among(set: &'static str) -> Step {
    step("lookup", move |a| {
        a.text(1, set);
        a.be32(2, REG);
        a.be32(5, LOOKUP_F_INV);
    })
}

/// Goes on with what the map has for what is loaded, if it has anything.
pub(super) fn mapped(map: &str) -> Step {
    let map = map.to_owned();
    step("lookup", move |a| {
        a.text(1, &map);
        a.be32(2, REG);
        a.be32(3, REG);
    })
}
