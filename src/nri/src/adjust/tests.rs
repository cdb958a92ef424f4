//! PluginWishes of several plugins.

use protobuf::MessageField;

use super::*;
use crate::api::{
    CDIDevice, ContainerUpdate, HugepageLimit, KeyValue, LinuxCPU, LinuxContainerUpdate, LinuxDevice, LinuxMemory,
    LinuxNamespace, LinuxResources, Mount, OptionalInt, OptionalInt64, OptionalUInt64, POSIXRlimit,
};

fn name(text: &str) -> PluginName {
    PluginName::of_file(text).unwrap()
}

fn container() -> Container {
    Container {
        id: "c".to_owned(),
        args: vec!["sh".to_owned()],
        env: vec!["A=1".to_owned(), "B=2".to_owned()],
        mounts: vec![mount("/data", "/one")],
        ..Container::default()
    }
}

fn mount(at: &str, source: &str) -> Mount {
    Mount { destination: at.to_owned(), source: source.to_owned(), ..Mount::default() }
}

fn variable(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value.to_owned(), ..KeyValue::default() }
}

fn of(adjust: ContainerAdjustment) -> CreateContainerResponse {
    CreateContainerResponse { adjust: MessageField::some(adjust), ..CreateContainerResponse::default() }
}

fn linux(linux: LinuxContainerAdjustment) -> CreateContainerResponse {
    of(ContainerAdjustment { linux: MessageField::some(linux), ..ContainerAdjustment::default() })
}

fn optional(value: i64) -> MessageField<OptionalInt64> {
    MessageField::some(OptionalInt64 { value, ..OptionalInt64::default() })
}

fn memory(limit: i64) -> LinuxResources {
    let memory = LinuxMemory { limit: optional(limit), ..LinuxMemory::default() };
    LinuxResources { memory: MessageField::some(memory), ..LinuxResources::default() }
}

fn shares(value: u64) -> LinuxResources {
    let shares = MessageField::some(OptionalUInt64 { value, ..OptionalUInt64::default() });
    let cpu = LinuxCPU { shares, ..LinuxCPU::default() };
    LinuxResources { cpu: MessageField::some(cpu), ..LinuxResources::default() }
}

fn update(id: &str, resources: LinuxResources) -> ContainerUpdate {
    let linux = LinuxContainerUpdate { resources: MessageField::some(resources), ..LinuxContainerUpdate::default() };
    ContainerUpdate { container_id: id.to_owned(), linux: MessageField::some(linux), ..ContainerUpdate::default() }
}

#[test]
fn each_plugin_sees_what_those_before_it_made() {
    let mut merge = Merge::of(container());
    let one = ContainerAdjustment {
        env: vec![variable("A", "3"), variable("-B", ""), variable("C", "4")],
        mounts: vec![mount("/data", "/two"), mount("-/gone", "")],
        args: vec!["bash".to_owned()],
        annotations: [("k".to_owned(), "v".to_owned())].into(),
        rlimits: vec![POSIXRlimit { type_: "RLIMIT_CORE".to_owned(), hard: 1, soft: 1, ..POSIXRlimit::default() }],
        cdi_devices: vec![CDIDevice { name: "v/c=d".to_owned(), ..CDIDevice::default() }],
        hooks: MessageField::some(Hooks { prestart: vec![Hook::new()], ..Hooks::default() }),
        ..ContainerAdjustment::default()
    };
    merge.add(&of(one), &name("00-one")).unwrap();
    let seen = merge.container();
    assert_eq!(seen.env, ["A=3", "C=4"]);
    assert_eq!(seen.mounts, [mount("/data", "/two")]);
    assert_eq!((seen.args.as_slice(), &seen.annotations["k"]), (&["bash".to_owned()][..], &"v".to_owned()));
    let two = ContainerAdjustment {
        env: vec![variable("D", "5")],
        hooks: MessageField::some(Hooks { poststop: vec![Hook::new()], ..Hooks::default() }),
        ..ContainerAdjustment::default()
    };
    merge.add(&of(two), &name("10-two")).unwrap();
    assert_eq!(merge.owners.of_field("c", Field::OciHooks), Some("00-one,10-two"));
    let (adjust, _) = merge.finish();
    assert_eq!(adjust.env.iter().map(|v| v.key.as_str()).collect::<Vec<_>>(), ["-B", "A", "C", "D"]);
    assert_eq!(adjust.mounts, [mount("-/gone", ""), mount("/data", "/two")]);
    assert_eq!((adjust.hooks.prestart.len(), adjust.hooks.poststop.len()), (1, 1));
}

