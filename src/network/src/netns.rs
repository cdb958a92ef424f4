//! Network namespaces and the files that hold them.

use crate::error::StepError;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::io::Errno;
use std::fs::{File, OpenOptions, create_dir_all, remove_file};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The namespace of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";

fn enter_new() -> Result<File, StepError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| StepError::new("make a network namespace", errno))?;
    File::open(OWN).map_err(|source| StepError::new(format!("open {OWN}"), source))
}

/// Moves the calling thread into the network namespace that is to be connected: a new one, or this; gives the
/// namespace.
///
/// The thread is not to be used for anything else afterwards.
pub(crate) fn enter(given: Option<&Path>) -> Result<File, StepError> {
    let Some(path) = given else { return enter_new() };
    let failed = |source: io::Error| StepError::new(format!("enter the network namespace {}", path.display()), source);
    let namespace = File::open(path).map_err(failed)?;
    setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno.into()))?;
    Ok(namespace)
}

/// Pins the calling thread's namespace at `path`, which must not exist.
pub(crate) fn pin(path: &Path) -> Result<(), StepError> {
    let failed = |source: io::Error| StepError::new(format!("pin the network namespace at {}", path.display()), source);
    if let Some(dir) = path.parent() {
        create_dir_all(dir).map_err(failed)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(0o444).open(path).map_err(failed)?;
    mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(|errno| {
        // The caller undoes a pin that was made; this one was not.
        let _ = remove_file(path);
        failed(errno.into())
    })
}

/// Drops the pin; fine if there is none.
pub(crate) fn unpin(path: &Path) -> Result<(), StepError> {
    let failed =
        |source: io::Error| StepError::new(format!("unpin the network namespace at {}", path.display()), source);
    loop {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // Somebody may have mounted over it.
            Ok(()) => {}
            Err(nix::Error::EINVAL | nix::Error::ENOENT | nix::Error::ENOTDIR) => break,
            Err(errno) => return Err(failed(errno.into())),
        }
    }
    match remove_file(path) {
        // The namespace is let go, and no other pod gets that name: what somebody has put there need not keep this one.
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            tracing::warn!(path = %path.display(), %error, "what stands in a network namespace's place stays");
        }
        _ => {}
    }
    Ok(())
}

/// Whether a namespace is pinned at `path`.
pub(crate) fn is_pinned(path: &Path) -> bool {
    /// The magic of the file system that namespaces are files of.
    const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;
    let magic = rustix::fs::statfs(path).map(|statistics| statistics.f_type);
    matches!(magic, Ok(NSFS_MAGIC))
}

/// Writes a sysctl of the calling thread's network namespace, unless it has the value; gives the value that it had
/// else.
pub(crate) fn set_sysctl(name: &str, value: &str) -> Result<Option<String>, StepError> {
    let path = format!("/proc/sys/net/{name}");
    let failed = |source| StepError::new(format!("set {path} to {value}"), source);
    // Read first: it may be read-only here and right already.
    let now = std::fs::read_to_string(&path).map_err(failed)?;
    if now.trim_end() == value {
        return Ok(None);
    }
    std::fs::write(&path, value).map_err(failed)?;
    Ok(Some(now.trim_end().to_owned()))
}

/// Makes all links of the calling thread's namespace that are made later believe no router advertisement, by which any
/// pod could become everybody's gateway (CVE-2020-10749), and no redirect; and has their own addresses follow from
/// their hardware addresses, the only ones that a pod may send from. Fine without IPv6.
pub(crate) fn believe_nobody() -> Result<(), StepError> {
    // In IPv4 a link believes what it or "all" says.
    for links in ["all", "default"] {
        set_sysctl(&format!("ipv4/conf/{links}/accept_redirects"), "0")?;
    }
    for switch in ["accept_ra", "accept_redirects", "addr_gen_mode"] {
        match set_sysctl(&format!("ipv6/conf/default/{switch}"), "0") {
            Err(error) if !is_gone(&error.source) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether an error says that what was to be taken away is not there.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOENT.raw_os_error())
}
