//! nftables by its own netlink protocol: one long-lived socket, because a process that changes rules and ends pays
//! thousands of times more than the change itself.

mod batch;
mod expression;
mod ruleset;

pub(crate) use batch::{Batch, Nft};
pub(crate) use ruleset::{Element, Ruleset};
