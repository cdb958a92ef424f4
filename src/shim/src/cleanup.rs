//! `delete`: the one way to clean up after a shim that died, or that nobody can speak to any more. Kills the shim if it
//! is there, kills by cgroup, deletes what the runtime knows, unmounts. Says what it can't do, and does the rest.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use containerd_shim_protos::api::DeleteResponse;
use peapod_cgroup::{Cgroup, Hierarchy};
use peapod_sys::mountinfo::Mounts;
use peapod_sys::proc::{command_line, environment, kill_matching};
use protobuf::Message;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::args::Args;
use crate::reaper::Reaper;
use crate::runtime::{Binary, CALL_ENV, Runtime, RuntimeLauncher, Target};
use crate::sandbox::pod_init::PID_FILE;
use crate::tasks;
use crate::{attributes, bundle, clock, files, log, mount, proc};

/// How long processes may take to be gone after KILL.
const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn run(args: &Args) -> Result<(), String> {
    log::open(&args.bundle, &args.id);
    attributes::reset();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("can't start: {error}"))?.block_on(clean(args))
}

async fn clean(args: &Args) -> Result<(), String> {
    let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).map_err(|error| error.to_string())?;
    let reaper = Reaper::default();
    tasks::spawn(reaper.run().map_err(|error| error.to_string())?);
    let launcher = RuntimeLauncher::new(reaper, None);
    let mut failures = Vec::new();
    // It would start, log and write down what nobody asks it about.
    failures.extend(end_all("shims", |pid| is_shim(pid, args)).err());
    let containers = args.bundle.join("containers");
    for entry in std::fs::read_dir(containers).into_iter().flatten().flatten() {
        failures.extend(clean_container(&hierarchy, &launcher, &entry.path()).await.err());
    }
    for path in &args.cgroups {
        failures.extend(clean_group(&hierarchy, path).await.err());
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
    io::stdout().write_all(&bytes).map_err(|error| error.to_string())
}

async fn clean_container(hierarchy: &Hierarchy, launcher: &RuntimeLauncher, dir: &Path) -> Result<(), String> {
    let binary = bundle::read_runtime(dir);
    if let Some(binary) = &binary {
        // It would go on and make what nobody would know of.
        end_all("calls of the OCI runtime", |pid| is_call(pid, binary, dir))?;
    }
    let path = bundle::read_cgroup(dir);
    let cgroup = path.and_then(|path| hierarchy.cgroup(&path).ok());
    if let Some(cgroup) = &cgroup {
        empty(cgroup).await?;
    }
    if let (Some(binary), Some(id)) = (binary, dir.file_name().and_then(|name| name.to_str())) {
        let target = Target { id, bundle: dir, interrupt: &Notify::new() };
        Runtime::new(launcher.clone(), binary.clone()).delete(target).await;
        end_all("what the OCI runtime's delete left", |pid| is_call(pid, &binary, dir))?;
    }
    if let Some(cgroup) = &cgroup {
        until(cgroup, || Ok(cgroup.remove().is_ok())).await?;
    }
    bundle::remove_records(dir);
    Ok(())
}

/// Ends what runs in a group, and the group.
async fn clean_group(hierarchy: &Hierarchy, path: &str) -> Result<(), String> {
    let cgroup = hierarchy.cgroup(path).map_err(|error| error.to_string())?;
    empty(&cgroup).await?;
    until(&cgroup, || Ok(cgroup.remove().is_ok())).await
}

async fn empty(cgroup: &Cgroup) -> Result<(), String> {
    let is_empty = || {
        Ok(cgroup.is_empty()? || {
            cgroup.kill()?;
            cgroup.is_empty()?
        })
    };
    until(cgroup, is_empty).await
}

/// Ends all processes of a kind, and waits for that. Blocks: there is nothing else to do meanwhile.
fn end_all(kind: &str, is_one: impl Fn(u32) -> bool) -> Result<(), String> {
    let left = kill_matching(is_one, LIMIT).left;
    if left.is_empty() {
        return Ok(());
    }
    let stuck: Vec<String> = left.into_iter().map(proc::wait_channel).collect();
    Err(format!("{kind} won't end: {}", stuck.join(", ")))
}

/// Whether a process is a call of the runtime that names the bundle, as all of them do, or was started by one.
fn is_call(pid: u32, runtime: &Binary, bundle: &Path) -> bool {
    calls(&command_line(pid), runtime, bundle) || is_of_call(&environment(pid), bundle)
}

