//! Which OCI runtime it is: as the master names it, and as a bundle keeps it for those who clean up after a dead shim.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// An OCI runtime's program, and how it is told where things are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binary {
    /// Absolute path.
    pub(crate) program: PathBuf,
    /// Where it keeps its state, a folder per container; empty: its own default.
    pub(crate) root: PathBuf,
    /// Cgroups are made by systemd; else by the runtime itself.
    pub(crate) systemd_cgroup: bool,
    /// Of its own, before each command. None has a line feed in it.
    pub(crate) arguments: Vec<String>,
}

impl Binary {
    /// As a file's content: three lines, and one for each argument.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = self.program.as_os_str().as_bytes().to_vec();
        text.push(b'\n');
        text.extend_from_slice(self.root.as_os_str().as_bytes());
        text.extend_from_slice(if self.systemd_cgroup { b"\nsystemd\n" } else { b"\ncgroupfs\n" });
        for argument in &self.arguments {
            text.extend_from_slice(argument.as_bytes());
            text.push(b'\n');
        }
        text
    }

    /// Reads what [`Binary::to_bytes`] wrote.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
        let mut path = || lines.next().map(|line| PathBuf::from(OsString::from_vec(line)));
        let (program, root) = (path()?, path()?);
        let systemd_cgroup = path()?.as_os_str() == "systemd";
        let arguments = lines.filter(|line| !line.is_empty()).filter_map(|line| String::from_utf8(line).ok()).collect();
        Some(Self { program, root, systemd_cgroup, arguments })
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Its folder of a container's state: crun and runc have it by that name.
    pub(crate) fn state_dir(&self, id: &str) -> Option<PathBuf> {
        (!self.root.as_os_str().is_empty()).then(|| Path::new(&self.root).join(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        for (systemd_cgroup, arguments) in [(true, &[][..]), (false, &["--network=host", "--debug=false"])] {
            let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
            let written = Binary { program: "/usr/bin/crun".into(), root: "/run/r".into(), systemd_cgroup, arguments };
            assert_eq!(Binary::parse(&written.to_bytes()), Some(written));
        }
        assert_eq!(Binary::parse(b"/usr/bin/crun"), None);
    }
}
