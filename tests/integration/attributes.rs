//! How the daemon was started reaches no pod: neither the attributes that every process has from its parent, nor, by
//! its umask, the modes of what it makes for others to read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use peapod_tests::{Container, Daemon, Options, Programs, peapod_with, v1};

/// All that a shell and its tools can do to a child. What it takes CAP_SYS_RESOURCE to undo (hard limits) is left
/// alone.
const HOSTILE: &str = "umask 077; ulimit -S -n 300 -c 0 -s 512 -l 64 -i 100 -q 4096 -f unlimited; \
    trap '' HUP INT USR1 USR2 CHLD ALRM TTIN TTOU WINCH; echo 200 >/proc/self/oom_score_adj; \
    echo 0x7f >/proc/self/coredump_filter; exec 7</etc/passwd 8<>/dev/zero 33</proc/self/status; \
    export LD_BIND_NOW=1 SECRET=daemon NOTIFY_SOCKET=; cd /tmp; \
    exec taskset -c 0 nice -n 5 ionice -c 3 chrt --batch 0 setarch --addr-no-randomize \
    env --ignore-signal=QUIT --block-signal=USR2,TERM,CHLD,RTMIN+3";

/// What a process looks like from outside, by name.
fn attributes(pid: u32) -> BTreeMap<String, String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let mut found = BTreeMap::new();
    for line in read("status").lines() {
        if let Some((name, value)) = line.split_once(":\t")
            && ["Umask", "SigBlk", "SigIgn", "Cpus_allowed_list", "Mems_allowed_list", "Groups", "THP_enabled", "Gid"]
                .contains(&name)
        {
            found.insert(name.to_owned(), value.trim().to_owned());
        }
    }
    for name in ["personality", "coredump_filter", "timerslack_ns", "oom_score_adj"] {
        found.insert(name.to_owned(), read(name).trim().to_owned());
    }
    for line in read("limits").lines().skip(1) {
        let (name, values) = line.split_at(26);
        // Those that the node can't raise are what they are.
        let soft = values.split_whitespace().next().unwrap();
        found.insert(name.trim().to_owned(), soft.to_owned());
    }
    let stat = read("stat");
    let stat: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    for (name, at) in [("terminal", 4), ("nice", 16), ("policy", 38)] {
        found.insert(name.to_owned(), stat[at].to_owned());
    }
    let ionice = std::process::Command::new("ionice").args(["-p", &pid.to_string()]).output().unwrap();
    found.insert("ionice".to_owned(), String::from_utf8(ionice.stdout).unwrap().trim().to_owned());
    found
}

/// Those of the shim, pod init, and a container's first process and command; of the latter the environment and
/// descriptors as well.
async fn all(daemon: &Daemon, name: &str) -> BTreeMap<&'static str, BTreeMap<String, String>> {
    let pod = daemon.pod(name).run().await;
    let container = pod.container("main").sh("exec sleep 1000").start().await;
    let info = |pid: i32| attributes(u32::try_from(pid).unwrap());
    let mut found = BTreeMap::from([
        ("shim", info(pod.shim_pid())),
        ("init", info(pod.init_pid())),
        ("container", attributes(first_process(&container))),
    ]);
    let exec = async { container.try_exec(&["sleep", "777"], 0).await };
    let look = async {
        let pid = peapod_tests::wait_some("the command runs", async || process("sleep 777")).await;
        let found = attributes(pid);
        peapod_tests::kill(i32::try_from(pid).unwrap());
        found
    };
    let (_, command) = tokio::join!(exec, look);
    found.insert("exec", command);
    let inside =
        "ls /proc/self/fd | wc -l; tr '\\0' '\\n' </proc/self/environ | cut -d= -f1 | sort | tr '\\n' ' '; pwd";
    found.get_mut("exec").unwrap().insert("inside".to_owned(), container.exec(inside).await);
    let own = pod.container("inside").sh(inside).output().await;
    found.get_mut("container").unwrap().insert("inside".to_owned(), own);
    let inherited = |pid: i32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|file| ["/etc/passwd", "/dev/zero"].iter().any(|name| file.as_os_str() == *name))
    };
    assert!(!inherited(pod.shim_pid()), "the shim has a descriptor that nobody meant for it");
    pod.remove().await.unwrap();
    found
}

