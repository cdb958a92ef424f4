//! What plugins change of a configuration.

use std::path::PathBuf;

use oci_spec::runtime::{
    Hook, LinuxCpu, LinuxDevice, LinuxDeviceType, LinuxMemory, LinuxPids, LinuxResources, Mount, PosixRlimitBuilder,
    PosixRlimitType,
};
use serde_json::{Value, json};

use crate::adjustment::{Adjustment, LinuxAdjustment, ProcessAdjustment, StartAdjustment};
use crate::bounds::{HOOKS, MOUNTS};
use crate::{Config, HookMoment, SpecError, StartInputs};

use super::fixture::Case;

fn config() -> Config {
    Case::new().config().unwrap().config
}

fn value(config: &Config) -> Value {
    serde_json::from_slice(&config.json().unwrap()).unwrap()
}

fn mount(at: &str, source: &str, options: &[&str]) -> (PathBuf, Option<Mount>) {
    let mut mount = Mount::default();
    mount
        .set_destination(at.into())
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    (at.into(), Some(mount))
}

fn everything() -> Adjustment {
    let mut hook = Hook::default();
    hook.set_path("/bin/hook".into());
    let mut device = LinuxDevice::default();
    device.set_path("/dev/x".into()).set_typ(LinuxDeviceType::C).set_major(1).set_minor(9);
    let (mut memory, mut cpu, mut pids) = (LinuxMemory::default(), LinuxCpu::default(), LinuxPids::default());
    memory.set_reservation(Some(7)).set_limit(Some(1));
    cpu.set_realtime_period(Some(8)).set_shares(Some(1));
    pids.set_limit(9);
    let mut limits = LinuxResources::default();
    limits.set_memory(Some(memory)).set_cpu(Some(cpu)).set_pids(Some(pids));
    let core = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitCore).hard(2_u64).soft(1_u64).build().unwrap();
    Adjustment {
        process: ProcessAdjustment {
            env: vec![("PATH".to_owned(), None), ("NEW".to_owned(), Some("1".to_owned()))],
            args: Some(vec!["other".to_owned()]),
            rlimits: vec![core],
            ..ProcessAdjustment::default()
        },
        mounts: vec![mount("/new", "/source", &["rbind", "rslave"]), ("/proc".into(), None)],
        hooks: vec![(HookMoment::Poststop, hook)],
        linux: LinuxAdjustment {
            devices: vec![("/dev/x".into(), Some(device))],
            sysctls: vec![("net.core.somaxconn".to_owned(), Some("5".to_owned()))],
            net_devices: vec![("eth7".to_owned(), Some("net0".to_owned()))],
            ..LinuxAdjustment::default()
        },
        at_start: StartAdjustment {
            annotations: [("k".to_owned(), Some("v".to_owned()))].into(),
            namespaces: [("pid".to_owned(), Some(Some("/proc/1/ns/pid".into()))), ("ipc".to_owned(), None)].into(),
            limits,
            replaced: ["/new".into()].into(),
        },
    }
}

