//! Ports of the node.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port on which nobody listens, and that no other test gets. Below those that the kernel hands out to whoever asks
/// for any (32768 and up): one of these may be somebody else's by the time that it is used.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
