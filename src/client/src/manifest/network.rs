//! A pod's names and addresses: host name, /etc/hosts and resolv.conf.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as k8s;

use super::builder::Builder;
use super::names::{is_label, is_subdomain};

/// What resolv.conf takes, as Kubernetes has it.
const NAMESERVERS: usize = 3;
const SEARCHES: usize = 32;
/// A host's name has room for so many bytes.
const HOST_NAME: usize = 63;
/// The domain of a cluster that says nothing else.
const CLUSTER_DOMAIN: &str = "cluster.local";

/// Names and addresses of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenNetwork {
    /// The pod is in the node's own.
    pub(crate) host: bool,
    /// Empty in the node's network.
    pub(crate) hostname: String,
    /// What stands behind the name in /etc/hosts; may be empty.
    pub(crate) domain: String,
    /// Addresses with their names, of /etc/hosts.
    pub(crate) aliases: Vec<(String, Vec<String>)>,
    pub(crate) dns: DnsPolicy,
}

/// What is in resolv.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DnsPolicy {
    /// A copy of the node's.
    Node,
    /// That, and this.
    NodeAnd(DnsLines),
    /// This alone.
    Only(DnsLines),
}

/// Lines of resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DnsLines {
    pub(crate) servers: Vec<String>,
    pub(crate) searches: Vec<String>,
    /// Names with their values, if they have one.
    pub(crate) options: Vec<(String, Option<String>)>,
}

impl GivenNetwork {
    /// The host name of a pod that is called after itself.
    pub(super) fn name_after(&mut self, pod: &str) {
        if self.host {
            return;
        }
        let name = host_name(pod);
        let is_full = !self.domain.is_empty() && self.hostname.ends_with(&self.domain);
        self.hostname = if is_full { format!("{name}.{}", self.domain) } else { name };
    }
}

/// What a host can be called: no longer, and it can't end in a dash or a dot.
fn host_name(text: &str) -> String {
    let mut name = text.to_owned();
    name.truncate(HOST_NAME);
    name.trim_end_matches(['-', '.']).to_owned()
}

pub(super) fn build(b: &mut Builder<'_>, spec: &k8s::PodSpec, pod: &str, namespace: &str) -> GivenNetwork {
    let host = spec.host_network.unwrap_or(false);
    let (name, domain) = names(b, spec, pod, namespace);
    GivenNetwork {
        host,
        hostname: if host { String::new() } else { name },
        domain,
        aliases: aliases(b, spec.host_aliases.as_deref().unwrap_or_default()),
        dns: dns(b, spec),
    }
}

fn names(b: &mut Builder<'_>, spec: &k8s::PodSpec, pod: &str, namespace: &str) -> (String, String) {
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(name) = set(&spec.hostname_override) {
        if !is_subdomain(&name) || name.len() > 64 {
            b.add_mistake(
                "spec.hostnameOverride",
                format!("is `{name}`; it has to be a host's name of at most 64 bytes"),
            );
        }
        if spec.set_hostname_as_fqdn == Some(true) || spec.host_network == Some(true) {
            b.add_mistake("spec.hostnameOverride", "can't stand beside setHostnameAsFQDN or hostNetwork");
        }
        return (name, String::new());
    }
    let given = set(&spec.hostname);
    if let Some(text) = &given {
        b.check_label("spec.hostname", text);
    }
    let name = host_name(given.as_deref().unwrap_or(pod));
    let domain = match set(&spec.subdomain) {
        Some(subdomain) => {
            if !is_label(&subdomain) {
                b.check_label("spec.subdomain", &subdomain);
            }
            format!("{subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}")
        }
        None => String::new(),
    };
    if spec.set_hostname_as_fqdn != Some(true) || domain.is_empty() {
        return (name, domain);
    }
    let full = format!("{name}.{domain}");
    if full.len() > 64 {
        let text = format!("makes the host name `{full}`, which is longer than the 64 bytes that Linux has for it");
        b.add_mistake("spec.setHostnameAsFQDN", text);
    }
    (full, domain)
}

fn aliases(b: &mut Builder<'_>, given: &[k8s::HostAlias]) -> Vec<(String, Vec<String>)> {
    let mut aliases = Vec::new();
    for (index, alias) in given.iter().enumerate() {
        let path = format!("spec.hostAliases[{index}]");
        if alias.ip.parse::<IpAddr>().is_err() {
            b.add_mistake(&format!("{path}.ip"), format!("is `{}`; it has to be an IP address", alias.ip));
        }
        let names = alias.hostnames.clone().unwrap_or_default();
        for (n, name) in names.iter().enumerate().filter(|(_, name)| !is_subdomain(name)) {
            b.add_mistake(&format!("{path}.hostnames[{n}]"), format!("is `{name}`; it has to be a host's name"));
        }
        aliases.push((alias.ip.clone(), names));
    }
    aliases
}

fn dns(b: &mut Builder<'_>, spec: &k8s::PodSpec) -> DnsPolicy {
    let none = b.one_of(
        "spec.dnsPolicy",
        spec.dns_policy.as_deref(),
        false,
        &[("Default", false), ("ClusterFirst", false), ("ClusterFirstWithHostNet", false), ("None", true)],
    );
    if spec.dns_policy.as_deref().is_some_and(|policy| policy.starts_with("ClusterFirst")) {
        b.add_note("spec.dnsPolicy", "is taken for Default: there is no cluster, and the node's resolv.conf counts");
    }
    let given = spec.dns_config.clone().unwrap_or_default();
    let lines = DnsLines {
        servers: given.nameservers.unwrap_or_default(),
        searches: given.searches.unwrap_or_default(),
        options: given.options.unwrap_or_default().into_iter().map(|o| (o.name.unwrap_or_default(), o.value)).collect(),
    };
    for (index, server) in lines.servers.iter().enumerate().filter(|(_, server)| server.parse::<IpAddr>().is_err()) {
        let path = format!("spec.dnsConfig.nameservers[{index}]");
        b.add_mistake(&path, format!("is `{server}`; it has to be an IP address"));
    }
    for (index, domain) in lines.searches.iter().enumerate() {
        if domain != "." && !is_subdomain(&domain.trim_end_matches('.').replace('_', "-")) {
            b.add_mistake(
                &format!("spec.dnsConfig.searches[{index}]"),
                format!("is `{domain}`; it has to be a domain"),
            );
        }
    }
    for (index, (name, value)) in lines.options.iter().enumerate() {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if name.is_empty() || !plain(name) || !value.as_deref().is_none_or(plain) {
            b.add_mistake(&format!("spec.dnsConfig.options[{index}]"), "has to be a word, with or without a value");
        }
    }
    if lines.servers.len() > NAMESERVERS {
        b.add_mistake("spec.dnsConfig.nameservers", format!("are more than {NAMESERVERS}"));
    }
    if lines.searches.len() > SEARCHES {
        b.add_mistake("spec.dnsConfig.searches", format!("are more than {SEARCHES}"));
    }
    match (none, lines == DnsLines::default()) {
        (true, _) if lines.servers.is_empty() => {
            b.add_mistake("spec.dnsConfig", "has to have nameservers with dnsPolicy None");
            DnsPolicy::Only(lines)
        }
        (true, _) => DnsPolicy::Only(lines),
        (false, true) => DnsPolicy::Node,
        (false, false) => DnsPolicy::NodeAnd(lines),
    }
}
