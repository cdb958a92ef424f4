//! What plugins want, in peapod's words.

use peapod_nri::api::{self, IOPrioClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, MpolFlag, MpolMode};
use peapod_spec::{Adjustment, LinuxAdjustment};
use serde_json::{Value, json};

use super::translate::wanted;
use crate::error::Error;

fn linux(linux: api::LinuxContainerAdjustment) -> Result<LinuxAdjustment, Error> {
    wanted(&api::ContainerAdjustment { linux: Some(linux).into(), ..Default::default() })
        .map(|wanted| wanted.adjustment.linux)
}

#[test]
fn what_is_written_as_the_oci_runtime_has_it_is_so() {
    let scheduler = api::LinuxScheduler {
        policy: LinuxSchedulerPolicy::SCHED_DEADLINE.into(),
        flags: vec![LinuxSchedulerFlag::SCHED_FLAG_RECLAIM.into()],
        runtime: 5,
        ..Default::default()
    };
    let priority =
        api::LinuxIOPriority { class: IOPrioClass::IOPRIO_CLASS_RT.into(), priority: 3, ..Default::default() };
    let argument = api::LinuxSeccompArg { index: 1, value: 2, op: "SCMP_CMP_EQ".to_owned(), ..Default::default() };
    let call = api::LinuxSyscall {
        names: vec!["mount".to_owned()],
        action: "SCMP_ACT_ERRNO".to_owned(),
        errno_ret: Some(api::OptionalUInt32 { value: 1, ..Default::default() }).into(),
        args: vec![argument],
        ..Default::default()
    };
    let seccomp = api::LinuxSeccomp {
        default_action: "SCMP_ACT_ALLOW".to_owned(),
        architectures: vec!["SCMP_ARCH_X86_64".to_owned()],
        flags: vec!["SECCOMP_FILTER_FLAG_LOG".to_owned()],
        syscalls: vec![call],
        ..Default::default()
    };
    let policy = api::LinuxMemoryPolicy {
        mode: MpolMode::MPOL_INTERLEAVE.into(),
        nodes: "0-1".to_owned(),
        flags: vec![MpolFlag::MPOL_F_STATIC_NODES.into()],
        ..Default::default()
    };
    let rdt = api::LinuxRdt {
        clos_id: Some(api::OptionalString { value: "gold".to_owned(), ..Default::default() }).into(),
        ..Default::default()
    };
    let all = api::LinuxContainerAdjustment {
        scheduler: Some(scheduler).into(),
        io_priority: Some(priority).into(),
        seccomp_policy: Some(seccomp).into(),
        memory_policy: Some(policy).into(),
        rdt: Some(rdt).into(),
        ..Default::default()
    };
    let Adjustment { process, linux, .. } =
        wanted(&api::ContainerAdjustment { linux: Some(all).into(), ..Default::default() }).unwrap().adjustment;
    assert_eq!(
        value(&process.scheduler),
        json!({"policy": "SCHED_DEADLINE", "nice": 0, "priority": 0, "flags": ["SCHED_FLAG_RECLAIM"], "runtime": 5})
    );
    assert_eq!(value(&process.io_priority), json!({"class": "IOPRIO_CLASS_RT", "priority": 3}));
    let filter = value(&linux.seccomp);
    assert_eq!(filter["syscalls"][0]["args"][0]["op"], "SCMP_CMP_EQ");
    assert_eq!((&filter["defaultAction"], &filter["syscalls"][0]["errnoRet"]), (&json!("SCMP_ACT_ALLOW"), &json!(1)));
    let memory = json!({"mode": "MPOL_INTERLEAVE", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]});
    assert_eq!(value(&linux.memory_policy), memory);
    assert_eq!(value(&linux.intel_rdt), json!({"closID": "gold"}));
}

fn value(written: &impl serde::Serialize) -> Value {
    serde_json::to_value(written).unwrap()
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let scheduler = |flag: LinuxSchedulerFlag| api::LinuxScheduler {
        policy: LinuxSchedulerPolicy::SCHED_FIFO.into(),
        flags: vec![flag.into()],
        ..Default::default()
    };
    let seccomp = api::LinuxSeccomp { default_action: "NO".to_owned(), ..Default::default() };
    let device = api::LinuxDevice { path: "/dev/x".to_owned(), type_: "z".to_owned(), ..Default::default() };
    for (adjust, field) in [
        (
            api::LinuxContainerAdjustment { seccomp_policy: Some(seccomp).into(), ..Default::default() },
            "seccomp_policy",
        ),
        (api::LinuxContainerAdjustment { devices: vec![device], ..Default::default() }, "devices"),
        (api::LinuxContainerAdjustment { cgroups_path: "/x".to_owned(), ..Default::default() }, "cgroups_path"),
    ] {
        let error = linux(adjust).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
    let flags = [LinuxSchedulerFlag::SCHED_FLAG_RESET_ON_FORK, LinuxSchedulerFlag::SCHED_FLAG_DL_OVERRUN];
    for flag in flags {
        let adjust = api::LinuxContainerAdjustment { scheduler: Some(scheduler(flag)).into(), ..Default::default() };
        assert!(linux(adjust).unwrap_err().to_string().contains("can't be set"));
    }
    let unknown = api::LinuxContainerAdjustment {
        io_priority: Some(api::LinuxIOPriority { class: IOPrioClass::IOPRIO_CLASS_NONE.into(), ..Default::default() })
            .into(),
        ..Default::default()
    };
    linux(unknown).unwrap();
}
