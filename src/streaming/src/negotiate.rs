//! Which version of a protocol is spoken: the first that the client names and this end knows. Clients name them in the
//! order of their preference, in one header or several.

use crate::channels::{ChannelProtocol, Encoding};
use crate::version::CommandVersion;

/// A protocol for forwarded ports over WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortForwardSocket {
    /// Messages are pieces of a SPDY connection.
    Spdy,
    /// Two channels for each port of the request.
    Channels(ChannelProtocol),
}

/// What a client's port-forward over SPDY is called.
pub const PORT_FORWARD: &str = "portforward.k8s.io";

/// What the kubelet's tunnel of SPDY through WebSocket is called.
pub const PORT_FORWARD_TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// All versions of commands over SPDY that are known, the newest first: what a client hears that knows none of them.
pub const COMMAND_VERSIONS: &[&str] =
    &["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// A command over SPDY; with the name to answer. None: no version is known to both.
pub fn command<'a>(offered: impl Iterator<Item = &'a str>) -> Option<(&'a str, CommandVersion)> {
    first(offered, CommandVersion::of)
}

/// Whether a port-forward over SPDY is offered.
pub fn port_forward<'a>(offered: impl Iterator<Item = &'a str>) -> bool {
    first(offered, |name| (name == PORT_FORWARD).then_some(())).is_some()
}

/// A command over WebSocket; with the name to answer, which is none if the client offers none. None: no version is
/// known to both.
pub fn command_socket<'a>(
    offered: impl Iterator<Item = &'a str> + Clone,
) -> Option<(Option<&'a str>, ChannelProtocol)> {
    let old = |encoding| ChannelProtocol { version: CommandVersion::V1, encoding };
    if is_empty(offered.clone()) {
        return Some((None, old(Encoding::Binary)));
    }
    let found = first(offered, |name| {
        Some(match name {
            "base64.channel.k8s.io" => old(Encoding::Base64),
            "channel.k8s.io" => old(Encoding::Binary),
            "v4.base64.channel.k8s.io" => ChannelProtocol { version: CommandVersion::V4, encoding: Encoding::Base64 },
            "v4.channel.k8s.io" => ChannelProtocol { version: CommandVersion::V4, encoding: Encoding::Binary },
            "v5.channel.k8s.io" => ChannelProtocol { version: CommandVersion::V5, encoding: Encoding::Binary },
            _ => return None,
        })
    });
    found.map(|(name, protocol)| (Some(name), protocol))
}

/// A port-forward over WebSocket, as [`command_socket`].
pub fn port_forward_socket<'a>(
    offered: impl Iterator<Item = &'a str> + Clone,
) -> Option<(Option<&'a str>, PortForwardSocket)> {
    let channels = |version, encoding| PortForwardSocket::Channels(ChannelProtocol { version, encoding });
    if is_empty(offered.clone()) {
        return Some((None, channels(CommandVersion::V4, Encoding::Binary)));
    }
    let found = first(offered, |name| {
        Some(match name {
            PORT_FORWARD_TUNNEL => PortForwardSocket::Spdy,
            // Kubernetes has no such version for ports; it is the only one in which a client can end its side.
            "v5.channel.k8s.io" => channels(CommandVersion::V5, Encoding::Binary),
            "v4.channel.k8s.io" => channels(CommandVersion::V4, Encoding::Binary),
            "v4.base64.channel.k8s.io" => channels(CommandVersion::V4, Encoding::Base64),
            _ => return None,
        })
    });
    found.map(|(name, protocol)| (Some(name), protocol))
}

fn names<'a>(offered: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    offered.flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

fn is_empty<'a>(offered: impl Iterator<Item = &'a str>) -> bool {
    names(offered).next().is_none()
}

fn first<'a, T>(offered: impl Iterator<Item = &'a str>, known: impl Fn(&'a str) -> Option<T>) -> Option<(&'a str, T)> {
    names(offered).find_map(|name| Some((name, known(name)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer<'a>(headers: &'a [&'a str]) -> impl Iterator<Item = &'a str> + Clone {
        headers.iter().copied()
    }

    #[test]
    fn the_first_that_is_known_is_spoken() {
        let all = ["v9.channel.k8s.io, v5.channel.k8s.io,v4.channel.k8s.io", "channel.k8s.io"];
        assert_eq!(command(offer(&all)), Some(("v5.channel.k8s.io", CommandVersion::V5)));
        assert_eq!(command(offer(&["v2.channel.k8s.io", "v4.channel.k8s.io"])).unwrap().1, CommandVersion::V2);
        assert_eq!(command(offer(&["portforward.k8s.io", ""])), None);
        for name in COMMAND_VERSIONS {
            assert_eq!(command(offer(&[name])).unwrap().0, *name);
        }
        assert!(port_forward(offer(&["x, portforward.k8s.io"])));
        assert!(!port_forward(offer(&["v4.channel.k8s.io"])));
    }

    #[test]
    fn sockets_need_no_name() {
        let (name, protocol) = command_socket(offer(&[])).unwrap();
        assert_eq!((name, protocol.version, protocol.encoding), (None, CommandVersion::V1, Encoding::Binary));
        let (name, protocol) = command_socket(offer(&["v4.base64.channel.k8s.io"])).unwrap();
        assert_eq!((name, protocol.encoding), (Some("v4.base64.channel.k8s.io"), Encoding::Base64));
        assert_eq!(command_socket(offer(&["v2.channel.k8s.io"])), None);
        assert_eq!(port_forward_socket(offer(&[PORT_FORWARD_TUNNEL])).unwrap().1, PortForwardSocket::Spdy);
        let channels = |version| PortForwardSocket::Channels(ChannelProtocol { version, encoding: Encoding::Binary });
        assert_eq!(port_forward_socket(offer(&[" "])).unwrap().1, channels(CommandVersion::V4));
        assert_eq!(port_forward_socket(offer(&["v5.channel.k8s.io"])).unwrap().1, channels(CommandVersion::V5));
        assert_eq!(port_forward_socket(offer(&["v3.channel.k8s.io"])), None);
    }
}
