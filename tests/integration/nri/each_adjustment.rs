//! Each thing that plugins can want of a container, alone: the process finds it, or the OCI runtime is told so, or it
//! is refused by its name.

use peapod_tests::{Container, Daemon, SHELL, on_each_runtime, v1};
use serde_json::{Value, json};

use super::go::GoPlugin;
use crate::info::of_container;

/// Of an OCI runtime that does not know something.
const NOT_SAID: &str = "does not say that it can do this";

/// What comes of it.
enum Outcome {
    /// A script in the container says this.
    Says(&'static str, &'static str),
    /// The OCI runtime's configuration has this at that place, and the runtime starts it.
    Told(&'static str, Value),
    /// The script says this, or the container can't be made, and this says why.
    SaysOr(&'static str, &'static str, &'static str),
    /// Or, where this machine has nothing of that kind, it can't be made or started with one of these words, or the log
    /// has them.
    ToldOr(&'static str, Value, &'static [&'static str]),
    /// It can't be made, and this says why.
    Refused(&'static str),
}
use Outcome::{Refused, Says, SaysOr, Told, ToldOr};

type Row = (&'static str, Value, Outcome);

fn of_process(dir: &str) -> Vec<Row> {
    // Hooks have to read what they are given: crun fails otherwise.
    let hook = json!([{"path": "/bin/cat", "args": ["cat"], "timeout": {"value": 9}}]);
    let runs = json!({"path": "/bin/cat", "args": ["cat"], "timeout": 9});
    vec![
        ("annotation", json!({"annotations": {"of.plugin": "yes"}}), Told("/annotations/of.plugin", json!("yes"))),
        (
            "bind",
            json!({"mounts": [{"destination": "/given", "type": "bind", "source": dir, "options": ["rbind", "ro"]}]}),
            Says("cat /given/file; touch /given/x 2>/dev/null || echo read-only", "from the node\nread-only\n"),
        ),
        (
            "tmpfs",
            json!({"mounts": [{"destination": "/given", "type": "tmpfs", "source": "mine", "options": ["size=64k"]}]}),
            Says("grep -c '^mine /given tmpfs.*size=64k' /proc/mounts", "1\n"),
        ),
        ("unmount", json!({"mounts": [{"destination": "-/mine"}]}), Says("ls /mine 2>/dev/null | wc -l", "0\n")),
        ("relative-mount", json!({"mounts": [{"destination": "x", "source": "/"}]}), Refused("no absolute path")),
        ("env", json!({"env": [{"key": "ADDED", "value": "a b"}]}), Says("echo $ADDED $MODE", "a b client\n")),
        ("other-env", json!({"env": [{"key": "MODE", "value": "plugin"}]}), Says("echo $MODE", "plugin\n")),
        ("no-env", json!({"env": [{"key": "-MODE"}]}), Says("echo .$MODE", ".\n")),
        ("odd-env", json!({"env": [{"key": "A=B", "value": "c"}]}), Refused("is no variable")),
        (
            "args",
            json!({"args": ["/bin/sh", "-c", "exec sleep 999"]}),
            Says("tr '\\0' ' ' </proc/1/cmdline", "sleep 999 "),
        ),
        ("no-args", json!({"args": [""]}), Refused("args")),
        ("create-runtime", json!({"hooks": {"createRuntime": hook}}), Told("/hooks/createRuntime/0", runs.clone())),
        ("prestart", json!({"hooks": {"prestart": hook}}), Told("/hooks/prestart/0", runs.clone())),
        (
            "create-container",
            json!({"hooks": {"createContainer": hook}}),
            Told("/hooks/createContainer/0", runs.clone()),
        ),
        ("start-container", json!({"hooks": {"startContainer": hook}}), Told("/hooks/startContainer/0", runs.clone())),
        ("poststart", json!({"hooks": {"poststart": hook}}), Told("/hooks/poststart/0", runs.clone())),
        ("poststop", json!({"hooks": {"poststop": hook}}), Told("/hooks/poststop/0", runs)),
        ("relative-hook", json!({"hooks": {"poststop": [{"path": "true"}]}}), Refused("no absolute path")),
        (
            "rlimit",
            json!({"rlimits": [{"type": "RLIMIT_NOFILE", "hard": "300", "soft": "200"}]}),
            Says("ulimit -Sn; ulimit -Hn", "200\n300\n"),
        ),
        ("odd-rlimit", json!({"rlimits": [{"type": "RLIMIT_TEA", "hard": "3", "soft": "2"}]}), Refused("RLIMIT_TEA")),
        ("soft-rlimit", json!({"rlimits": [{"type": "RLIMIT_CORE", "hard": "3", "soft": "4"}]}), Refused("soft limit")),
        ("cdi", json!({"CDIDevices": [{"name": "vendor.com/none=0"}]}), Refused("vendor.com/none=0")),
    ]
}

fn of_linux() -> Vec<Row> {
    let linux = |linux: Value| json!({ "linux": linux });
    let device = |path: &str| json!([{"path": path, "type": "c", "major": "1", "minor": "5"}]);
    let filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": {"value": 28}}],
    });
    vec![
        ("device", linux(json!({"devices": device("/dev/mine")})), Says("head -c 2 /dev/mine | wc -c", "2\n")),
        ("odd-device", linux(json!({"devices": device("mine")})), Refused("no absolute path")),
        ("no-device", linux(json!({"devices": [{"path": "-/dev/given"}]})), Says("ls /dev/given 2>&1 | wc -l", "1\n")),
        ("oom-score", linux(json!({"oomScoreAdj": {"value": 987}})), Says("cat /proc/self/oom_score_adj", "987\n")),
        ("cgroup", linux(json!({"cgroupsPath": "/elsewhere"})), Refused("cgroups_path")),
        (
            "seccomp",
            linux(json!({"seccompPolicy": filter})),
            Says("mkdir /tmp/x 2>&1 | grep -c 'No space left'", "1\n"),
        ),
        ("odd-seccomp", linux(json!({"seccompPolicy": {"defaultAction": "SCMP_TEA"}})), Refused("seccomp_policy")),
        (
            "sysctl",
            linux(json!({"sysctl": {"net.ipv4.ip_default_ttl": "77"}})),
            Says("cat /proc/sys/net/ipv4/ip_default_ttl", "77\n"),
        ),
        (
            "io-priority",
            linux(json!({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6}})),
            ToldOr(
                "/process/ioPriority",
                json!({"class": "IOPRIO_CLASS_BE", "priority": 6}),
                &["io_priority: the OCI"],
            ),
        ),
        (
            "scheduler",
            linux(json!({"scheduler": {"policy": "SCHED_BATCH", "nice": 4}})),
            // The policy is the 41st.
            SaysOr("cut -d ' ' -f 19,41 /proc/1/stat", "4 3\n", "scheduler: the OCI runtime"),
        ),
        (
            "odd-scheduler",
            linux(json!({"scheduler": {"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_DL_OVERRUN"]}})),
            Refused("SCHED_FLAG_DL_OVERRUN"),
        ),
        ("namespace", linux(json!({"namespaces": [{"type": "-uts"}]})), Told("/linux/namespaces/uts", Value::Null)),
        ("odd-namespace", linux(json!({"namespaces": [{"type": "tea"}]})), Refused("no kind of namespace")),
        (
            "net-device",
            linux(json!({"netDevices": {"nowhere0": {"name": "eth7"}}})),
            ToldOr(
                "/linux/netDevices/nowhere0/name",
                json!("eth7"),
                &["nowhere0", "netDevices", "o such device", "not found", NOT_SAID],
            ),
        ),
        (
            "rdt",
            linux(json!({"rdt": {"closId": {"value": "gold"}, "schemata": {"value": ["L3:0=f"]}}})),
            ToldOr("/linux/intelRdt/closID", json!("gold"), &["resctrl", "intelRdt", "Intel RDT", NOT_SAID]),
        ),
        (
            "memory-policy",
            linux(json!({"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"}})),
            ToldOr(
                "/linux/memoryPolicy/mode",
                json!("MPOL_BIND"),
                &["memoryPolicy", "memory policy", "mempolicy", NOT_SAID],
            ),
        ),
    ]
}

fn of_limits() -> Vec<Row> {
    let limits = |limits: Value| json!({"linux": {"resources": limits}});
    let at = |field: &str, value: Value| json!({ field: value });
    vec![
        (
            "memory",
            limits(json!({"memory": {"limit": {"value": "67108864"}}})),
            Told("/linux/resources/memory/limit", json!(64 << 20)),
        ),
        (
            "reservation",
            limits(json!({"memory": {"reservation": {"value": "33554432"}}})),
            Told("/linux/resources/memory/reservation", json!(32 << 20)),
        ),
        (
            "swap",
            limits(json!({"memory": {"limit": {"value": "67108864"}, "swap": {"value": "67108864"}}})),
            Told("/linux/resources/memory/swap", json!(64 << 20)),
        ),
        (
            "shares",
            limits(json!({"cpu": {"shares": {"value": "512"}}})),
            Told("/linux/resources/cpu/shares", json!(512)),
        ),
        (
            "quota",
            limits(json!({"cpu": {"quota": {"value": "20000"}, "period": {"value": "100000"}}})),
            Told("/linux/resources/cpu/quota", json!(20_000)),
        ),
        (
            "cpus",
            limits(json!({"cpu": {"cpus": "0"}})),
            Says("grep Cpus_allowed_list /proc/self/status", "Cpus_allowed_list:\t0\n"),
        ),
        ("mems", limits(json!({"cpu": {"mems": "0"}})), Told("/linux/resources/cpu/mems", json!("0"))),
        ("no-cpus", limits(json!({"cpu": {"cpus": "4000"}})), Refused("4000")),
        (
            "huge-pages",
            limits(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": "2097152"}]})),
            ToldOr(
                "/linux/resources/hugepageLimits/0",
                json!({"pageSize": "2MB", "limit": 2 << 20}),
                &["limit on 2MB pages is ignored"],
            ),
        ),
        ("pids", limits(json!({"pids": {"limit": "50"}})), Told("/linux/resources/pids/limit", json!(50))),
        (
            "unified",
            limits(json!({"unified": {"memory.high": "67108864"}})),
            ToldOr("/linux/resources/unified/memory.high", json!("67108864"), &["ignored on cgroup v1"]),
        ),
        (
            "device-rule",
            limits(
                json!({"devices": [{"allow": true, "type": "c", "major": {"value": "10"}, "minor": {"value": "200"}, "access": "rw"}]}),
            ),
            Told(
                "/linux/resources/devices/-",
                json!({"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw"}),
            ),
        ),
        ("block-io", limits(at("blockioClass", json!({"value": "fast"}))), Refused("blockio_class")),
        (
            "rdt-class",
            limits(at("rdtClass", json!({"value": "gold"}))),
            ToldOr("/linux/intelRdt/closID", json!("gold"), &["resctrl", "intelRdt", "Intel RDT", NOT_SAID]),
        ),
    ]
}

/// What the OCI runtime was told there: of namespaces by their kind, of a list its last one.
fn told(spec: &Value, place: &str) -> Value {
    if let Some(kind) = place.strip_prefix("/linux/namespaces/") {
        let all = spec["linux"]["namespaces"].as_array().unwrap();
        return all.iter().find(|namespace| namespace["type"] == kind).cloned().unwrap_or_default();
    }
    if let Some(list) = place.strip_suffix("/-") {
        return spec.pointer(list).and_then(|list| list.as_array()?.last().cloned()).unwrap_or_default();
    }
    spec.pointer(place).cloned().unwrap_or_default()
}

/// What is wrong with a container, if something is.
async fn check(container: &Container<'_>, outcome: &Outcome) -> Result<(), String> {
    let has = |text: &str, words: &[&str]| words.iter().any(|word| text.contains(word));
    match (container.start().await, outcome) {
        (Ok(()), Says(script, wanted) | SaysOr(script, wanted, _)) => {
            let found = container.exec(script).await;
            if found == *wanted { Ok(()) } else { Err(format!("{script} says {found:?}")) }
        }
        (Ok(()), Told(place, value) | ToldOr(place, value, _)) => {
            let found = told(&of_container(container).await["runtimeSpec"], place);
            match outcome {
                _ if found == *value => Ok(()),
                ToldOr(_, _, words) if has(&container.pod.daemon.log_tail(4000), words) => Ok(()),
                _ => Err(format!("{place} is {found}")),
            }
        }
        (Ok(()), Refused(_)) => Err("it starts".to_owned()),
        (Err(error), ToldOr(_, _, words)) if has(error.message(), words) => Ok(()),
        (Err(error), _) => Err(format!("it does not start: {error}")),
    }
}

async fn each(daemon: &Daemon, rows: Vec<Row>, dir: &str) {
    daemon.pull(SHELL).await.unwrap();
    let adjustments: serde_json::Map<_, _> = rows.iter().map(|row| (row.0.to_owned(), row.1.clone())).collect();
    let plugin = GoPlugin::start_with(daemon, "each", ["-each", &Value::from(adjustments).to_string()]);
    plugin.next("Synchronize").await;
    let own = v1::NamespaceMode::Container;
    let pod = daemon.pod("each").pid(own).run().await;
    let mut wrong = Vec::new();
    for (name, _, outcome) in &rows {
        let builder = pod.container(name).sh("exec sleep 1000").env("MODE", "client").mount(dir, "/mine");
        let builder = builder.config(|config| {
            let (host_path, container_path) = ("/dev/null".to_owned(), "/dev/given".to_owned());
            config.devices.push(v1::Device { host_path, container_path, permissions: "rw".to_owned() });
        });
        let builder = builder.security(|security| {
            security.namespace_options.get_or_insert_default().pid = own.into();
        });
        let found = match (builder.try_create().await, outcome) {
            (Err(refused), Refused(word) | SaysOr(_, _, word)) if refused.message().contains(word) => Ok(()),
            (Err(refused), ToldOr(_, _, words)) if words.iter().any(|word| refused.message().contains(word)) => Ok(()),
            (Err(refused), _) => Err(format!("it is not made: {refused}")),
            (Ok(_), Refused(_)) => Err("it is made".to_owned()),
            (Ok(container), outcome) => check(&container, outcome).await,
        };
        wrong.extend(found.err().map(|what| format!("{name}: {what}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_adjustment_of_a_process_is_found_in_it_or_refused_by_name() {
    on_each_runtime(async |daemon| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "from the node\n").unwrap();
        let path = dir.path().display().to_string();
        each(daemon, of_process(&path), &path).await;
    });
}

#[test]
fn each_adjustment_of_linux_is_found_or_refused_by_name() {
    on_each_runtime(async |daemon| {
        let dir = tempfile::tempdir().unwrap();
        each(daemon, of_linux(), &dir.path().display().to_string()).await;
    });
}

#[test]
fn each_limit_is_told_to_the_runtime_or_refused_by_name() {
    on_each_runtime(async |daemon| {
        let dir = tempfile::tempdir().unwrap();
        each(daemon, of_limits(), &dir.path().display().to_string()).await;
    });
}
