//! How much of others' text is shown.

/// Bytes of a text that an error or a log line quotes.
pub const EXCERPT_BYTES: usize = 128;

/// Names that an error or a log line lists; the rest is counted.
pub const SAMPLE_NAMES: usize = 8;
