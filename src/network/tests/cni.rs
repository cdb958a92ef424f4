//! Networks that plugins make: the usual ones, and some that misbehave. Each test runs in namespaces of its own. Needs
//! root, `ip`, `nft`, `nsenter`, python3, and the plugins of tests/tools/build.sh.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod node;

use node::{Node, client, in_node, ports, request, run};
use peapod_network::{AttachError, AttachRequest, CniConfig, CniError, DetachError, Network};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/gotools/cni");

/// Does what the file beside it says for the command; notes each call with its arguments and its input.
const SCRIPT: &str = r#"#!/bin/sh
here=$(dirname "$0")
input=$(cat)
echo "$CNI_COMMAND id=$CNI_CONTAINERID netns=$CNI_NETNS if=$CNI_IFNAME args=$CNI_ARGS" >>"$here/calls"
printf '%s\n' "$input" >>"$here/inputs"
case $(cat "$here/$CNI_COMMAND" 2>/dev/null) in
hang) sleep 1007 & sleep 1007 ;;
fail) echo '{"cniVersion":"1.1.0","code":11,"msg":"not now","details":"the script says so"}'; exit 1 ;;
die) echo "out of luck" >&2; exit 3 ;;
garbage) echo 'hello' ;;
many) printf '{"ips":['; for n in $(seq 2000); do printf '{"address":"10.9.1.1/24"},'; done; echo '{"address":"10.9.1.2"}]}' ;;
evil) echo '{"interfaces":[{"name":"eth0\\n127.0.0.1 evil","sandbox":"x"}],"ips":[{"address":"10.9.0.2/24"}]}' ;;
talk) printf '{"code":7,"msg":"a\\nb '; seq -s x 100000 | tr -d '\n'; echo '"}'; exit 1 ;;
endless) yes ;;
leave) sleep 2 & echo '{"ips":[{"address":"10.9.0.2/24"}]}' ;;
*) echo '{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"x","mac":"02:00:00:00:00:07","mtu":1400}],"ips":[{"address":"10.9.0.2/24","gateway":"10.9.0.1","interface":0},{"address":"fd09::2/64","interface":0}]}' ;;
esac
"#;

/// Plugins, configurations and a network that finds them.
struct Setup {
    node: Node,
    dir: PathBuf,
    network: Network,
}

impl Setup {
    async fn open() -> Self {
        let node = Node::open(&["10.93.0.0/16"]).await;
        node.network.close().await;
        let dir = node.config.cni.conf_dir.clone();
        fs::create_dir(&dir).unwrap();
        fs::create_dir(dir.join("bin")).unwrap();
        let script = dir.join("bin/script");
        fs::write(&script, SCRIPT).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let network = Self::open_again(&node, &dir).await;
        Self { node, dir, network }
    }

    async fn open_again(node: &Node, dir: &Path) -> Network {
        let cni = CniConfig {
            conf_dir: dir.to_owned(),
            bin_dirs: vec![dir.join("bin"), PLUGINS.into()],
            timeout: Duration::from_millis(700),
            give_up_after: Duration::from_secs(2),
        };
        let config = peapod_network::Config { cni, ..node.config.clone() };
        let network = Network::open(config, node.db.clone()).await.unwrap();
        network.looked().await;
        network
    }

    fn configure(&self, text: &str) {
        // As careful people do it.
        fs::write(self.dir.join("new"), text).unwrap();
        fs::rename(self.dir.join("new"), self.dir.join("10-net.conflist")).unwrap();
    }

    fn script(&self, version: &str) {
        self.configure(&format!(
            r#"{{"cniVersion":"{version}","name":"scripted","plugins":[{{"type":"script","capabilities":{{"mac":true}}}}]}}"#
        ));
    }

    fn behave(&self, command: &str, how: &str) {
        fs::write(self.dir.join("bin").join(command), how).unwrap();
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join("bin/calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn ready(&self, expected: bool, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let status = self.network.status();
            if status.ready == expected && status.message.contains(words) {
                return;
            }
            assert!(Instant::now() < deadline, "{status:?}, not {expected} {words}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn pinned() -> usize {
    fs::read_dir("/run/netns").unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "neighbour").count()
}

fn hanging() -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| line.as_slice() == b"sleep\x001007\0").count()
}

