//! What the tables of a bridge are made of.

use crate::address::Mac;
use crate::subnet::Subnet;

/// The tables of one bridge.
#[derive(Clone, Debug)]
pub(crate) struct Ruleset {
    pub(crate) bridge: String,
    /// How the names of the pods' links on the node begin.
    pub(crate) links: String,
    pub(crate) v4: Option<Subnet>,
    pub(crate) v6: Option<Subnet>,
    /// The bridge's hardware address.
    pub(crate) mac: Mac,
    /// How many connections of one address of a pod there may be.
    pub(crate) connections: u32,
}