#[test]
fn no_two_plugins_set_the_same_unless_one_says_so() {
    let adjust = |env: &[KeyValue], args: &[&str]| {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        of(ContainerAdjustment { env: env.to_vec(), args, ..ContainerAdjustment::default() })
    };
    let mut merge = Merge::of(container());
    merge.add(&adjust(&[variable("X", "1")], &["one"]), &name("00-one")).unwrap();
    merge.add(&adjust(&[variable("X", "2")], &["two"]), &name("00-one")).unwrap();
    let error = merge.clone().add(&adjust(&[variable("X", "3")], &[]), &name("10-two")).unwrap_err();
    assert_eq!(error.to_string(), "plugins 00-one and 10-two both set Env \"X\": configure one of them otherwise");
    merge.clone().add(&adjust(&[], &["three"]), &name("10-two")).unwrap_err();
    let taken = adjust(&[variable("-X", ""), variable("X", "4")], &["", "four"]);
    merge.add(&taken, &name("10-two")).unwrap();
    assert_eq!(merge.adjustment().args, ["four"]);
    assert_eq!(merge.adjustment().env, [variable("X", "4")]);
    assert!(merge.container().env.contains(&"X=4".to_owned()));
    assert!(matches!(merge.add(&adjust(&[], &[""]), &name("10-two")), Err(MergeError::Value { .. })));
}

#[test]
fn everything_of_linux_is_merged_and_owned() {
    let mut resources = memory(64);
    resources.hugepage_limits =
        vec![HugepageLimit { page_size: "2MB".to_owned(), limit: 1, ..HugepageLimit::default() }];
    resources.unified = [("memory.high".to_owned(), "1".to_owned())].into();
    let oom = || MessageField::some(OptionalInt { value: 7, ..OptionalInt::default() });
    let one = LinuxContainerAdjustment {
        devices: vec![LinuxDevice { path: "/dev/x".to_owned(), ..LinuxDevice::default() }],
        namespaces: vec![LinuxNamespace { type_: "-network".to_owned(), ..LinuxNamespace::default() }],
        sysctl: [("net.a".to_owned(), "1".to_owned()), ("-net.b".to_owned(), String::new())].into(),
        resources: MessageField::some(resources),
        cgroups_path: "/x".to_owned(),
        oom_score_adj: oom(),
        ..LinuxContainerAdjustment::default()
    };
    let mut merge = Merge::of(container());
    merge.add(&linux(one), &name("00-one")).unwrap();
    let shown = &merge.container().linux;
    assert_eq!((shown.resources.memory.limit.value, shown.oom_score_adj.value), (64, 7));
    let adjusted = &merge.adjustment().linux;
    assert_eq!(adjusted.sysctl.len(), 2);
    assert_eq!(merge.owners.of_entries("c", Field::Sysctl), [("net.a", "00-one")]);
    let two = LinuxContainerAdjustment { oom_score_adj: oom(), ..LinuxContainerAdjustment::default() };
    merge.clone().add(&linux(two), &name("01-two")).unwrap_err();
    let two =
        LinuxContainerAdjustment { resources: MessageField::some(shares(5)), ..LinuxContainerAdjustment::default() };
    merge.add(&linux(two), &name("01-two")).unwrap();
    let limits = &merge.adjustment().linux.resources;
    assert_eq!((limits.memory.limit.value, limits.cpu.shares.value), (64, 5));
    assert_eq!(merge.owners.message().owners["c"].simple[&8], "00-one");
}

#[test]
fn updates_of_others_are_one_for_each_container() {
    let mut merge = Merge::of(container());
    let ask = |updates| CreateContainerResponse { update: updates, ..CreateContainerResponse::default() };
    merge.add(&ask(vec![update("d", memory(1)), update("e", memory(2))]), &name("00-one")).unwrap();
    merge.add(&ask(vec![update("d", shares(3))]), &name("01-two")).unwrap();
    let ignored = ContainerUpdate { ignore_failure: true, ..update("e", memory(9)) };
    merge.add(&ask(vec![ignored]), &name("01-two")).unwrap();
    merge.clone().add(&ask(vec![update("e", memory(9))]), &name("01-two")).unwrap_err();
    assert!(matches!(merge.clone().add(&ask(vec![update("c", memory(9))]), &name("01-two")), Err(MergeError::Own(_))));
    let many = vec![update("f", memory(1)); UPDATES];
    assert!(matches!(merge.clone().add(&ask(many), &name("01-two")), Err(MergeError::TooMany(_))));
    let (_, updates) = merge.finish();
    let (list, _) = updates.finish();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].linux.resources.cpu.shares.value, 3);
    assert_eq!(list[1].linux.resources.memory.limit.value, 2);
}

#[test]
fn plugins_change_an_update_on_its_way() {
    let mut merge = UpdateMerge::of("c", Some(memory(64)));
    let ask = |updates| UpdateContainerResponse { update: updates, ..UpdateContainerResponse::default() };
    merge.add(&ask(vec![update("c", memory(32)), update("d", memory(1))]), &name("00-one")).unwrap();
    merge.clone().add(&ask(vec![update("c", memory(16))]), &name("01-two")).unwrap_err();
    let (own, updates) = merge.finish();
    assert_eq!(own.unwrap().memory.limit.value, 32);
    assert_eq!(updates.list().len(), 1);
    let mut ended = UpdateMerge::of("c", None);
    ended.add(&ask(vec![update("c", memory(1))]), &name("00-one")).unwrap_err();
}
