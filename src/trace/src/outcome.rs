//! How spans end.

/// How a span ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanOutcome {
    /// It is under way.
    Running,
    /// As it was wanted.
    Done,
    /// With an error.
    Failed {
        /// What kind of error, in the words of whoever answers: gRPC's name of its code.
        code: &'static str,
        /// The error, printable, on one line, and bounded.
        message: Box<str>,
    },
    /// Nobody waited for it any more: its client left, or its own deadline passed.
    Left,
}