fn first_process(container: &Container<'_>) -> u32 {
    let bundle = container.pod.daemon.run_root().join("pods").join(&container.pod.id).join("containers");
    fs::read_to_string(bundle.join(&container.id).join("pid")).unwrap().trim().parse().unwrap()
}

/// A process of the node with that command line.
fn process(command: &str) -> Option<u32> {
    let wanted = command.replace(' ', "\0") + "\0";
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (fs::read(entry.path().join("cmdline")).ok()? == wanted.as_bytes()).then_some(pid)
    })
}

#[test]
fn how_the_daemon_was_started_reaches_no_pod() {
    for handler in ["crun", "runc"] {
        let mut seen = Vec::new();
        for start in ["exec", HOSTILE] {
            let options = Options::new().handler(handler).started_by(start);
            peapod_with(&options, async |daemon| seen.push(all(daemon, "attributes").await));
        }
        let [plain, hostile] = &seen[..] else { panic!("two runs") };
        assert_eq!(plain, hostile, "{handler}");
        let node = attributes(1);
        for (who, is) in hostile {
            for (name, wanted) in [
                ("Umask", "0022"),
                ("personality", "00000000"),
                ("coredump_filter", "00000033"),
                ("timerslack_ns", "50000"),
                ("nice", "0"),
                ("policy", "0"),
                ("terminal", "0"),
                ("ionice", "none: prio 0"),
                ("Max core file size", "unlimited"),
                ("Max stack size", "8388608"),
            ] {
                if name != "Umask" || *who != "init" {
                    assert_eq!(is[name], wanted, "{handler}: {who}: {name}");
                }
            }
            assert_eq!(is["Cpus_allowed_list"], node["Cpus_allowed_list"], "{handler}: {who}");
            let open: u64 = is["Max open files"].parse().unwrap();
            assert!(open > 300, "{handler}: {who}: {open}");
        }
        for who in ["container", "exec"] {
            for name in ["SigBlk", "SigIgn"] {
                let set = u64::from_str_radix(&hostile[who][name], 16).unwrap();
                // The C library's own two, which its posix_spawn ignores in every child.
                assert_eq!(set & !(0b11 << 31), 0, "{handler}: {who}: {name}");
            }
            assert_eq!(hostile[who]["oom_score_adj"], "0", "{handler}: {who}");
        }
    }
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for start in ["umask 077; exec", "umask 027; exec", "umask 0; exec"] {
        peapod_with(&Options::new().started_by(start), async |daemon| {
            let pod = daemon.pod("modes").config(|config| config.hostname = "modes".to_owned()).run().await;
            // Folders that no layer describes, and all that the daemon makes by itself.
            let script = "cat /etc/hosts /etc/resolv.conf /etc/hostname >/dev/null && cd /opaque && cat new /kept /replaced && \
                ls / >/dev/null && echo x >/dev/shm/x && stat -c %a / /etc /opaque /gone /etc/hosts /etc/resolv.conf /etc/hostname";
            let other = pod.container("other").image("peapod/test-whiteout:1").sh(script).security(|security| {
                security.run_as_user = Some(v1::Int64Value { value: 1000 });
            });
            assert_eq!(other.output().await, "upperlowerupper755\n755\n755\n755\n644\n644\n644\n", "{start}");
            let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            let root = pod.container("root").sh("touch /made; mkdir /folder; stat -c %a /made /folder").start().await;
            root.wait_exit().await;
            assert_eq!((root.stdout().as_str(), mode(&root.log_file())), ("644\n755\n", 0o640), "{start}");
            assert_eq!(mode(&daemon.socket()), 0o660, "{start}");
            assert_eq!((mode(&daemon.run_root()), mode(&daemon.run_root().join("s"))), (0o711, 0o700), "{start}");
            assert!(Programs::get().peapod.exists());
        });
    }
}
