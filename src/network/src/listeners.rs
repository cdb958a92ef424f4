//! Who on the node listens on a port already.

use crate::address::address;
use crate::attachment::AttachRequest;
use crate::error::{AttachError, PortOwner, StepError};
use crate::netlink::{AF_INET, AF_INET6, Family, NLM_F_DUMP, NetlinkMessages, Socket, find};
use crate::ports::{PortMapping, PortSet, Protocol};
use crate::request;
use crate::sync::blocking;
use peapod_sys::proc;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const INET_DIAG_SKV6ONLY: u16 = 11;
/// States, as bits: a TCP socket that listens; a UDP socket that is connected to nobody.
const LISTENING: u32 = 1 << 10;
const UNCONNECTED: u32 = 1 << 7;
/// How many processes are looked through for the owner of a socket.
const PROCESSES_MAX: usize = 65536;

/// A socket that waits for packets.
struct Listener {
    protocol: Protocol,
    port: u16,
    on: IpAddr,
    only_v6: bool,
    inode: u32,
}

impl Listener {
    /// A mapping whose packets would have come to this socket.
    fn hears<'a>(&self, ports: &'a PortSet) -> Option<&'a PortMapping> {
        let all = self.on == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !self.only_v6;
        ports.colliding(self.protocol, self.port, (!all).then_some(self.on))
    }
}

/// An error if somebody listens on a port that is asked for. A port of another attachment is named as such elsewhere;
/// no socket of the node listens on it.
pub(crate) async fn check(request: &AttachRequest) -> Result<(), AttachError> {
    if request.ports.is_empty() {
        return Ok(());
    }
    let (ports, set) = (request.ports.clone(), request::ports_of(request)?);
    let look = move || match taken(&ports, &set)? {
        Some((port, owner)) => Err(AttachError::PortTaken { port, owner }),
        None => Ok(()),
    };
    blocking(look).await.ok_or(AttachError::Closed)?
}

/// The first of the ports on which somebody listens in the network namespace of the calling thread, and who.
///
/// The kernel is asked once for each protocol and family, however many ports there are.
fn taken(ports: &[PortMapping], set: &PortSet) -> Result<Option<(PortMapping, PortOwner)>, StepError> {
    let failed = |source| StepError::new("look who listens on the host ports", source);
    let mut socket = Socket::open(Family::SocketDiagnosis).map_err(failed)?;
    // The kernel's SCTP sockets are listed in another way, where there are any.
    for (protocol, states) in [(Protocol::Tcp, LISTENING), (Protocol::Udp, UNCONNECTED)] {
        let asked: BTreeSet<u16> =
            ports.iter().filter(|port| port.protocol == protocol).map(|port| port.host_port).collect();
        let Some(first) = asked.first() else { continue };
        // 0 is any.
        let only = if asked.len() == 1 { *first } else { 0 };
        let mut found = None;
        for family in [AF_INET, AF_INET6] {
            let dumped = socket.dump(
                |messages| ask(messages, family, protocol, only, states),
                |body| {
                    let listener = parse(body, protocol);
                    let heard = listener.and_then(|listener| Some((*listener.hears(set)?, listener.inode)));
                    found = found.or(heard);
                },
            );
            match dumped {
                Ok(()) => {}
                // No IPv6, or no means to ask: then nobody can be named.
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if let Some((port, inode)) = found {
            return Ok(Some((port, process_with(inode).unwrap_or(PortOwner::Unknown))));
        }
    }
    Ok(None)
}

fn ask(messages: &mut NetlinkMessages, family: u8, protocol: Protocol, port: u16, states: u32) {
    // struct inet_diag_req_v2: family, protocol, extensions, states, then the socket: its port, all else any.
    let mut request = [0; 56];
    request[0] = family;
    request[1] = protocol.number();
    request[4..8].copy_from_slice(&states.to_ne_bytes());
    request[8..10].copy_from_slice(&port.to_be_bytes());
    // No cookie.
    request[48..56].copy_from_slice(&[0xff; 8]);
    messages.push(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &request, |_| {});
}

fn parse(body: &[u8], protocol: Protocol) -> Option<Listener> {
    // struct inet_diag_msg: the family, at 4 the local port, at 8 the local address, at 68 the inode, from 72 on
    // attributes.
    let length = if *body.first()? == AF_INET { 4 } else { 16 };
    Some(Listener {
        protocol,
        port: u16::from_be_bytes(body.get(4..6)?.try_into().ok()?),
        on: address(body.get(8..8 + length)?)?,
        inode: u32::from_ne_bytes(body.get(68..72)?.try_into().ok()?),
        only_v6: find(body.get(72..)?, INET_DIAG_SKV6ONLY).is_some_and(|value| value.first() == Some(&1)),
    })
}

/// Which process has the socket open. Slow, but only for an error message.
fn process_with(inode: u32) -> Option<PortOwner> {
    let wanted = format!("socket:[{inode}]");
    for pid in proc::pids().take(PROCESSES_MAX) {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let Ok(descriptors) = fs::read_dir(process.join("fd")) else { continue };
        if descriptors.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str())) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            return Some(PortOwner::Process { pid, name: name.trim_end().to_owned() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hears_what() {
        let port = |ip: &str| PortMapping {
            protocol: Protocol::Tcp,
            container_port: 1,
            host_port: 2,
            host_ip: (!ip.is_empty()).then(|| ip.parse().unwrap()),
        };
        let cases = [
            ("0.0.0.0", false, "", true),
            ("0.0.0.0", false, "::", false),
            ("10.0.0.1", false, "", true),
            ("10.0.0.1", false, "10.0.0.2", false),
            ("10.0.0.1", false, "10.0.0.1", true),
            ("::", false, "127.0.0.1", true),
            ("::", true, "127.0.0.1", false),
            ("::", true, "", true),
            ("::1", true, "0.0.0.0", false),
        ];
        for (on, only_v6, ip, expected) in cases {
            let listener = Listener { protocol: Protocol::Tcp, port: 2, on: on.parse().unwrap(), only_v6, inode: 0 };
            let set = PortSet::of(&[port(ip)]).unwrap();
            assert_eq!(listener.hears(&set).is_some(), expected, "{on} {only_v6} {ip}");
        }
    }
}
