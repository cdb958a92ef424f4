//! The stages of calls that are the daemon's own.

peapod_trace::stages! {
    /// From the request's head to its last byte, and what reads it.
    RECEIVE = "receive", "the rest of its request";
    /// The request is checked, and what it is about is found.
    CHECK = "check", "its request to be checked";
}
