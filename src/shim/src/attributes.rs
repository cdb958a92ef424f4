//! Nothing of how the daemon was started reaches a pod: its umask, affinity, niceness, limits, ignored signals, score
//! and so on. The shim gives all of it up at its beginning, and what it starts (pod init, the OCI runtime, by that
//! containers and execs) has it from the shim. What is said for a container comes later, by its configuration.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::log;

/// Takes nothing from modes that requests and code name, as none of them lets group or others write, and keeps those
/// from writing files whose mode nobody names.
const UMASK: Mode = Mode::from_raw_mode(0o022);
/// That of a daemon that must not be killed for memory.
const OOM_SCORE: i32 = -999;
/// Pages of a dead process that go into its core file: the kernel's default, private memory and the heads of files.
const CORE_PAGES: &str = "0x33";

/// Gives the daemon's attributes up. What can't be is said in the log.
pub(crate) fn reset() {
    umask(UMASK);
    let failed = |name: &'static str, error: std::io::Error| {
        log::warn("the daemon's attribute stays", &[("attribute", &name), ("error", &error)]);
    };
    peapod_sys::reset_attributes(failed);
    let report = |name, outcome: std::io::Result<()>| outcome.unwrap_or_else(|error| failed(name, error));
    report("groups", become_root().map_err(Into::into));
    for (resource, soft, hard) in peapod_sys::POD_LIMITS {
        if let Err(error) = limit(resource, Rlimit { current: soft, maximum: hard }) {
            log::warn("the daemon's limit stays", &[("limit", &format!("{resource:?}")), ("error", &error)]);
        }
    }
    if let Err(error) = limit_signals() {
        log::warn("the daemon's limit stays", &[("limit", &"Sigpending"), ("error", &error)]);
    }
    report("pages in core files", std::fs::write("/proc/self/coredump_filter", CORE_PAGES));
    lower_oom_score();
}

fn become_root() -> rustix::io::Result<()> {
    let (user, group) = (Uid::ROOT, Gid::ROOT);
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)
}

/// A hard limit that was lowered may not be raised by all; then it stays, and the soft one goes up to it.
fn limit(resource: Resource, wanted: Rlimit) -> rustix::io::Result<()> {
    let is = getrlimit(resource);
    if is == wanted || setrlimit(resource, wanted).is_ok() {
        return Ok(());
    }
    let within = |wanted: Option<u64>| match (wanted, is.maximum) {
        (Some(wanted), Some(most)) => Some(wanted.min(most)),
        (wanted, most) => wanted.or(most),
    };
    setrlimit(resource, Rlimit { current: within(wanted.current), maximum: within(wanted.maximum) })
}

/// How many there may be the kernel decides by the node's memory.
fn limit_signals() -> rustix::io::Result<()> {
    let maximum = getrlimit(Resource::Sigpending).maximum;
    setrlimit(Resource::Sigpending, Rlimit { current: maximum, maximum })
}

/// Not everybody may lower it, and then to what it was at first.
fn lower_oom_score() {
    const PATH: &str = "/proc/self/oom_score_adj";
    let is = std::fs::read_to_string(PATH).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let lowered = |score: i32| is.is_some_and(|is| is <= score) || std::fs::write(PATH, score.to_string()).is_ok();
    if !lowered(OOM_SCORE) {
        let _ = lowered(0);
    }
}
