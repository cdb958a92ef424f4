//! The daemon's folders and what keeps a second daemon out of them: locks, and the socket.

use std::ffi::{CString, OsStr};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use crate::bounds;

/// How long a predecessor that was killed may take to be gone: on a busy node its locks and sockets outlive its last
/// moment.
pub(crate) const PREDECESSOR: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Why the daemon can't use its folders or its socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuntimeDirError {
    /// Somebody else has the state root or the run root.
    #[error("{}: another peapod (pid {pid}) works in this folder: stop it, or use another {option}", path.display())]
    Locked { path: PathBuf, pid: String, option: &'static str },
    /// Somebody else answers on the socket.
    #[error("{}: somebody listens there already: stop it, or configure another path", path.display())]
    SocketTaken { path: PathBuf },
    /// Not root, a full disk, a file in the way.
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RuntimeDirError {
    move |source| RuntimeDirError::Io { what, path: path.to_owned(), source }
}

/// A folder, held. No other daemon works in it until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Makes the state root and locks it, as soon as whoever has it is through, or not at all.
pub(crate) fn lock_state(root: &Path, timeout: Duration) -> Result<Lock, RuntimeDirError> {
    create_dir(root, 0o700)?;
    let held = lock(root, "--state-root", timeout)?;
    for name in ["containers", "layers", "ingest", "trash"] {
        create_private_dir(&root.join(name), Links::Followed)?;
    }
    Ok(held)
}

/// Tries until it works or the time is over.
fn retry<T>(timeout: Duration, mut attempt: impl FnMut() -> Result<T, RuntimeDirError>) -> Result<T, RuntimeDirError> {
    let began = Instant::now();
    loop {
        match attempt() {
            Err(RuntimeDirError::Locked { .. } | RuntimeDirError::SocketTaken { .. }) if began.elapsed() < timeout => {
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

fn lock(root: &Path, option: &'static str, timeout: Duration) -> Result<Lock, RuntimeDirError> {
    retry(timeout, || try_lock(root, option))
}

fn try_lock(root: &Path, option: &'static str) -> Result<Lock, RuntimeDirError> {
    let path = root.join("lock");
    if std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir() || found.is_symlink()) {
        // No daemon holds it.
        move_aside(&path)?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // A FIFO in its place holds up nobody.
        .custom_flags(nonblock())
        .mode(0o600)
        .open(&path)
        .map_err(io_error("can't open", &path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // For the message only. Bounded, as anybody's file.
            let _ = (&file).take(64).read_to_string(&mut holder);
            let pid = if holder.trim().is_empty() { "unknown".to_owned() } else { holder.trim().to_owned() };
            return Err(RuntimeDirError::Locked { path, pid, option });
        }
        Err(error) => return Err(io_error("can't lock", &path)(error.into())),
    }
    // For the message above only, so a failure costs nothing.
    let _ = file.set_len(0).and_then(|()| writeln!(&file, "{}", std::process::id()));
    Ok(Lock { _file: file })
}

fn nonblock() -> i32 {
    // One bit.
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0)
}

/// Makes the run root a private tmpfs, so that mounts below it reach no other namespace and a reboot empties it, and
/// locks it.
pub(crate) fn prepare_run_root(root: &Path, timeout: Duration) -> Result<Lock, RuntimeDirError> {
    create_dir(root, 0o711)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let (bytes, inodes) = (run_root_bytes(), bounds::RUN_ROOT_INODES);
    let size = CString::new(format!("mode=0711,size={bytes},nr_inodes={inodes}")).unwrap_or_default();
    if !is_own_tmpfs(root).map_err(io_error("can't look at", root))? {
        rustix::mount::mount("tmpfs", root, "tmpfs", flags, Some(size.as_c_str()))
            .map_err(|error| io_error("can't mount a tmpfs on", root)(error.into()))?;
    } else if let Err(error) = rustix::mount::mount_remount(root, flags, size.as_c_str()) {
        // More is in it already. What is new is refused while it is full, and pods end.
        tracing::warn!(path = %root.display(), bytes, %error, "the run root keeps its size");
    }
    rustix::mount::mount_change(root, MountPropagationFlags::PRIVATE)
        .map_err(|error| io_error("can't make private the mount", root)(error.into()))?;
    let held = lock(root, "--run-root", timeout)?;
    // Others pass through the run root to the socket, and no further.
    for name in ["s", "pods", "runtimes", "streaming"] {
        create_private_dir(&root.join(name), Links::Refused)?;
    }
    open_pods(&root.join("pods"))?;
    Ok(held)
}

/// Lets others pass through the folder of pods, whose own folders are closed: root of a pod with users of its own comes
/// this way to the root file systems of its containers, as a group of the node.
fn open_pods(pods: &Path) -> Result<(), RuntimeDirError> {
    let close = |pod: &Path| {
        let mode = std::fs::symlink_metadata(pod)?.mode();
        // A release before this one left it to the folder above.
        if mode & 0o007 == 0 { Ok(()) } else { std::fs::set_permissions(pod, Permissions::from_mode(mode & 0o770)) }
    };
    // One that can't be read may be open, so that none is let through to it.
    for entry in std::fs::read_dir(pods).map_err(io_error("can't list", pods))? {
        let entry = entry.map_err(io_error("can't list", pods))?;
        let path = entry.path();
        if entry.file_type().map_err(io_error("can't look at", &path))?.is_dir() {
            close(&path).map_err(io_error("can't set the mode of", &path))?;
        }
    }
    std::fs::set_permissions(pods, Permissions::from_mode(0o711)).map_err(io_error("can't set the mode of", pods))
}

/// What a link to a folder is, in the place of a folder of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Links {
    /// How an administrator keeps it on another disk.
    Followed,
    /// Somebody's mischief.
    Refused,
}

/// Makes one of the daemon's folders, private. What is in its place and is none is moved away: it costs what was in the
/// folder, and no more than that.
fn create_private_dir(path: &Path, links: Links) -> Result<(), RuntimeDirError> {
    if !is_free(path, links).map_err(io_error("can't look at", path))? {
        move_aside(path)?;
    }
    make_private(path)
}

/// Whether a folder can be made there, or is there. An error is the disk's.
fn is_free(path: &Path, links: Links) -> io::Result<bool> {
    use rustix::io::Errno;
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        found => found?,
    };
    if !found.is_symlink() || links == Links::Refused {
        return Ok(found.is_dir());
    }
    match std::fs::metadata(path) {
        Ok(target) => Ok(target.is_dir()),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
            _ => Err(error),
        },
    }
}

/// How much the run root may take.
fn run_root_bytes() -> u64 {
    let node = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion, reason = "its type differs between machines")]
    let memory = u64::from(node.totalram).saturating_mul(u64::from(node.mem_unit));
    (memory / bounds::RUN_ROOT_PART).min(bounds::RUN_ROOT_BYTES)
}

