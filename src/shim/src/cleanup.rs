//! `delete`: the one way to clean up after a shim that died, or that nobody can speak to any more. Kills the shim if it is there, kills
//! by cgroup, deletes what the runtime knows, unmounts. Says what it can't do, and does the rest.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use containerd_shim_protos::api::DeleteResponse;
use peapod_cgroup::{Cgroup, Hierarchy};
use protobuf::Message;

use crate::args::Args;
use crate::bounds::RUNTIME_DELETE;
use crate::container::record;
use crate::family;
use crate::runtime::{CALL_ENV, Runtime};
use crate::sandbox::pod_init::PID_FILE;
use crate::{attributes, clock, log, mount};

/// For everything in a container's group to be gone.
const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn run(args: &Args) -> Result<(), String> {
    log::open(&args.bundle, &args.id);
    attributes::reset();
    let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).map_err(|error| error.to_string())?;
    let mut failures = Vec::new();
    // It would start, log and write down what nobody asks it about.
    failures.extend(end_all("shims", |pid| is_shim(pid, args)).err());
    let containers = args.bundle.join("containers");
    for entry in std::fs::read_dir(containers).into_iter().flatten().flatten() {
        failures.extend(clean_container(&hierarchy, &entry.path()).err());
    }
    for path in &args.cgroups {
        failures
            .extend(hierarchy.cgroup(path).map_err(|error| error.to_string()).and_then(|it| clean_group(&it)).err());
    }
    failures.extend(end_init(&args.bundle).err());
    failures.extend(unmount_below(&args.bundle));
    answer()?;
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

/// containerd reads this answer; the exit of whoever is asked about is not known here.
fn answer() -> Result<(), String> {
    let response =
        DeleteResponse { exit_status: 137, exited_at: clock::timestamp(clock::now_ns()), ..DeleteResponse::default() };
    let bytes = response.write_to_bytes().map_err(|error| error.to_string())?;
    std::io::stdout().write_all(&bytes).map_err(|error| error.to_string())
}

fn clean_container(hierarchy: &Hierarchy, bundle: &Path) -> Result<(), String> {
    let runtime = record::read_runtime(bundle);
    if let Some(runtime) = &runtime {
        // It would go on and make what nobody would know of.
        end_all("calls of the OCI runtime", |pid| is_call(pid, runtime, bundle))?;
    }
    let path = record::read_cgroup(bundle).or_else(|| record::wanted_cgroup(bundle));
    let cgroup = path.and_then(|path| hierarchy.cgroup(&path).ok());
    if let Some(cgroup) = &cgroup {
        empty(cgroup)?;
    }
    if let (Some(runtime), Some(id)) = (runtime, bundle.file_name().and_then(|name| name.to_str())) {
        delete(&runtime, bundle, id);
        end_all("what the OCI runtime's delete left", |pid| is_call(pid, &runtime, bundle))?;
    }
    if let Some(cgroup) = &cgroup {
        until(cgroup, || Ok(cgroup.remove().is_ok()))?;
    }
    record::forget(bundle);
    Ok(())
}

/// Has the runtime forget a container. One that it does not know any more is fine; what counts is the group.
fn delete(runtime: &Runtime, bundle: &Path, id: &str) {
    let mut command = Command::new(&runtime.program);
    command.arg("--root").arg(&runtime.root);
    if runtime.systemd_cgroup {
        command.arg("--systemd-cgroup");
    }
    command.env(CALL_ENV, bundle);
    command.args(["delete", "--force", id]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Ok(mut child) = command.spawn() {
        let deadline = Instant::now() + RUNTIME_DELETE;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
        }
        if matches!(child.try_wait(), Ok(None)) {
            family::kill(child.id());
            let _ = child.wait();
        }
    }
    runtime.remove_state(id);
}

