//! The socket for links, addresses, routes and neighbours. What is asked by it is in files of those names.

use crate::error::StepError;
use crate::netlink::{Family, Socket};

/// A socket for links, addresses and routes of one namespace.
pub(crate) struct Routes {
    pub(crate) socket: Socket,
}

impl Routes {
    /// Opens a socket into the namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, StepError> {
        let socket = Socket::open(Family::Route).map_err(|source| StepError::new("open a route socket", source))?;
        Ok(Self { socket })
    }
}

/// `struct ifinfomsg`: family, type, index, flags and which of them count.
pub(crate) fn link_header(index: u32, flags: u32) -> [u8; 16] {
    let mut header = [0; 16];
    for (at, value) in [(4, index), (8, flags), (12, flags)] {
        header[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    header
}
