//! Connections whose other end may be gone without a word.

use std::io;
use std::os::fd::AsFd;

use rustix::net::sockopt;

use crate::bounds::{KEEPALIVE_TIME, KEEPALIVE_TRIES};

/// Has the kernel find out whether the other end of a silent TCP connection is still there. Once it is not, reads fail
/// with `TimedOut`: 2 minutes after it was last heard. While something is on its way to it, the kernel's patience with
/// that decides (`tcp_retries2`: about 15 minutes).
///
/// # Errors
/// What the kernel says, as that it is no TCP socket.
pub fn keep_alive(connection: impl AsFd) -> io::Result<()> {
    sockopt::set_socket_keepalive(&connection, true)?;
    sockopt::set_tcp_keepidle(&connection, KEEPALIVE_TIME)?;
    sockopt::set_tcp_keepintvl(&connection, KEEPALIVE_TIME / KEEPALIVE_TRIES)?;
    sockopt::set_tcp_keepcnt(&connection, KEEPALIVE_TRIES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_silent_end_is_asked_for() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!sockopt::socket_keepalive(&socket).unwrap());
        keep_alive(&socket).unwrap();
        assert!(sockopt::socket_keepalive(&socket).unwrap());
        let times = (sockopt::tcp_keepidle(&socket).unwrap(), sockopt::tcp_keepintvl(&socket).unwrap());
        assert_eq!(times, (KEEPALIVE_TIME, KEEPALIVE_TIME / KEEPALIVE_TRIES));
        assert_eq!(sockopt::tcp_keepcnt(&socket).unwrap(), KEEPALIVE_TRIES);
        assert!(keep_alive(UdpSocket::bind("127.0.0.1:0").unwrap()).is_err());
    }
}