#[test]
fn all_of_it_is_in_the_configuration_and_stays_for_the_start() {
    let (mut config, adjustment) = (config(), everything());
    config.adjust(&adjustment, None).unwrap();
    let check = |config: &Config| {
        let all = value(config);
        let process = &all["process"];
        assert_eq!(process["args"], json!(["other"]));
        let env = process["env"].as_array().unwrap();
        assert!(env.contains(&json!("NEW=1")) && !env.iter().any(|line| line.as_str().unwrap().starts_with("PATH=")));
        assert_eq!(process["rlimits"], json!([{"type": "RLIMIT_CORE", "hard": 2, "soft": 1}]));
        let mounts = all["mounts"].as_array().unwrap();
        assert!(mounts.iter().any(|mount| mount["destination"] == "/new" && mount["source"] == "/source"));
        assert!(!mounts.iter().any(|mount| mount["destination"] == "/proc"));
        assert_eq!(all["hooks"]["poststop"][0]["path"], "/bin/hook");
        assert_eq!(all["annotations"]["k"], "v");
        let linux = &all["linux"];
        assert_eq!(linux["rootfsPropagation"], "rslave");
        assert_eq!(linux["sysctl"], json!({"net.core.somaxconn": "5"}));
        assert_eq!(linux["netDevices"], json!({"eth7": {"name": "net0"}}));
        assert!(linux["devices"].as_array().unwrap().iter().any(|device| device["path"] == "/dev/x"));
        let resources = &linux["resources"];
        let rule = json!({"allow": true, "type": "c", "major": 1, "minor": 9, "access": "rwm"});
        let rules = resources["devices"].as_array().unwrap();
        assert_eq!(rules.iter().filter(|other| **other == rule).count(), 1);
        assert_eq!((&resources["pids"]["limit"], &resources["memory"]["reservation"]), (&json!(9), &json!(7)));
        assert_eq!(resources["cpu"]["realtimePeriod"], 8);
        // These are the client's to name, and an adjustment's by other ways.
        assert!(resources["memory"]["limit"].is_null() && resources["cpu"]["shares"].is_null());
        let namespaces = linux["namespaces"].as_array().unwrap();
        assert!(namespaces.contains(&json!({"type": "pid", "path": "/proc/1/ns/pid"})));
        assert!(!namespaces.iter().any(|namespace| namespace["type"] == "ipc"));
    };
    check(&config);
    // Kept, read, and said again at the start.
    let mut kept = Config::parse(&config.json().unwrap()).unwrap();
    let case = Case::new();
    let start = StartInputs { namespaces: &case.namespaces, volumes: &[], annotations: &[] };
    kept.set_for_start(&case.container, &case.node, &start, &mut Vec::new()).unwrap();
    kept.adjust_for_start(&adjustment.at_start).unwrap();
    check(&kept);
    let text = serde_json::to_string(&adjustment.at_start).unwrap();
    assert_eq!(serde_json::from_str::<StartAdjustment>(&text).unwrap(), adjustment.at_start);
}

#[test]
fn nothing_changes_nothing() {
    let mut config = config();
    let before = config.clone();
    config.adjust(&Adjustment::default(), None).unwrap();
    assert_eq!(config, before);
}

#[test]
fn what_no_container_can_have_is_refused() {
    let refused = |change: &dyn Fn(&mut Adjustment)| {
        let mut adjustment = Adjustment::default();
        change(&mut adjustment);
        config().adjust(&adjustment, None).unwrap_err()
    };
    let env = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    for error in [
        refused(&|all| all.process.env = vec![env("A=B", "1")]),
        refused(&|all| all.process.env = vec![env("A", "\0")]),
        refused(&|all| all.process.args = Some(Vec::new())),
        refused(&|all| all.mounts = vec![mount("relative", "/x", &["bind"])]),
        refused(&|all| all.mounts = vec![mount("/x", "relative", &["bind"])]),
        refused(&|all| all.hooks = vec![(HookMoment::Prestart, Hook::default())]),
        refused(&|all| all.at_start.namespaces = [("moon".to_owned(), None)].into()),
    ] {
        assert!(matches!(error, SpecError::Adjustment { .. }), "{error}");
    }
    let many = |number: usize| mount(&format!("/m{number}"), "/x", &["bind"]);
    let mut hook = Hook::default();
    hook.set_path("/x".into());
    for error in [
        refused(&|all| all.mounts = (0..=MOUNTS).map(many).collect()),
        refused(&|all| all.hooks = vec![(HookMoment::Prestart, hook.clone()); HOOKS + 1]),
        refused(&|all| all.process.env = vec![env("A", &"x".repeat(1 << 20))]),
    ] {
        assert!(matches!(error, SpecError::TooMany { .. }), "{error}");
    }
}