/// What a call starts may have any command line.
fn is_of_call(variables: &[OsString], bundle: &Path) -> bool {
    let value = |variable: &OsString| -> Option<PathBuf> {
        let value = variable.as_bytes().strip_prefix(CALL_ENV.as_bytes())?.strip_prefix(b"=")?;
        Some(PathBuf::from(OsStr::from_bytes(value)))
    };
    variables.iter().filter_map(value).any(|value| value.starts_with(bundle))
}

/// A runtime that is a script comes after its interpreter.
fn calls(arguments: &[OsString], runtime: &Binary, bundle: &Path) -> bool {
    let program = arguments.iter().take(3).position(|argument| *argument == *runtime.program);
    program.is_some_and(|at| arguments.iter().skip(at + 1).any(|argument| Path::new(argument).starts_with(bundle)))
}

/// Whether a process is this pod's shim: it was started with `-id ID -bundle DIR` and no action.
fn is_shim(pid: u32, args: &Args) -> bool {
    serves(&command_line(pid), args)
}

fn serves(arguments: &[OsString], args: &Args) -> bool {
    let wanted = [OsStr::new("-id"), OsStr::new(&args.id), OsStr::new("-bundle"), args.bundle.as_os_str()];
    arguments.windows(4).any(|four| four == wanted) && !arguments.iter().any(|argument| argument == "delete")
}

async fn until(
    cgroup: &Cgroup,
    mut done: impl FnMut() -> Result<bool, peapod_cgroup::GroupError>,
) -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    while !done().map_err(|error| error.to_string())? {
        if Instant::now() > deadline {
            let stuck: Vec<String> = cgroup.pids().unwrap_or_default().into_iter().map(proc::wait_channel).collect();
            return Err(format!("cgroup {} is in use by {}", cgroup.path(), stuck.join(", ")));
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// It dies with its shim; this is for the moment in between.
fn end_init(bundle: &Path) -> Result<(), String> {
    let file = bundle.join(PID_FILE);
    let Some(pid) = files::text(&file).and_then(|text| text.trim().parse().ok()) else {
        return Ok(());
    };
    if let Ok(pidfd) = proc::open(pid) {
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
    let targets = match mounted_below(bundle) {
        Ok(targets) => targets,
        Err(error) => return vec![format!("can't read what is mounted: {error}")],
    };
    targets.iter().rev().filter_map(|target| mount::unmount(target).err()).map(|error| error.to_string()).collect()
}

/// In the order in which it was mounted.
fn mounted_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut mounts = Mounts::open()?;
    let mut targets = Vec::new();
    while let Some(mount) = mounts.next_mount()? {
        let target = mount.target();
        if target.starts_with(dir) && target != dir {
            targets.push(target.into_owned());
        }
    }
    Ok(targets)
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
        let arguments = |line: &str| -> Vec<OsString> { line.split(' ').map(OsString::from).collect() };
        let args = Args::parse(["-id", "p1", "-bundle", "/run/p1", "delete"].map(OsString::from).into_iter());
        let args = args.unwrap();
        assert!(serves(&arguments("/x/shim -namespace peapod -id p1 -bundle /run/p1"), &args));
        for other in [
            "/x/shim -namespace peapod -id p1 -bundle /run/p1 delete",
            "/x/shim -namespace peapod -id p2 -bundle /run/p1",
            "/x/shim -namespace peapod -id p1 -bundle /run/p2",
            "grep -id p1",
            "",
        ] {
            assert!(!serves(&arguments(other), &args), "{other}");
        }
    }

    #[test]
    fn knows_calls_of_a_runtime() {
        let arguments = |line: &str| -> Vec<OsString> { line.split(' ').map(OsString::from).collect() };
        let runtime =
            Binary { program: "/usr/bin/crun".into(), root: "/r".into(), systemd_cgroup: false, arguments: Vec::new() };
        for (line, is) in [
            ("/usr/bin/crun --root /r --log /b/create.log create --bundle /b c1", true),
            ("/bin/sh /usr/bin/crun --root /r --log /b/delete.log delete c1", true),
            ("/usr/bin/crun --root /r --log /other/create.log create --bundle /other c1", false),
            ("/usr/bin/runc --root /r --log /b/create.log create --bundle /b c1", false),
            ("/b/x /usr/bin/crun", false),
        ] {
            assert_eq!(calls(&arguments(line), &runtime, Path::new("/b")), is, "{line}");
        }
    }
}
