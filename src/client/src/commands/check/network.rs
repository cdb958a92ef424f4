//! `peapod check network`: which network pods get, and whether the node has what that needs; nothing is changed.

use super::node::{NodeFiles, has_module};
use super::report::CheckReport;

/// Where kubelets and plugins look; the daemon's configuration may say otherwise.
const CONFIGURATIONS: &str = "etc/cni/net.d";
const PLUGINS: &str = "opt/cni/bin";

/// Looks at everything.
pub(super) fn check_network(machine: &NodeFiles) -> CheckReport {
    let mut report = CheckReport::default();
    let is_one = |name: &&String| [".conflist", ".conf", ".json"].iter().any(|suffix| name.ends_with(suffix));
    match machine.list(CONFIGURATIONS).iter().find(is_one) {
        Some(name) => cni(machine, name, &mut report),
        None => builtin(machine, &mut report),
    }
    match machine.read("proc/sys/net/ipv4/ip_forward").as_deref() {
        Some("1") => report.works("forwarding", "on for IPv4"),
        _ => report.notice("forwarding", "off for IPv4; the built-in network switches it on with its first pod", None),
    }
    if machine.has("proc/sys/net/ipv6") {
        report.works("IPv6", "the kernel has it");
    } else {
        report.notice("IPv6", "the kernel does not have it: pods have IPv4 alone", None);
    }
    conflicts(machine, &mut report);
    report
}

fn cni(machine: &NodeFiles, name: &str, report: &mut CheckReport) {
    let text = machine.read(&format!("{CONFIGURATIONS}/{name}")).unwrap_or_default();
    let read: Result<serde_json::Value, _> = serde_json::from_str(&text);
    let configuration = match read {
        Ok(configuration) => configuration,
        Err(error) => {
            let found = format!("/{CONFIGURATIONS}/{name} is no JSON: {error}");
            return report.fails("CNI", found, "mend the file, or remove it for the built-in network");
        }
    };
    let network = configuration["name"].as_str().unwrap_or("without a name");
    report.works("CNI", format!("/{CONFIGURATIONS}/{name} is used for all pods: network {network}"));
    let list = configuration["plugins"].as_array().cloned().unwrap_or_else(|| vec![configuration.clone()]);
    let kinds: Vec<&str> = list.iter().filter_map(|plugin| plugin["type"].as_str()).collect();
    let ipam = list.iter().filter_map(|plugin| plugin["ipam"]["type"].as_str());
    let missing: Vec<&str> =
        kinds.iter().copied().chain(ipam).filter(|kind| !machine.has(&format!("{PLUGINS}/{kind}"))).collect();
    if missing.is_empty() {
        report.works("plugins", format!("{} in /{PLUGINS}", kinds.join(", ")));
    } else {
        let found = format!("{} are not in /{PLUGINS}", missing.join(", "));
        report.fails("plugins", found, "install the network's plugins, or name their folder in network.cni_bin_dirs");
    }
}

fn builtin(machine: &NodeFiles, report: &mut CheckReport) {
    report.works("network", format!("the built-in bridge: /{CONFIGURATIONS} has no CNI configuration"));
    for (module, what) in [
        ("nf_tables", "addresses and host ports"),
        ("nf_nat", "packets that leave the node"),
        ("bridge", "the bridge of the pods"),
        ("veth", "the pods' links"),
    ] {
        if has_module(machine, module) {
            report.works(module, what);
        } else {
            // A kernel without lists of its modules tells nothing.
            let known = !machine.list("lib/modules").is_empty();
            let found = format!("not found among the kernel's modules; needed for {what}");
            match known {
                true => report.fails(module, found, &format!("modprobe {module}, or a kernel that has it")),
                false => report.notice(module, "no list of the kernel's modules is here to tell", None),
            }
        }
    }
}

/// Other programs that filter packets.
fn conflicts(machine: &NodeFiles, report: &mut CheckReport) {
    if machine.has("run/firewalld") || machine.has("var/run/firewalld.pid") {
        let way_out = "firewall-cmd --permanent --zone=trusted --add-interface=peapod0 && firewall-cmd --reload";
        report.notice("firewalld", "runs, and may drop what pods send and get", Some(way_out));
    }
    if machine.read("etc/ufw/ufw.conf").is_some_and(|text| text.lines().any(|line| line.trim() == "ENABLED=yes")) {
        report.notice(
            "ufw",
            "is on, and drops what is forwarded unless told otherwise",
            Some("ufw route allow in on peapod0"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::tests::{machine, verdicts};
    use super::super::report::Verdict;
    use super::check_network;

    #[test]
    fn the_first_configuration_by_name_counts() {
        let list = r#"{"name":"pods","plugins":[{"type":"bridge","ipam":{"type":"host-local"}},{"type":"portmap"}]}"#;
        let files = [
            ("etc/cni/net.d/10-pods.conflist", list),
            ("etc/cni/net.d/20-other.conf", "{"),
            ("opt/cni/bin/bridge", ""),
            ("opt/cni/bin/portmap", ""),
            ("proc/sys/net/ipv4/ip_forward", "1"),
            ("proc/sys/net/ipv6/x", ""),
        ];
        let (_dir, node) = machine(&files);
        let report = check_network(&node);
        assert!(
            report.text().contains("network pods") && report.text().contains("host-local are not in"),
            "{}",
            report.text()
        );
        let (_dir, node) = machine(&[&files[..], &[("opt/cni/bin/host-local", "")]].concat());
        assert!(!check_network(&node).has_failed());
        let (_dir, node) = machine(&[("etc/cni/net.d/10.conf", "{")]);
        assert!(check_network(&node).text().contains("is no JSON"));
    }

    #[test]
    fn without_a_configuration_the_kernel_has_to_have_what_the_bridge_needs() {
        let modules = "kernel/nf_tables.ko:\nkernel/nf_nat.ko:\nkernel/bridge.ko:\nkernel/veth.ko:\n";
        let release = ("proc/sys/kernel/osrelease", "6.1.0");
        let (_dir, node) = machine(&[release, ("lib/modules/6.1.0/modules.dep", modules)]);
        assert!(!check_network(&node).has_failed());
        let (_dir, node) = machine(&[release, ("lib/modules/6.1.0/modules.dep", "kernel/bridge.ko:\n")]);
        let report = check_network(&node);
        let failed: Vec<_> = verdicts(&report).into_iter().filter(|(_, verdict)| *verdict == Verdict::Fails).collect();
        assert_eq!(failed.len(), 3, "{}", report.text());
        let (_dir, node) = machine(&[("etc/ufw/ufw.conf", "ENABLED=yes\n")]);
        assert!(check_network(&node).text().contains("ufw route"));
    }
}
