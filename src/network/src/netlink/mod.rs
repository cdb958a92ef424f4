//! Netlink without a library: messages are written into a buffer, sent in one call, answers are read back.
//!
//! The few constants that are used stand beside their use, with the names that the kernel's headers give them.

mod socket;
mod wire;

pub(crate) use socket::{Family, Socket};
pub(crate) use wire::{Attributes, Messages, attributes, find, u32_of};

/// Flag of a request: answer also if all went well.
pub(crate) const NLM_F_ACK: u16 = 4;
/// Flag of a request: answer with everything there is.
pub(crate) const NLM_F_DUMP: u16 = 0x300;
/// Flag of a making request: replace what is there.
pub(crate) const NLM_F_REPLACE: u16 = 0x100;
/// Flag of a making request: fail if it is there.
pub(crate) const NLM_F_EXCL: u16 = 0x200;
/// Flag of a making request: make it if it is not there.
pub(crate) const NLM_F_CREATE: u16 = 0x400;
/// Flag of a making request: behind what is there.
pub(crate) const NLM_F_APPEND: u16 = 0x800;
