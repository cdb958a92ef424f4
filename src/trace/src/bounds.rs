//! What spans may take of memory. ARCHITECTURE.md, "Bounds", lists all of them.

/// Stages of one span. A start has some twenty, a pull six for each layer that it has to fetch, and an image has 500
/// layers at most, nearly all of them small or there already.
pub(crate) const STAGES_OF_SPAN: usize = 1024;
/// Bytes of what a stage is about: the longest host name, or the name of a plugin, with a word.
pub(crate) const DETAIL_BYTES: usize = 320;
/// Bytes of each name or id of what a span is about. The longest of Kubernetes has 253.
pub(crate) const SUBJECT_BYTES: usize = 256;
/// Bytes of the error of a span.
pub(crate) const MESSAGE_BYTES: usize = 1024;
/// Spans that are kept of each kind once they have ended: of each container that a node has, as a rule.
pub(crate) const LAST_OF_KIND: usize = 256;
/// Bytes of these, of each kind: more than the largest span takes.
pub(crate) const LAST_OF_KIND_BYTES: usize = 512 << 10;
/// Spans that are kept of those that failed, of all kinds together.
pub(crate) const LAST_FAILED: usize = 128;
/// Bytes of these.
pub(crate) const LAST_FAILED_BYTES: usize = 512 << 10;
/// Spans that have ended and wait for one who is told of all of them.
pub const FINISHED: usize = 1024;
