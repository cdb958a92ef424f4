//! What manifests become, held against what they became before: `BLESS=1 cargo test -p peapod-client` writes it anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::dns;
use super::env::{self, EnvFiles};
use super::facts::{LaunchFacts, ThisNode};
use super::images::ContainerImage;
use super::messages::{self, ContainerParts, SandboxParts};
use super::resources::WholeLimits;
use crate::manifest;

fn messages_of(text: &str) -> String {
    let pod = manifest::read(text).unwrap();
    let node = ThisNode {
        name: "node-1".into(),
        addresses: vec!["192.168.0.10".into()],
        processors: 8,
        memory: 16 << 30,
        has_cgroup_v2: true,
        has_selinux: false,
        huge_pages: vec![2 << 20],
    };
    let addresses = ["10.88.0.2".to_owned(), "fd00::2".to_owned()];
    let facts = LaunchFacts { pod: &pod, uid: "11111111-2222", node: &node, addresses: &addresses };
    let (uid, dir) = (facts.uid, Path::new("/run/pods/11111111-2222"));
    let dns = dns::resolv_conf(&pod.network.dns, "nameserver 1.1.1.1\n");
    let whole_limits = WholeLimits::Told;
    let sandbox =
        messages::sandbox(&pod, SandboxParts { uid, dir, cgroup_parent: "", run: "1", dns, users: None, whole_limits });
    let mut out = format!("{sandbox:#?}\n");
    for container in pod.all_containers() {
        let image = ContainerImage { id: "sha256:1".into(), uid: Some(0), username: String::new() };
        let env = env::resolve(container, &facts, &EnvFiles::new()).unwrap();
        let parts = ContainerParts {
            uid,
            attempt: 0,
            image: &image,
            node: &node,
            env,
            mounts: Vec::new(),
            users: None,
            whole_limits,
        };
        match messages::container(&pod, container, parts) {
            Ok(config) => writeln!(out, "{config:#?}").unwrap(),
            Err(error) => writeln!(out, "{}: {error}", container.name).unwrap(),
        }
    }
    out
}

#[test]
fn manifests_become_what_they_became_before() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/run/testdata");
    for name in ["plain", "rich"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap();
        let (file, found) = (folder.join(format!("{name}.golden")), messages_of(&text));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        let first = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
        assert!(found == expected, "{name}.golden differs from line {:?} on", first.map(|line| line + 1));
    }
}