#[test]
#[ignore = "needs root"]
fn the_usual_plugins_in_all_versions() {
    in_node("the_usual_plugins_in_all_versions", async || {
        let mut setup = Setup::open().await;
        let leases = setup.dir.join("leases");
        let mut before = None;
        for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            setup.configure(&format!(
                r#"{{"cniVersion":"{version}","name":"usual","plugins":[
                {{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,"capabilities":{{"ipRanges":true}},
                 "ipam":{{"type":"host-local","dataDir":{leases:?},"ranges":[[{{"subnet":"10.94.0.0/24"}}],[{{"subnet":"fd94::/64"}}]],
                         "routes":[{{"dst":"0.0.0.0/0"}},{{"dst":"::/0"}}]}}}},
                {{"type":"tuning","capabilities":{{"mac":true}}}},
                {{"type":"portmap","backend":"nftables","snat":true,"capabilities":{{"portMappings":true}}}}]}}"#,
            ));
            setup.ready(true, "CNI network usual").await;
            let wanted = AttachRequest {
                mac: Some("02:00:00:00:00:05".to_owned()),
                ..request("web", &ports(&[("tcp", 8080, 80, "")]))
            };
            let web = setup.network.attach(wanted.clone()).await.unwrap();
            let ips: Vec<_> = web.ips.iter().map(ToString::to_string).collect();
            assert!(
                ips.len() == 2 && ips[0].starts_with("10.94.0.") && ips[1].starts_with("fd94::"),
                "{version}: {ips:?}"
            );
            assert_eq!(setup.network.attach(wanted).await.unwrap(), web);
            let inside = run(&["nsenter", &format!("--net={}", web.netns.display()), "ip", "-br", "link"]);
            assert!(inside.contains("02:00:00:00:00:05") && inside.contains("lo               UNKNOWN"), "{inside}");
            let server = setup.node.serve(&web, 80);
            // The bridge's IPv6 address is tried out by the kernel for a while.
            let deadline = Instant::now() + Duration::from_secs(10);
            while ips.iter().any(|ip| client("", "tcp", ip, 80).is_err()) {
                assert!(Instant::now() < deadline, "{version}: nobody answers at {ips:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            client(node::NEIGHBOUR, "tcp", "192.0.2.1", 8080).unwrap();
            // The port is taken, also for the next pod.
            let taken = setup.network.attach(request("other", &ports(&[("tcp", 8080, 1, "")]))).await.unwrap_err();
            assert!(matches!(taken, AttachError::PortTaken { .. }), "{taken}");
            // A new process knows it, and takes it away.
            setup.network.close().await;
            setup.network = Setup::open_again(&setup.node, &setup.dir).await;
            assert_eq!(setup.network.attachment("web").as_deref(), Some(&*web));
            drop(server);
            setup.network.detach("web").await.unwrap();
            if version == "1.1.0" {
                client(node::NEIGHBOUR, "tcp", "192.0.2.1", 8080).unwrap_err();
            }
            assert_eq!(pinned(), 0);
            let kept = fs::read_dir(leases.join("usual")).unwrap().flatten().filter(|file| {
                file.file_name().to_str().is_some_and(|name| name.contains("94"))
                    && !file.file_name().to_str().unwrap().starts_with("last_")
            });
            assert_eq!(kept.count(), 0, "an address is kept");
            match &before {
                None => before = Some(setup.node.seen()),
                Some(before) => setup.node.becomes(before).await,
            }
        }
    });
}

