//! /etc/resolv.conf and /etc/hosts of a pod, as a kubelet writes them: pure.

use peapod_api::v1;

use super::facts::LaunchFacts;
use crate::manifest::{DnsLines, DnsPolicy};

/// What resolv.conf takes.
const SERVERS: usize = 3;
const SEARCHES: usize = 32;

/// The pod's resolv.conf, if it is no copy of the node's; `node` is that one's text.
pub(super) fn resolv_conf(policy: &DnsPolicy, node: &str) -> Option<v1::DnsConfig> {
    let (mut merged, lines) = match policy {
        DnsPolicy::Node => return None,
        DnsPolicy::NodeAnd(lines) => (parse(node), lines),
        DnsPolicy::Only(lines) => (DnsLines::default(), lines),
    };
    add(&mut merged.servers, &lines.servers, SERVERS);
    add(&mut merged.searches, &lines.searches, SEARCHES);
    for (name, value) in &lines.options {
        merged.options.retain(|(known, _)| known != name);
        merged.options.push((name.clone(), value.clone()));
    }
    let option = |(name, value): (String, Option<String>)| match value {
        Some(value) => format!("{name}:{value}"),
        None => name,
    };
    let options = merged.options.into_iter().map(option).collect();
    Some(v1::DnsConfig { servers: merged.servers, searches: merged.searches, options })
}

/// Without those that are there already.
fn add(to: &mut Vec<String>, more: &[String], most: usize) {
    for text in more {
        if !to.contains(text) && to.len() < most {
            to.push(text.clone());
        }
    }
}

fn parse(text: &str) -> DnsLines {
    let mut lines = DnsLines::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => lines.servers.extend(words.next().map(str::to_owned)),
            // The last one counts.
            Some("search" | "domain") => lines.searches = words.map(str::to_owned).collect(),
            Some("options") => lines.options.extend(words.map(|word| match word.split_once(':') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word.to_owned(), None),
            })),
            _ => {}
        }
    }
    lines.servers.truncate(SERVERS);
    lines
}

/// The pod's /etc/hosts; `node` is that of the node, for pods in its network.
pub(super) fn hosts(facts: &LaunchFacts<'_>, node: &str) -> String {
    let network = &facts.pod.network;
    let mut text = if network.host {
        format!("# Kubernetes-managed hosts file (host network).\n{node}")
    } else {
        let head = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                    fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
        let name = network.hostname.strip_suffix(&format!(".{}", network.domain)).unwrap_or(&network.hostname);
        let names = match network.domain.as_str() {
            "" => name.to_owned(),
            domain => format!("{name}.{domain}\t{name}"),
        };
        facts.addresses.iter().fold(head.to_owned(), |text, address| format!("{text}{address}\t{names}\n"))
    };
    if !network.aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for (address, names) in &network.aliases {
            text.push_str(&format!("{address}\t{}\n", names.join("\t")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::facts::ThisNode;
    use super::*;
    use crate::manifest;

    fn hosts_of(spec: &str) -> String {
        let text = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web}}, spec: {{{spec}, containers: [{{name: a, image: x}}]}}}}"
        );
        let pod = manifest::read(&text).unwrap();
        let node = ThisNode::default();
        let addresses = ["10.0.0.2".to_owned(), "fd00::2".to_owned()];
        hosts(&LaunchFacts { pod: &pod, uid: "u", node: &node, addresses: &addresses }, "1.2.3.4 node\n")
    }

    #[test]
    fn hosts_files() {
        let text = hosts_of("subdomain: sub, hostAliases: [{ip: 10.1.1.1, hostnames: [foo, foo.local]}]");
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost"), "{text}");
        assert!(text.contains("\n10.0.0.2\tweb.sub.default.svc.cluster.local\tweb\nfd00::2\tweb.sub.def"), "{text}");
        assert!(text.ends_with("\n\n# Entries added by HostAliases.\n10.1.1.1\tfoo\tfoo.local\n"), "{text}");
        let text = hosts_of("subdomain: s, setHostnameAsFQDN: true");
        assert!(text.contains("\n10.0.0.2\tweb.s.default.svc.cluster.local\tweb\n"), "{text}");
        assert!(hosts_of("hostname: other").contains("\n10.0.0.2\tother\n"));
        assert_eq!(hosts_of("hostNetwork: true"), "# Kubernetes-managed hosts file (host network).\n1.2.3.4 node\n");
    }

    #[test]
    fn resolv_confs() {
        let node = "# x\nnameserver 1.1.1.1\nsearch old\nsearch a b\noptions ndots:1 rotate\n";
        let words = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let lines = DnsLines {
            servers: words(&["9.9.9.9", "1.1.1.1"]),
            searches: words(&["c", "a"]),
            options: vec![("ndots".into(), Some("2".into())), ("edns0".into(), None)],
        };
        assert_eq!(resolv_conf(&DnsPolicy::Node, node), None);
        let both = resolv_conf(&DnsPolicy::NodeAnd(lines.clone()), node).unwrap();
        assert_eq!((both.servers, both.searches), (words(&["1.1.1.1", "9.9.9.9"]), words(&["a", "b", "c"])));
        assert_eq!(both.options, words(&["rotate", "ndots:2", "edns0"]));
        let only = resolv_conf(&DnsPolicy::Only(lines), node).unwrap();
        assert_eq!((only.servers, only.searches), (words(&["9.9.9.9", "1.1.1.1"]), words(&["c", "a"])));
    }
}
