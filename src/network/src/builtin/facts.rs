//! Switches of the node without which pods would not be connected, or would be believed. Others change them, too: a
//! firewall that is loaded, a `sysctl --system`. So they are looked at again and again.

use crate::config::Settings;
use crate::error::StepError;
use crate::netns::{is_gone, set_sysctl};

/// A switch: its path below /proc/sys/net, the value it has to have, and whether it may be missing because the kernel
/// has no IPv6.
struct Fact {
    path: String,
    value: &'static str,
    optional: bool,
}

/// Sets those that have another value, in the network namespace of the calling thread; gives these with what they were.
pub(crate) fn hold(settings: &Settings) -> Result<Vec<String>, StepError> {
    let mut changed = Vec::new();
    for Fact { path, value, optional } in facts(settings) {
        match set_sysctl(&path, value) {
            Ok(None) => {}
            Ok(Some(was)) => changed.push(format!("net.{} was {was}", path.replace('/', "."))),
            Err(error) if optional && is_gone(&error.source) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(changed)
}

fn facts(settings: &Settings) -> Vec<Fact> {
    let bridge = &settings.bridge;
    let mut facts = Vec::new();
    let mut add = |path: String, value, optional| facts.push(Fact { path, value, optional });
    if settings.v4.is_some() {
        // First: it changes those of all links.
        add("ipv4/ip_forward".to_owned(), "1", false);
        add(format!("ipv4/conf/{bridge}/forwarding"), "1", false);
        // Answers to a node's process that came by 127.0.0.1 are addressed to it.
        add(format!("ipv4/conf/{bridge}/route_localnet"), "1", false);
    }
    if settings.v6.is_some() {
        add("ipv6/conf/all/forwarding".to_owned(), "1", false);
        add(format!("ipv6/conf/{bridge}/disable_ipv6"), "0", false);
        add(format!("ipv6/conf/{bridge}/forwarding"), "1", false);
    }
    for switch in ["accept_redirects", "send_redirects"] {
        add(format!("ipv4/conf/{bridge}/{switch}"), "0", false);
    }
    // Any pod could say that it is a router, and become everybody's gateway (CVE-2020-10749).
    for switch in ["accept_ra", "accept_redirects"] {
        add(format!("ipv6/conf/{bridge}/{switch}"), "0", true);
    }
    facts
}