/// Ends what runs in a group, and the group.
fn clean_group(cgroup: &Cgroup) -> Result<(), String> {
    empty(cgroup)?;
    until(cgroup, || Ok(cgroup.remove().is_ok()))
}

fn empty(cgroup: &Cgroup) -> Result<(), String> {
    until(cgroup, || {
        Ok(cgroup.is_empty()? || {
            cgroup.kill()?;
            cgroup.is_empty()?
        })
    })
}

/// Ends all processes of a kind, and waits for that.
fn end_all(kind: &str, is_one: impl Fn(u32) -> bool) -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let found: Vec<u32> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| is_beside_us(*pid) && is_one(*pid))
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let stuck: Vec<String> = found.into_iter().map(crate::container::process::wait_channel).collect();
            return Err(format!("{kind} won't end: {}", stuck.join(", ")));
        }
        for pid in found {
            // Looked at again behind the descriptor: the number may be somebody else's by now.
            if let Ok(pidfd) = crate::container::process::open(pid)
                && is_one(pid)
            {
                let _ = peapod_sys::send_signal(pidfd, libc::SIGKILL);
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether a process is in our PID namespace. A container's need not be looked at, and memory of a process that answers its page
/// faults itself, from which command line and environment are read, can hold up its reader.
fn is_beside_us(pid: u32) -> bool {
    let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/pid")).ok();
    namespace(&pid.to_string()).is_some_and(|theirs| namespace("self") == Some(theirs))
}

/// Whether a process is a call of the runtime that names the bundle, as all of them do, or was started by one.
fn is_call(pid: u32, runtime: &Runtime, bundle: &Path) -> bool {
    calls(&command_line(pid), runtime, bundle) || is_of_call(&environment(pid), bundle)
}

/// What a call starts may have any command line.
fn is_of_call(variables: &[PathBuf], bundle: &Path) -> bool {
    let value =
        |variable: &PathBuf| variable.as_os_str().as_bytes().strip_prefix(CALL_ENV.as_bytes()).map(<[u8]>::to_vec);
    variables.iter().filter_map(value).any(|value| {
        let value = value.strip_prefix(b"=").unwrap_or_default();
        Path::new(std::ffi::OsStr::from_bytes(value)).starts_with(bundle)
    })
}

/// A runtime that is a script comes after its interpreter.
fn calls(words: &[PathBuf], runtime: &Runtime, bundle: &Path) -> bool {
    let program = words.iter().take(3).position(|word| *word == runtime.program);
    program.is_some_and(|at| words.iter().skip(at + 1).any(|word| word.starts_with(bundle)))
}

/// Whether a process is this pod's shim: it was started with `-id ID -bundle DIR` and no action.
fn is_shim(pid: u32, args: &Args) -> bool {
    serves(&command_line(pid), args)
}

fn serves(words: &[PathBuf], args: &Args) -> bool {
    let wanted = [Path::new("-id"), Path::new(&args.id), Path::new("-bundle"), &args.bundle];
    words.windows(4).any(|four| four == wanted) && !words.iter().any(|word| word == Path::new("delete"))
}

fn command_line(pid: u32) -> Vec<PathBuf> {
    strings(&format!("/proc/{pid}/cmdline"))
}

fn environment(pid: u32) -> Vec<PathBuf> {
    strings(&format!("/proc/{pid}/environ"))
}

fn strings(file: &str) -> Vec<PathBuf> {
    let text = std::fs::read(file).unwrap_or_default();
    let words = text.split(|byte| *byte == 0);
    words.map(|word| PathBuf::from(std::ffi::OsStr::from_bytes(word))).collect()
}

fn until(cgroup: &Cgroup, mut done: impl FnMut() -> Result<bool, peapod_cgroup::GroupError>) -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    while !done().map_err(|error| error.to_string())? {
        if Instant::now() > deadline {
            let stuck: Vec<String> =
                cgroup.pids().unwrap_or_default().into_iter().map(crate::container::process::wait_channel).collect();
            return Err(format!("cgroup {} is in use by {}", cgroup.path(), stuck.join(", ")));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// It dies with its shim; this is for the moment in between.
fn end_init(bundle: &Path) -> Result<(), String> {
    let file = bundle.join(PID_FILE);
    let Some(pid) = record::text(&file).and_then(|text| text.trim().parse().ok()) else {
        return Ok(());
    };
    if let Ok(pidfd) = crate::container::process::open(pid) {
        // The number may be somebody else's by now.
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if command.split(|byte| *byte == 0).next() == Some(crate::init::NAME.as_bytes()) {
            peapod_sys::send_signal(pidfd, libc::SIGKILL).map_err(|error| format!("can't kill pod init: {error}"))?;
        }
    }
    let _ = std::fs::remove_file(file);
    Ok(())
}

/// Everything mounted in the pod's directory, the last first.
fn unmount_below(bundle: &Path) -> Vec<String> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let targets: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|target| PathBuf::from(unescape(target)))
        .filter(|target| target.starts_with(bundle) && target != bundle)
        .collect();
    targets.iter().rev().filter_map(|target| mount::unmount(target).err()).map(|error| error.to_string()).collect()
}

/// mountinfo writes blanks as octal numbers.
fn unescape(text: &str) -> String {
    ["\\040 ", "\\011\t", "\\012\n", "\\134\\"].iter().fold(text.to_owned(), |text, pair| {
        let (code, plain) = pair.split_at(4);
        text.replace(code, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_a_call_has_started() {
        let bundle = Path::new("/run/p1/containers/c1");
        let of = |variable: &str| is_of_call(&["A=b".into(), variable.into()], bundle);
        assert!(of("PEAPOD_CALL=/run/p1/containers/c1/create.log"));
        for other in
            ["PEAPOD_CALL=/run/p1/containers/c11/create.log", "PEAPOD_CALL=", "PEAPOD_CALLS=/run/p1", "X=/run/p1"]
        {
            assert!(!of(other), "{other}");
        }
    }

    #[test]
    fn knows_the_shim_of_a_pod() {
        let words = |line: &str| -> Vec<PathBuf> { line.split(' ').map(PathBuf::from).collect() };
        let args = Args::parse(["-id", "p1", "-bundle", "/run/p1", "delete"].map(std::ffi::OsString::from).into_iter());
        let args = args.unwrap();
        assert!(serves(&words("/x/shim -namespace peapod -id p1 -bundle /run/p1"), &args));
        for other in [
            "/x/shim -namespace peapod -id p1 -bundle /run/p1 delete",
            "/x/shim -namespace peapod -id p2 -bundle /run/p1",
            "/x/shim -namespace peapod -id p1 -bundle /run/p2",
            "grep -id p1",
            "",
        ] {
            assert!(!serves(&words(other), &args), "{other}");
        }
    }

    #[test]
    fn knows_calls_of_a_runtime() {
        let words = |line: &str| -> Vec<PathBuf> { line.split(' ').map(PathBuf::from).collect() };
        let runtime = Runtime { program: "/usr/bin/crun".into(), root: "/r".into(), systemd_cgroup: false };
        for (line, is) in [
            ("/usr/bin/crun --root /r --log /b/create.log create --bundle /b c1", true),
            ("/bin/sh /usr/bin/crun --root /r --log /b/delete.log delete c1", true),
            ("/usr/bin/crun --root /r --log /other/create.log create --bundle /other c1", false),
            ("/usr/bin/runc --root /r --log /b/create.log create --bundle /b c1", false),
            ("/b/x /usr/bin/crun", false),
        ] {
            assert_eq!(calls(&words(line), &runtime, Path::new("/b")), is, "{line}");
        }
    }

    #[test]
    fn reads_paths_of_mountinfo() {
        assert_eq!(unescape("/a\\040b\\134c"), "/a b\\c");
    }
}
