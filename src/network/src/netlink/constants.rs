//! Numbers of the kernel's that more than one kind of request uses.

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

pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;
pub(crate) const AF_BRIDGE: u8 = 7;

/// A link is made or changed.
pub(crate) const RTM_NEWLINK: u16 = 16;
/// What there is about the kind of a link.
pub(crate) const IFLA_LINKINFO: u16 = 18;

/// An attribute that has others inside says so.
pub(crate) const NLA_F_NESTED: u16 = 0x8000;
