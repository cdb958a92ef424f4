//! What files of devices may cost at most. ARCHITECTURE.md has these in its table of bounds.

/// Files in all folders together. DRA drivers write one for each claim that a pod of the node has.
pub const FILES: usize = 4_096;
/// Entries of a folder that are looked at, whatever they are.
pub const FOLDER_ENTRIES: usize = 16_384;
/// Bytes of a file. That of a machine with eight graphics processors, each in seven parts, has 100 000.
pub const FILE_BYTES: u64 = 2 << 20;
/// Bytes of all files, which are kept in memory as what they say: with four times as many, at most.
pub const ALL_BYTES: u64 = 16 << 20;
/// Devices of a file.
pub const DEVICES: usize = 4_096;
/// What a file edits, of all kinds and in all its devices together.
pub const EDITS: usize = 65_536;
/// Values in a file of YAML, aliases counted as what they stand for.
pub const VALUES: usize = 500_000;
/// Bytes of a device's whole name, `vendor/class=name`. Kubernetes' names have 253, and classes 63.
pub const NAME_BYTES: usize = 512;
/// Problems of files that one error tells.
pub const PROBLEMS: usize = 4;
/// Bytes of what is wrong with a file, as it is told.
pub const PROBLEM_BYTES: usize = 512;