/// A tmpfs that begins here, left by an earlier run of the daemon.
fn is_own_tmpfs(root: &Path) -> io::Result<bool> {
    const TMPFS: i64 = 0x0102_1994;
    let parent = root.parent().unwrap_or(Path::new("/"));
    let begins_here = std::fs::metadata(root)?.dev() != std::fs::metadata(parent)?.dev();
    let kind = rustix::fs::statfs(root)?.f_type;
    #[allow(clippy::unnecessary_cast, reason = "its type differs between machines")]
    Ok(begins_here && kind as i64 == TMPFS)
}

/// Makes a folder with its parents; an existing one keeps its mode.
fn create_dir(path: &Path, mode: u32) -> Result<(), RuntimeDirError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(io_error("can't make", parent))?;
    }
    DirBuilder::new().mode(mode).create(path).map_err(io_error("can't make", path))
}

/// Renames what is in the place of something of ours, so that it can be looked at.
fn move_aside(path: &Path) -> Result<(), RuntimeDirError> {
    let aside = path.with_extension("unreadable");
    tracing::error!(path = %path.display(), aside = %aside.display(), "this is not what peapod has made there: it is moved away");
    // What an earlier start moved there.
    peapod_sys::remove_tree(&aside).map_err(|error| io_error("can't remove", &aside)(error.into()))?;
    std::fs::rename(path, &aside).map_err(io_error("can't move away", path))
}

