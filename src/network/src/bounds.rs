//! What a pod, a client or a plugin may cost the network, each number once. ARCHITECTURE.md, chapter "Bounds", lists
//! them all.

use std::time::Duration;

/// Host ports of one pod: as many as a protocol has ports. Their rules take some 25 MB of kernel memory, their record 6
/// MB.
pub const PORTS_PER_POD: usize = 65_536;

/// Pods on the built-in network at once: Linux gives a bridge no more ports (`BR_MAX_PORTS`).
pub(crate) const BRIDGE_PORTS: usize = 1023;

/// Connections of one IPv4 or IPv6 address of a pod that the node keeps track of: of those that the pod begins, as many
/// as few servers need, and an eighth of what Linux has room for on a node with 4 GiB. On a node where that is less
/// than four times as many (`nf_conntrack_max`), a quarter of it.
pub(crate) const POD_CONNECTIONS: u32 = 32_768;

/// Next hops on the node's other links that one address of a pod may come to use at once, and in each second from then
/// on. The kernel looks for each for up to 3 s, and has room for about 1000 that it looks for.
pub(crate) const NEXT_HOPS_AT_ONCE: u32 = 128;

/// See [`NEXT_HOPS_AT_ONCE`].
pub(crate) const NEXT_HOPS_PER_SECOND: u64 = 32;

/// How long it is remembered that an address of a pod used a next hop.
pub(crate) const NEXT_HOPS_KEPT: Duration = Duration::from_secs(30);

/// How many such memories there are in all, for each IP version: of 60 pods that use up their share. They take some 8
/// MiB.
pub(crate) const NEXT_HOPS: u32 = 65_536;

/// Pods that plugins connect at once: each has a record in memory, with the configuration and the plugins' result.
pub(crate) const PLUGIN_ATTACHMENTS: usize = 4096;

/// Bytes of a CNI configuration file: the longest of known networks have a few KiB.
pub(crate) const CONFLIST_BYTES: u64 = 1 << 20;

/// Plugins in one CNI configuration: each is a process for each pod.
pub(crate) const CONFLIST_PLUGINS: usize = 64;

/// Entries of the folder of CNI configurations that are looked at.
pub(crate) const CONFLIST_FILES: usize = 16_384;

/// Bytes that a plugin may write to its standard output: the longest results have some ten KiB.
pub(crate) const PLUGIN_OUTPUT: u64 = 1 << 20;

/// Bytes that are kept of a plugin's standard error.
pub(crate) const PLUGIN_COMPLAINTS: usize = 4096;

/// How long plugins may take to look for what belongs to no pod: new pods wait meanwhile.
pub(crate) const PLUGIN_COLLECTION: Duration = Duration::from_secs(10);

/// Characters of a plugin's message that an error repeats.
pub(crate) const PLUGIN_MESSAGE: usize = 1000;

/// Addresses that a plugin's result may give a pod; they all stand in its status and its `hosts` file.
pub(crate) const PLUGIN_ADDRESSES: usize = 64;

/// Links that a plugin's result may list.
pub(crate) const PLUGIN_LINKS: usize = 256;

/// How long Status waits for the first look at the network after a start. It takes 20 ms, and more the more links the
/// node has.
pub(crate) const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Time after which links, addresses and neighbours are looked at although the kernel has told of no change.
pub(crate) const WHOLE_LOOK: Duration = Duration::from_secs(60);
