//! nftables by its own netlink protocol: one long-lived socket, because a process that changes rules and ends pays
//! thousands of times more than the change itself.

mod batch;
mod constants;
mod element;
mod expression;
mod frame;
mod limits;
mod rule;
mod ruleset;
mod socket;
mod sources;

pub(crate) use batch::TableFamily;
pub(crate) use element::Element;
pub(crate) use ruleset::Ruleset;
pub(crate) use socket::Nft;