/// Makes a folder root's alone, also one that is there: in it are set-user-id programs and secrets of strangers, and
/// who knows a pod's id must not get at them.
fn make_private(path: &Path) -> Result<(), RuntimeDirError> {
    create_dir(path, 0o700)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io_error("can't set the mode of", path))
}

/// The socket, open under another name; clients find it only once it is [published](ListeningSocket::publish).
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    listener: UnixListener,
    temporary: PathBuf,
    path: PathBuf,
}

/// Binds the socket with its final mode, as soon as nobody else listens there.
pub(crate) fn bind(path: &Path, mode: u32, timeout: Duration) -> Result<ListeningSocket, RuntimeDirError> {
    retry(timeout, || try_bind(path, mode))
}

fn try_bind(path: &Path, mode: u32) -> Result<ListeningSocket, RuntimeDirError> {
    if is_listened_to(path) {
        return Err(RuntimeDirError::SocketTaken { path: path.to_owned() });
    }
    if let Some(parent) = path.parent() {
        create_dir(parent, 0o711)?;
    }
    let temporary = temporary_of(path);
    match std::fs::remove_file(&temporary) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // It may be a folder.
        Err(_) => move_aside(&temporary)?,
    }
    let listener = UnixListener::bind(&temporary).map_err(io_error("can't bind", &temporary))?;
    std::fs::set_permissions(&temporary, Permissions::from_mode(mode))
        .map_err(io_error("can't set the mode of", &temporary))?;
    listener.set_nonblocking(true).map_err(io_error("can't use", &temporary))?;
    Ok(ListeningSocket { listener, temporary, path: path.to_owned() })
}

/// Whether somebody listens at that socket, also one who takes no more connections.
fn is_listened_to(path: &Path) -> bool {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connected = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .and_then(|socket| rustix::net::connect(&socket, &SocketAddrUnix::new(path)?));
    matches!(connected, Ok(()) | Err(Errno::AGAIN))
}

/// A name beside it that no other socket has there, and as long as its own, which was checked to fit.
fn temporary_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().as_bytes().to_vec();
    if let Some(first) = name.first_mut() {
        *first = if *first == b'.' { b'_' } else { b'.' };
    }
    path.with_file_name(OsStr::from_bytes(&name))
}

impl ListeningSocket {
    /// Takes the place of whatever an earlier daemon left: there is no moment without a socket of the right mode.
    pub(crate) fn publish(self) -> Result<UnixListener, RuntimeDirError> {
        let publish = || std::fs::rename(&self.temporary, &self.path);
        let published = match publish() {
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                move_aside(&self.path)?;
                publish()
            }
            other => other,
        };
        published.map_err(io_error("can't make", &self.path))?;
        Ok(self.listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_by_pid() {
        let root = tempfile::tempdir().unwrap();
        let held = lock_state(root.path(), Duration::ZERO).unwrap();
        let refused = lock_state(root.path(), Duration::ZERO).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        let waits = std::thread::spawn({
            let root = root.path().to_owned();
            move || lock_state(&root, Duration::from_secs(20)).map(drop)
        });
        drop(held);
        waits.join().unwrap().unwrap();
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("peapod.sock");
        drop(bind(&path, 0o600, Duration::ZERO).unwrap().publish().unwrap());
        let live = bind(&path, 0o660, Duration::ZERO).unwrap().publish().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        assert!(matches!(bind(&path, 0o660, Duration::ZERO), Err(RuntimeDirError::SocketTaken { .. })));
        drop(live);
    }
}
