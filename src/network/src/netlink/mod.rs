//! Netlink without a library: messages are written into a buffer, sent in one call, answers are read back.
//!
//! The few constants that are used have the names that the kernel's headers give them; those of one use stand beside
//! it.

mod constants;
mod socket;
mod wire;

pub(crate) use constants::*;
pub(crate) use socket::{Family, Socket};
pub(crate) use wire::{Attributes, NetlinkMessages, attributes, find, u32_of};
