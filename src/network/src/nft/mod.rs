//! nftables by its own netlink protocol: one long-lived socket, because a process that changes rules and ends pays
//! thousands of times more than the change itself.

mod batch;
mod bridge_rules;
mod constants;
mod element;
mod expression;
mod frame;
mod limits;
mod rule;
mod ruleset;
mod socket;
mod sources;
mod table_family;

pub(crate) use batch::Batch;
pub(crate) use bridge_rules::Ruleset;
pub(crate) use element::Element;
pub(crate) use socket::Nft;
pub(crate) use table_family::TableFamily;
