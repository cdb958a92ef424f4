//! Ethernet frames as an attacker would write them, and a way to send them and to see which arrive.

use super::node::{Lines, python};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Stdio;

pub(crate) type Mac = [u8; 6];

pub(crate) const BROADCAST: Mac = [0xff; 6];
pub(crate) const ALL_NODES: Mac = [0x33, 0x33, 0, 0, 0, 1];

/// Says which of the numbered marks it has seen in frames that a link got, when the last has come.
const LISTEN: &str = r#"
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind((sys.argv[1], 0))
s.settimeout(20)
last = int(sys.argv[2])
seen = set()
print("ready", flush=True)
while last not in seen:
    frame, address = s.recvfrom(4096)
    if address[2] == socket.PACKET_OUTGOING:
        continue
    seen.update(n for n in range(last + 1) if bytes([0xa5, 0x5a, n]) in frame)
print(*sorted(seen), flush=True)
"#;

const SEND: &str = r#"
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line.strip()))
"#;

/// Looks at the frames that a link gets.
pub(crate) struct Listener(Lines);

impl Listener {
    /// Begins to look; to the end when a frame with this mark comes.
    pub(crate) fn start(netns: &str, link: &str, last: u8) -> Self {
        let mut lines = Lines::start(netns, LISTEN, &[link, &last.to_string()]);
        assert_eq!(lines.line(), "ready");
        Self(lines)
    }

    /// The marks of all frames that came.
    pub(crate) fn seen(mut self) -> Vec<u8> {
        self.0.line().split_whitespace().map(|mark| mark.parse().unwrap()).collect()
    }
}

/// Sends these frames from a pod, one after the other.
pub(crate) fn send(netns: &str, frames: &[Vec<u8>]) {
    let mut child = python(netns, SEND, &[]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for frame in frames {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(stdin, "{hex}").unwrap();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// Three bytes by which a frame is known again.
fn mark(number: u8) -> Vec<u8> {
    vec![0xa5, 0x5a, number]
}

pub(crate) fn ether(to: Mac, from: Mac, ether_type: u16, body: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ether_type.to_be_bytes(), body].concat()
}

/// The frame behind a VLAN tag.
pub(crate) fn tagged(frame: &[u8], tpid: u16, vlan: u16) -> Vec<u8> {
    [&frame[..12], &tpid.to_be_bytes(), &vlan.to_be_bytes(), &frame[12..]].concat()
}

/// An ARP packet for Ethernet and IPv4: operation, who says so, about which address.
pub(crate) fn arp(number: u8, operation: u8, sender: (Mac, Ipv4Addr), about: Ipv4Addr) -> Vec<u8> {
    let form = [0, 1, 8, 0, 6, 4, 0, operation];
    let padding = [mark(number), vec![0; 18]].concat();
    [&form[..], &sender.0, &sender.1.octets(), &[0; 6], &about.octets(), &padding].concat()
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

/// An IPv4 packet; `fragment` is offset and flags as they stand in the header.
pub(crate) fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, fragment: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let mut header = [&[0x45, 0][..], &length, &[0x12, 0x34], &fragment.to_be_bytes(), &[64, protocol, 0, 0]].concat();
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    [header, body.to_vec()].concat()
}

/// A UDP datagram without a checksum.
pub(crate) fn udp(number: u8, from: u16, to: u16) -> Vec<u8> {
    let body = [mark(number), vec![0; 13]].concat();
    let length = u16::try_from(8 + body.len()).unwrap();
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], &body].concat()
}

/// A message of ICMP or IGMP.
pub(crate) fn message(number: u8, kind: u8) -> Vec<u8> {
    let mut body = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &mark(number), &[0; 29]].concat();
    let sum = checksum(&body);
    body[2..4].copy_from_slice(&sum);
    body
}

pub(crate) fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[0x60, 0, 0, 0][..], &length, &[next, 255], &from.octets(), &to.octets(), body].concat()
}

/// A neighbour message about a target, with options as they stand there.
pub(crate) fn neighbour(number: u8, kind: u8, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0x20][..], &mark(number), &target.octets(), options].concat()
}

/// An option that tells a hardware address.
pub(crate) fn option(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}

/// An extension header of eight bytes before this protocol: padding, or a fragment's with offset and flags.
pub(crate) fn extension(next: u8, fragment: Option<u16>, body: &[u8]) -> Vec<u8> {
    let header = match fragment {
        Some(at) => [&[next, 0][..], &at.to_be_bytes(), &[0, 0, 0, 7]].concat(),
        None => vec![next, 0, 1, 4, 0, 0, 0, 0],
    };
    [&header, body].concat()
}

pub(crate) fn v4(ip: IpAddr) -> Ipv4Addr {
    let IpAddr::V4(ip) = ip else { panic!("{ip} is no IPv4 address") };
    ip
}

pub(crate) fn v6(ip: IpAddr) -> Ipv6Addr {
    let IpAddr::V6(ip) = ip else { panic!("{ip} is no IPv6 address") };
    ip
}

pub(crate) fn mac(text: &str) -> Mac {
    let octets: Vec<u8> = text.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
    octets.try_into().unwrap()
}
