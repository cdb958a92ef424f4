//! What the shim leaves in a container's bundle for those who come after it: how it ended, and, should the shim die, what there is to
//! kill and to delete.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use peapod_cgroup::Cgroup;
use peapod_shim_protocol::exit::Exit;

use crate::bounds::RECORD_FILE;
use crate::error::Error;
use crate::runtime::Runtime;

const CGROUP: &str = "cgroup";
const RUNTIME: &str = "runtime";

/// Writes how it ended; whole, or not at all.
pub(crate) fn exit(bundle: &Path, exit: &Exit) -> Result<(), Error> {
    write(&bundle.join(Exit::FILE), exit.to_text().as_bytes())
}

/// Writes which group it is in.
pub(crate) fn cgroup(bundle: &Path, group: Option<&Cgroup>) -> Result<(), Error> {
    write(&bundle.join(CGROUP), group.map_or("", Cgroup::path).as_bytes())
}

/// Writes which runtime made it: three lines.
pub(crate) fn runtime(bundle: &Path, runtime: &Runtime) -> Result<(), Error> {
    let mut text = runtime.program.as_os_str().as_bytes().to_vec();
    text.push(b'\n');
    text.extend_from_slice(runtime.root.as_os_str().as_bytes());
    text.extend_from_slice(if runtime.systemd_cgroup { b"\nsystemd\n" } else { b"\ncgroupfs\n" });
    write(&bundle.join(RUNTIME), &text)
}

/// The path of its group; `None` when there is nothing to kill as a whole.
pub(crate) fn read_cgroup(bundle: &Path) -> Option<String> {
    text(&bundle.join(CGROUP)).filter(|path| !path.is_empty())
}

/// The path of the group that its configuration asks for: for one whose shim died before it knew more.
pub(crate) fn wanted_cgroup(bundle: &Path) -> Option<String> {
    let text = text(&bundle.join("config.json"))?;
    let (_, rest) = text.split_once("\"cgroupsPath\":\"")?;
    let (path, _) = rest.split_once('"')?;
    // One with an escape in it is not looked for.
    if path.contains('\\') { None } else { peapod_cgroup::of_runtime_path(path) }
}

pub(crate) fn read_runtime(bundle: &Path) -> Option<Runtime> {
    let text = read(&bundle.join(RUNTIME))?;
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    let mut path = || lines.next().map(|line| PathBuf::from(std::ffi::OsString::from_vec(line)));
    let (program, root) = (path()?, path()?);
    Some(Runtime { program, root, systemd_cgroup: path()?.as_os_str() == "systemd" })
}

/// Nothing is left to kill or to delete. The exit stays.
pub(crate) fn forget(bundle: &Path) {
    for name in [CGROUP, RUNTIME, "pid"] {
        let _ = fs::remove_file(bundle.join(name));
    }
}

/// A regular file of a size that such a file may have. Never waits: a FIFO in its place is none.
pub(crate) fn read(path: &Path) -> Option<Vec<u8>> {
    let file = fs::File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(RECORD_FILE + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= RECORD_FILE).then_some(bytes)
}

/// The same as text.
pub(crate) fn text(path: &Path) -> Option<String> {
    String::from_utf8(read(path)?).ok()
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let part = path.with_extension("part");
    let mut file = fs::File::create(&part).map_err(Error::io("write", &part))?;
    file.write_all(bytes).map_err(Error::io("write", &part))?;
    match fs::rename(&part, path) {
        // The master has removed the bundle: nobody wants to know.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::io("write", path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let written = Runtime { program: "/usr/bin/crun".into(), root: "/run/r".into(), systemd_cgroup: true };
        runtime(dir.path(), &written).unwrap();
        let read = read_runtime(dir.path()).unwrap();
        assert_eq!((read.program, read.root, read.systemd_cgroup), (written.program, written.root, true));
        cgroup(dir.path(), None).unwrap();
        assert_eq!(read_cgroup(dir.path()), None);
        for (asked, path) in [
            ("/kubepods/pod1/abc", Some("/kubepods/pod1/abc")),
            ("kubepods-pod1.slice:peapod:abc", Some("/kubepods.slice/kubepods-pod1.slice/peapod-abc.scope")),
            ("", None),
        ] {
            fs::write(dir.path().join("config.json"), format!("{{\"linux\":{{\"cgroupsPath\":\"{asked}\"}}}}"))
                .unwrap();
            assert_eq!(wanted_cgroup(dir.path()).as_deref(), path);
        }
        fs::remove_file(dir.path().join("config.json")).unwrap();
        forget(dir.path());
        assert!(read_runtime(dir.path()).is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
