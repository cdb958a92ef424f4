//! Whether links, addresses and neighbours of a namespace may have changed: the kernel tells whoever listens. To list
//! them takes the longer the more pods there are; that nothing was told takes one call.

use crate::bounds::WHOLE_LOOK;
use crate::neighbour::{RTM_DELNEIGH, RTM_NEWNEIGH};
use crate::netlink::{AF_BRIDGE, Family, Socket, u32_of};
use std::io;
use std::time::Instant;

/// `RTMGRP_LINK`, `_NEIGH`, `_IPV4_IFADDR` and `_IPV6_IFADDR` of `linux/rtnetlink.h`.
const GROUPS: u32 = 0x1 | 0x4 | 0x10 | 0x100;

/// Hears of what changes in the namespace in which it was opened, from then on.
pub(crate) struct RouteNews {
    socket: Socket,
    since: Instant,
}

impl RouteNews {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: Socket::listening(Family::Route, GROUPS)?, since: Instant::now() })
    }

    /// Whether all is as it was when this was opened, as far as the bridge and its ports are concerned. What can't be
    /// known is not so; and now and then everything is to be looked at, whatever was told.
    pub(crate) fn is_quiet(&mut self, bridge: u32) -> bool {
        let mut quiet = self.since.elapsed() < WHOLE_LOOK;
        let heard = self.socket.hear(|kind, body| quiet &= !concerns(bridge, kind, body));
        heard.is_ok() && quiet
    }
}

/// Neighbours of other links come and go all the time.
fn concerns(bridge: u32, kind: u16, body: &[u8]) -> bool {
    let is_neighbour = matches!(kind, RTM_NEWNEIGH | RTM_DELNEIGH);
    !is_neighbour || body.first() == Some(&AF_BRIDGE) || body.get(4..).and_then(u32_of) == Some(bridge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{AF_INET, RTM_NEWLINK};

    #[test]
    fn neighbours_of_other_links_are_no_news() {
        let neighbour = |family, link: u32| [&[family, 0, 0, 0][..], &link.to_ne_bytes(), &[0; 4]].concat();
        for (kind, body, is) in [
            (RTM_NEWNEIGH, neighbour(AF_INET, 7), true),
            (RTM_DELNEIGH, neighbour(AF_INET, 7), true),
            (RTM_NEWNEIGH, neighbour(AF_INET, 8), false),
            (RTM_NEWNEIGH, neighbour(AF_BRIDGE, 8), true),
            (RTM_NEWLINK, neighbour(0, 8), true),
            (RTM_NEWNEIGH, Vec::new(), false),
        ] {
            assert_eq!(concerns(7, kind, &body), is, "{kind} {body:?}");
        }
    }
}
