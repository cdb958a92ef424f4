//! The pods' network: CNI plugins if a configuration for them is found, else the built-in one.
//!
//! The built-in network is a bridge with addresses, network namespaces pinned as files, links into them, and ports of
//! the node that lead to them. All by netlink and nftables in this process; it starts no program.
//!
//! Everything that is made on the node is named after the bridge: the bridge itself, the two nftables tables
//! (`inet <bridge>` and `bridge <bridge>`), the links. Other tables, links and sysctls are left alone, but for
//! `net.ipv4.ip_forward`, with an IPv6 subnet `net.ipv6.conf.all.forwarding`, and the bridge's own switches
//! (`facts.rs`). What others change of these is set again.
//!
//! No pod is believed: its link sends only from its own hardware address and IP addresses (`nft/sources.rs`). And none
//! fills a table that the kernel has once for all: everything but the gateway is behind the gateway for it, nobody
//! looks for pods or the gateway as neighbours (`neighbour.rs`), the bridge learns nothing, and what a pod sends makes
//! the node look for few others and keep track of a bounded number of connections (`nft/limits.rs`).
//!
//! Start reading at [`Network::attach`]. Invariants:
//! - The record of an attachment is committed before anything of it exists that would outlive this process.
//! - No link of an attachment is deleted: a namespace's links go with its last reference, and an address is not given
//!   again while its link is still there. Only a failed attempt's are, in a namespace that somebody else keeps.
//! - What is wrong with one attachment, be it a record that makes no sense or an undo that fails, keeps neither this
//!   process nor another attachment from working; it can be taken away in the end, and what stays is said.
//! - No netlink call and no SQL runs on an asynchronous thread, and no thread that entered another namespace is reused.

mod address;
mod attachment;
mod bounds;
mod builtin;
mod cni;
mod config;
mod conntrack;
mod dispatch;
mod error;
mod link;
mod listeners;
mod neighbour;
mod netlink;
mod netns;
mod network;
mod news;
mod nft;
mod ports;
mod record;
mod request;
mod routes;
mod stages;
mod status;
mod subnet;
mod sync;

pub use attachment::{AttachRequest, Attachment, Bandwidth, Dns};
pub use bounds::PORTS_PER_POD;
pub use cni::{CniConfig, CniError, ConfigurationError, UnusableError};
pub use config::{Config, ConfigError};
pub use error::{AttachError, DetachError, OpenError, PortOwner, StepError};
pub use network::Network;
pub use ports::{PortMapping, Protocol};
pub use record::MIGRATIONS;
pub use stages::STAGES;
pub use status::NetworkStatus;
pub use subnet::{Subnet, SubnetError};
