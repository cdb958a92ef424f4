//! What a pod is told of the node and of itself, and its amounts and fields as texts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use peapod_text::Sample;

use crate::manifest::{Container, ContainerAmount, Pod, PodField, Quantity, ResourceBound};

/// The node, as it is when a pod begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ThisNode {
    pub(super) name: String,
    /// The first one is that of the way to everywhere.
    pub(super) addresses: Vec<String>,
    /// Whole processors.
    pub(super) processors: i64,
    /// In bytes.
    pub(super) memory: i64,
    pub(super) has_cgroup_v2: bool,
    pub(super) has_selinux: bool,
    /// In bytes, as the kernel has them.
    pub(super) huge_pages: Vec<u64>,
}

/// What is known when a container starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaunchFacts<'a> {
    pub(super) pod: &'a Pod,
    pub(super) uid: &'a str,
    pub(super) node: &'a ThisNode,
    pub(super) addresses: &'a [String],
}

impl ThisNode {
    /// Looks at this node. What can't be told is left empty.
    pub(super) fn look() -> Self {
        let system = rustix::system::sysinfo();
        let memory = u128::from(system.totalram) * u128::from(system.mem_unit);
        let anywhere =
            [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
        let pages = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
        Self {
            name: rustix::system::uname().nodename().to_string_lossy().to_lowercase(),
            addresses: anywhere.into_iter().filter_map(way_to).map(|ip| ip.to_string()).collect(),
            processors: std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(i64::MAX)),
            memory: i64::try_from(memory).unwrap_or(i64::MAX),
            has_cgroup_v2: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            has_selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            huge_pages: pages.filter_map(|entry| page_size(entry.file_name().to_str()?)).collect(),
        }
    }
}

impl ThisNode {
    /// What is to be said of fields of the pod that this node gives no effect.
    pub(super) fn note(&self, pod: &Pod) -> Option<String> {
        let labelled = pod.all_containers().filter(|container| container.security.selinux.is_some());
        let names: Vec<_> = labelled.map(|container| container.name.as_str()).collect();
        let is_idle = !self.has_selinux && !names.is_empty();
        is_idle
            .then(|| format!("without effect here: seLinuxOptions of {} (this node has no SELinux)", Sample::of(names)))
    }
}

/// Which of the node's addresses would be used to reach another one; nothing is sent.
fn way_to(target: IpAddr) -> Option<IpAddr> {
    let any = if target.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(target, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
}

/// Of a name such as `hugepages-2048kB`.
fn page_size(name: &str) -> Option<u64> {
    name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

impl LaunchFacts<'_> {
    /// A field as a variable or a file tells it. What is not there is empty.
    pub(super) fn field(&self, field: &PodField) -> String {
        let metadata = &self.pod.metadata;
        let own = if self.pod.network.host { &self.node.addresses } else { self.addresses };
        let first = |addresses: &[String]| addresses.first().cloned().unwrap_or_default();
        match field {
            PodField::Name => self.pod.name.clone(),
            PodField::Namespace => self.pod.namespace.clone(),
            PodField::Uid => self.uid.to_owned(),
            PodField::Label(key) => metadata.labels.get(key).cloned().unwrap_or_default(),
            PodField::Annotation(key) => metadata.annotations.get(key).cloned().unwrap_or_default(),
            PodField::Labels => lines(metadata.labels.iter()),
            PodField::Annotations => lines(metadata.annotations.iter()),
            PodField::NodeName => metadata.node.clone().unwrap_or_else(|| self.node.name.clone()),
            PodField::ServiceAccount => metadata.service_account.clone(),
            PodField::HostIp => first(&self.node.addresses),
            PodField::HostIps => self.node.addresses.join(","),
            PodField::PodIp => first(own),
            PodField::PodIps => own.join(","),
        }
    }

    /// An amount in its unit, rounded up; a limit that is not set is what the node has.
    pub(super) fn amount(&self, amount: &ContainerAmount, asking: Option<&Container>) -> String {
        let container = match &amount.container {
            Some(name) => self.pod.all_containers().find(|container| container.name == *name),
            None => asking,
        };
        let Some(resources) = container.map(|container| &container.resources) else { return "0".to_owned() };
        let given = match amount.bound {
            ResourceBound::Request => Some(resources.request(&amount.resource)),
            ResourceBound::Limit => resources.limit(&amount.resource),
        };
        let (value, divisor) = if amount.resource == "cpu" {
            (given.map_or(self.node.processors.saturating_mul(1000), Quantity::milli), amount.divisor.milli())
        } else {
            let whole = if amount.resource == "memory" { self.node.memory } else { 0 };
            (given.map_or(whole, Quantity::value), amount.divisor.value())
        };
        let divisor = divisor.max(1);
        (value / divisor + i64::from(value % divisor != 0)).to_string()
    }
}

/// A line for each key, in the form of the kubelet.
fn lines<'a>(map: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    map.map(|(key, value)| format!("{key}={}", quoted(value))).collect::<Vec<_>>().join("\n")
}

/// As Go quotes a text.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_looked_at() {
        let node = ThisNode::look();
        assert!(!node.name.is_empty() && node.processors > 0 && node.memory > 1 << 20, "{node:?}");
        assert_eq!((page_size("hugepages-2048kB"), page_size("other")), (Some(2 << 20), None));
    }

    #[test]
    fn labels_without_effect_are_named() {
        let containers =
            "containers: [{name: a, image: x}, {name: b, image: x, securityContext: {seLinuxOptions: {level: s0}}}]";
        let of = |spec: &str| {
            crate::manifest::read(&format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{{spec}}}\n"))
                .unwrap()
        };
        let node = ThisNode::default();
        let note = node.note(&of(containers)).unwrap();
        assert!(note.starts_with("without effect here: seLinuxOptions of \"b\" (this node"), "{note}");
        let of_pod = format!("securityContext: {{seLinuxOptions: {{type: t}}}}, {containers}");
        assert!(node.note(&of(&of_pod)).unwrap().contains("\"a\", \"b\""));
        assert_eq!(node.note(&of("containers: [{name: a, image: x}]")), None);
        assert_eq!(ThisNode { has_selinux: true, ..node }.note(&of(containers)), None);
    }

    #[test]
    fn texts_are_quoted_as_go_does_it() {
        for (text, expected) in [("a", "\"a\""), ("a\"\\\n", "\"a\\\"\\\\\\n\""), ("é\u{1}\u{7f}", "\"é\\x01\\x7f\"")]
        {
            assert_eq!(quoted(text), expected);
        }
    }
}