#[test]
#[ignore = "needs root"]
fn ranges_of_the_request_and_a_missing_namespace() {
    in_node("ranges_of_the_request_and_a_missing_namespace", async || {
        let setup = Setup::open().await;
        let leases = setup.dir.join("leases");
        setup.configure(&format!(
            r#"{{"cniVersion":"1.1.0","name":"ranged","plugins":[{{"type":"bridge","bridge":"cni0","isGateway":true,
               "capabilities":{{"ipRanges":true}},"ipam":{{"type":"host-local","dataDir":{leases:?},"ranges":[[{{"subnet":"fd95::/64"}}]]}}}}]}}"#
        ));
        setup.ready(true, "ranged").await;
        let wanted = AttachRequest { ip_ranges: vec!["10.95.0.0/24".parse().unwrap()], ..request("a", &[]) };
        let pod = setup.network.attach(wanted).await.unwrap();
        let ips: Vec<_> = pod.ips.iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["10.95.0.2", "fd95::2"]);
        // The namespace is gone, as after a reboot.
        run(&["umount", pod.netns.to_str().unwrap()]);
        setup.network.detach("a").await.unwrap();
        assert!(!leases.join("ranged/10.95.0.2").exists() && pinned() == 0);
    });
}

#[test]
#[ignore = "needs root"]
fn plugins_that_misbehave() {
    in_node("plugins_that_misbehave", async || {
        let setup = Setup::open().await;
        setup.script("1.0.0");
        setup.ready(true, "scripted").await;
        let network = &setup.network;
        for (how, words) in [
            ("hang", "script ADD was killed after 0.7 s without an end"),
            ("fail", "script ADD of network scripted: not now: the script says so (code 11)"),
            ("die", "script ADD ended with exit status: 3: out of luck"),
            ("garbage", "script ADD answers no result"),
            ("endless", "is longer than 1 MiB"),
            ("many", "2001 addresses; at most 256 and 64 are allowed"),
            ("evil", "'eth0 127.0.0.1 evil' is no name of a link"),
            ("talk", "a b 1x2x3"),
        ] {
            setup.behave("ADD", how);
            let start = Instant::now();
            let error = network.attach(request(how, &[])).await.unwrap_err().to_string();
            assert!(error.contains(words) && error.len() < 1200 && !error.contains('\n'), "{error}");
            assert!(start.elapsed() < Duration::from_secs(3));
            assert!(network.attachment(how).is_none());
        }
        // What hung was ended as a whole, and everything was taken back.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !network.ids().is_empty() || pinned() != 0 || hanging() != 0 {
            assert!(Instant::now() < deadline, "left: {:?}, {} pins, {} processes", network.ids(), pinned(), hanging());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Something that holds the pipes open is no reason to wait.
        setup.behave("ADD", "leave");
        network.attach(request("leaves", &[])).await.unwrap();
        network.detach("leaves").await.unwrap();

        // A pod whose plugin hangs does not hold up another.
        setup.behave("ADD", "");
        network.attach(request("slow", &[])).await.unwrap();
        network.attach(request("quick", &[])).await.unwrap();
        setup.behave("DEL", "hang");
        let slow = tokio::spawn({
            let network = network.clone();
            async move { network.detach("slow").await }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        setup.behave("DEL", "");
        network.detach("quick").await.unwrap();
        assert!(!slow.is_finished());
        let error = slow.await.unwrap().unwrap_err();
        assert!(matches!(&error, DetachError::Cni(all) if matches!(all[0], CniError::Slow { .. })), "{error}");
        network.detach("slow").await.unwrap();
        network.detach("slow").await.unwrap();

        // A plugin that is gone: tried for a while, then given up.
        network.attach(request("orphan", &[])).await.unwrap();
        fs::rename(setup.dir.join("bin/script"), setup.dir.join("bin/gone")).unwrap();
        let error = network.detach("orphan").await.unwrap_err().to_string();
        assert!(error.contains("CNI plugin 'script' is in none of"), "{error}");
        let deadline = Instant::now() + Duration::from_secs(10);
        while network.detach("orphan").await.is_err() {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!((pinned(), network.ids().len()), (0, 0));
    });
}

#[test]
#[ignore = "needs root"]
fn what_plugins_are_told() {
    in_node("what_plugins_are_told", async || {
        let setup = Setup::open().await;
        setup.script("1.1.0");
        setup.ready(true, "scripted").await;
        let wanted = AttachRequest {
            args: vec![("K8S_POD_NAME".to_owned(), "web".to_owned())],
            mac: Some("02:00:00:00:00:07".to_owned()),
            ..request("a", &[])
        };
        let pod = setup.network.attach(wanted).await.unwrap();
        assert_eq!((pod.mac.as_str(), pod.mtu, pod.ips.len()), ("02:00:00:00:00:07", 1400, 2));
        setup.network.close().await;
        let again = Setup::open_again(&setup.node, &setup.dir).await;
        let asked = |what: &str| setup.calls().iter().filter(|call| call.starts_with(what)).count();
        let deadline = Instant::now() + Duration::from_secs(10);
        while asked("CHECK") == 0 || asked("GC") < 2 {
            assert!(Instant::now() < deadline, "{:?}", setup.calls());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The namespace is gone, and the configuration too: the one of then is used.
        run(&["umount", pod.netns.to_str().unwrap()]);
        fs::remove_file(setup.dir.join("10-net.conflist")).unwrap();
        again.detach("a").await.unwrap();
        let calls = setup.calls();
        let args = "args=IgnoreUnknown=1;K8S_POD_NAME=web";
        assert!(calls.contains(&format!("ADD id=a netns={} if=eth0 {args}", pod.netns.display())), "{calls:?}");
        assert!(calls.contains(&format!("CHECK id=a netns={} if=eth0 {args}", pod.netns.display())), "{calls:?}");
        assert!(calls.contains(&format!("DEL id=a netns= if=eth0 {args}")), "{calls:?}");
        assert!(calls.contains(&"STATUS id= netns= if= args=".to_owned()), "{calls:?}");
        let inputs = fs::read_to_string(setup.dir.join("bin/inputs")).unwrap();
        let inputs: Vec<serde_json::Value> = inputs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |command: &str| {
            let at = calls.iter().rposition(|call| call.starts_with(command)).unwrap();
            &inputs[at]
        };
        assert_eq!(of("ADD")["runtimeConfig"]["mac"], "02:00:00:00:00:07");
        assert_eq!((of("ADD").get("prevResult"), of("ADD").get("capabilities")), (None, None));
        assert_eq!(of("DEL")["prevResult"]["ips"][0]["address"], "10.9.0.2/24");
        assert_eq!(of("GC")["cni.dev/valid-attachments"], serde_json::json!([{"containerID": "a", "ifname": "eth0"}]));
    });
}

#[test]
#[ignore = "needs root"]
fn configurations_come_and_go() {
    in_node("configurations_come_and_go", async || {
        let setup = Setup::open().await;
        let network = &setup.network;
        setup.ready(true, "there is no CNI configuration in").await;
        let built_in = network.attach(request("built-in", &[])).await.unwrap();
        assert_eq!(built_in.ips[0].to_string(), "10.93.0.2");
        setup.script("1.1.0");
        // At once, without waiting for a look.
        let scripted = network.attach(request("scripted", &[])).await.unwrap();
        assert_eq!(scripted.ips[0].to_string(), "10.9.0.2");
        setup.ready(true, "CNI network scripted").await;
        fs::write(setup.dir.join("10-net.conflist"), "{").unwrap();
        setup.ready(false, "10-net.conflist").await;
        let refused = network.attach(request("refused", &[])).await.unwrap_err();
        assert!(matches!(refused, AttachError::Cni(CniError::Configuration(_))), "{refused}");
        setup.configure(r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"nowhere"}]}"#);
        setup.ready(false, "'nowhere' is in none of").await;
        let many = vec![r#"{"type":"script"}"#; 65].join(",");
        setup.configure(&format!(r#"{{"cniVersion":"1.0.0","name":"n","plugins":[{many}]}}"#));
        setup.ready(false, "has 65 plugins; at most 64 are allowed").await;
        // A pipe that nobody writes is no configuration.
        run(&["mkfifo", setup.dir.join("00-pipe.conflist").to_str().unwrap()]);
        setup.behave("STATUS", "fail");
        setup.script("1.1.0");
        setup.ready(false, "STATUS of network scripted: not now").await;
        // It disappears.
        fs::remove_file(setup.dir.join("10-net.conflist")).unwrap();
        setup.ready(true, "there is no CNI configuration in").await;
        // Each is taken away by what made it.
        network.detach("built-in").await.unwrap();
        network.detach("scripted").await.unwrap();
        assert!(setup.calls().iter().any(|call| call.starts_with("DEL id=scripted")));
        assert_eq!((pinned(), network.ids().len()), (0, 0));
    });
}
