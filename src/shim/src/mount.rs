//! Mounts that the master asks for, with options as `mount(8)` writes them.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags};
use peapod_sys::MappedFolders;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, move_mount,
};

/// A mount was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    #[error("can't mount {kind} at {target}: {source}{detail}", target = target.display())]
    Mount { kind: String, target: PathBuf, source: io::Error, detail: String },
    #[error("can't unmount {target}: {source}", target = target.display())]
    Unmount { target: PathBuf, source: io::Error },
}

/// A mount to be made.
#[derive(Debug)]
pub(crate) struct NewMount<'a> {
    pub(crate) kind: &'a str,
    pub(crate) source: &'a str,
    pub(crate) target: &'a Path,
    pub(crate) options: &'a [String],
    /// The owners of what an overlay's lower folders hold are seen as ids of this user namespace.
    pub(crate) users: Option<&'a OwnedFd>,
}

impl NewMount<'_> {
    /// Makes the mount point, if it is missing, and mounts.
    pub(crate) fn make(&self) -> Result<(), MountError> {
        let fail = |detail: String| {
            move |source| MountError::Mount {
                kind: self.kind.to_owned(),
                target: self.target.to_path_buf(),
                source,
                detail,
            }
        };
        match std::fs::create_dir(self.target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fail(String::new())(error)),
            _ => {}
        }
        // An overlay keeps mounts of its own of them, so that this one is needed no longer.
        let mapped = self.mapped().map_err(fail(String::new()))?;
        let options = mapped.as_ref().map(|mapped| self.with_lower(mapped.folders()));
        let options = Options::of(options.as_deref().unwrap_or(self.options));
        if self.kind == "bind" || options.bind {
            return self.bind(&options).map_err(|errno| fail(String::new())(errno.into()));
        }
        match self.modern(&options) {
            // No value may be longer than 255 bytes: then the old call, whose options must fit into one page.
            Err(Refused::Option(option)) => {
                self.classic(&options).map_err(|error| fail(format!(" (option {option:?})"))(error))
            }
            // Before Linux 6.8 overlay knows no lowerdir+. It says so at the end only: what it is given is kept as
            // text.
            Err(Refused::Create(Errno::INVAL)) if options.has_lower() => {
                self.classic(&options).map_err(fail(String::new()))
            }
            Err(Refused::Create(errno) | Refused::Mount(errno)) => Err(fail(String::new())(errno.into())),
            Ok(()) => Ok(()),
        }
    }

    fn mapped(&self) -> io::Result<Option<MappedFolders>> {
        let Some(users) = self.users else { return Ok(None) };
        let lower: Vec<PathBuf> =
            self.options.iter().filter_map(|o| o.strip_prefix(LOWER)).map(PathBuf::from).collect();
        MappedFolders::mount(&lower, users, &self.target.with_extension("lower")).map(Some)
    }

    /// The same options with other lower folders.
    fn with_lower(&self, folders: &[PathBuf]) -> Vec<String> {
        let lower = folders.iter().map(|folder| format!("{LOWER}{}", folder.display()));
        lower.chain(self.options.iter().filter(|option| !option.starts_with(LOWER)).cloned()).collect()
    }

    fn modern(&self, options: &Options<'_>) -> Result<(), Refused> {
        let context = fsopen(self.kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(Refused::Mount)?;
        let source = if self.source.is_empty() { self.kind } else { self.source };
        fsconfig_set_string(&context, "source", source).map_err(Refused::Mount)?;
        for option in &options.data {
            let set = match option.split_once('=') {
                Some((key, value)) => fsconfig_set_string(&context, key, value),
                None => fsconfig_set_flag(&context, *option),
            };
            set.map_err(|_| Refused::Option((*option).to_owned()))?;
        }
        fsconfig_create(&context).map_err(Refused::Create)?;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, options.attributes).map_err(Refused::Mount)?;
        move_mount(&mount, "", CWD, self.target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(Refused::Mount)
    }

    fn classic(&self, options: &Options<'_>) -> io::Result<()> {
        let data = options.as_text()?;
        let mount = nix::mount::mount(Some(self.source), self.target, Some(self.kind), options.flags, Some(&*data));
        mount.map_err(io::Error::from)
    }

    fn bind(&self, options: &Options<'_>) -> nix::Result<()> {
        let none: Option<&str> = None;
        let bind = MsFlags::MS_BIND | (options.flags & MsFlags::MS_REC);
        nix::mount::mount(Some(self.source), self.target, none, bind, none)?;
        let rest = options.flags - MsFlags::MS_REC;
        if rest.is_empty() {
            return Ok(());
        }
        nix::mount::mount(none, self.target, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | rest, none)
    }
}

/// One layer of an overlay, from Linux 6.8 on.
const LOWER: &str = "lowerdir+=";

/// One option of those that commas divide. A label of SELinux has commas itself, and is all that the kernel reads in
/// quotes; in anything else a comma would begin an option that nobody asked for.
fn quoted(option: &str) -> io::Result<String> {
    let is_label = |key: &str| key.ends_with("context");
    match option.split_once('=') {
        _ if option.contains(['"', '\\']) => {}
        Some((key, label)) if is_label(key) && label.contains(',') => return Ok(format!("{key}=\"{label}\"")),
        _ if option.contains(',') => {}
        _ => return Ok(option.to_owned()),
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{option:?} can't be given among options in one text")))
}

/// Which way is closed.
enum Refused {
    Option(String),
    Create(Errno),
    Mount(Errno),
}

/// Options, sorted by who understands them.
struct Options<'a> {
    attributes: MountAttrFlags,
    flags: MsFlags,
    bind: bool,
    /// For the file system itself.
    data: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn of(options: &'a [String]) -> Self {
        let mut sorted =
            Self { attributes: MountAttrFlags::empty(), flags: MsFlags::empty(), bind: false, data: Vec::new() };
        for option in options {
            let (attribute, flag) = match option.as_str() {
                "ro" => (MountAttrFlags::MOUNT_ATTR_RDONLY, MsFlags::MS_RDONLY),
                "nosuid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, MsFlags::MS_NOSUID),
                "nodev" => (MountAttrFlags::MOUNT_ATTR_NODEV, MsFlags::MS_NODEV),
                "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, MsFlags::MS_NOEXEC),
                "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, MsFlags::MS_NOATIME),
                "rw" | "defaults" | "suid" | "dev" | "exec" => continue,
                "bind" | "rbind" => {
                    sorted.bind = true;
                    if option == "rbind" {
                        sorted.flags |= MsFlags::MS_REC;
                    }
                    continue;
                }
                other => {
                    sorted.data.push(other);
                    continue;
                }
            };
            sorted.attributes |= attribute;
            sorted.flags |= flag;
        }
        sorted
    }

    /// As the older call takes them.
    fn as_text(&self) -> io::Result<String> {
        let lower: Vec<&str> = self.data.iter().filter_map(|option| option.strip_prefix(LOWER)).collect();
        let lower = (!lower.is_empty()).then(|| format!("lowerdir={}", lower.join(":")));
        let rest = self.data.iter().filter(|option| !option.starts_with(LOWER)).copied();
        let all = lower.as_deref().into_iter().chain(rest).map(quoted);
        Ok(all.collect::<io::Result<Vec<_>>>()?.join(","))
    }

    fn has_lower(&self) -> bool {
        self.data.iter().any(|option| option.starts_with(LOWER))
    }
}

/// Unmounts; what is not mounted is fine. Nobody waits for those who still use it.
pub(crate) fn unmount(target: &Path) -> Result<(), MountError> {
    use nix::errno::Errno;
    match nix::mount::umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        // EINVAL: no mount point.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(errno) => Err(MountError::Unmount { target: target.to_path_buf(), source: errno.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs in a mount namespace of its own, with a directory that mounts don't leave. Needs root.
    fn isolated(body: impl FnOnce(&Path) + Send) {
        let dir = tempfile::tempdir().unwrap();
        let none: Option<&str> = None;
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
                    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
                    nix::mount::mount(none, "/", none, private, none).unwrap();
                    nix::mount::mount(none, dir.path(), Some("tmpfs"), MsFlags::empty(), none).unwrap();
                    body(dir.path());
                    unmount(dir.path()).unwrap();
                })
                .join()
                .unwrap();
        });
    }

    /// An overlay of two layers, the upper one of them at the top.
    fn check_overlay(base: &Path) {
        for (dir, file) in [("low", "a"), ("top", "b")] {
            std::fs::create_dir_all(base.join(dir)).unwrap();
            std::fs::write(base.join(dir).join(file), dir).unwrap();
            std::fs::write(base.join(dir).join("both"), dir).unwrap();
        }
        for dir in ["upper", "work"] {
            std::fs::create_dir_all(base.join(dir)).unwrap();
        }
        let option = |key: &str, dir: &str| format!("{key}={}", base.join(dir).display());
        let options = [
            option("lowerdir+", "top"),
            option("lowerdir+", "low"),
            option("upperdir", "upper"),
            option("workdir", "work"),
            "volatile".to_owned(),
        ];
        let target = base.join("rootfs");
        NewMount { kind: "overlay", source: "overlay", target: &target, options: &options, users: None }
            .make()
            .unwrap();
        assert_eq!(std::fs::read_to_string(target.join("both")).unwrap(), "top");
        assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "low");
        unmount(&target).unwrap();
        assert!(!target.join("a").exists());
        // Not mounted any more: fine.
        unmount(&target).unwrap();
    }

    #[test]
    fn labels_are_quoted_where_commas_divide_options() {
        let label = "system_u:object_r:container_file_t:s0";
        assert_eq!(quoted(&format!("context={label}:c1,c2")).unwrap(), format!("context=\"{label}:c1,c2\""));
        for other in [&format!("context={label}"), "volatile", "upperdir=/a"] {
            assert_eq!(quoted(other).unwrap(), other);
        }
    }

    #[test]
    fn no_option_brings_others() {
        for bad in [
            "context=u:o:t:s0:c1\",lowerdir=/,upperdir=/etc,workdir=/etc.w,fscontext=\"u:o:t:s0",
            "context=u:o:t:s0\"",
            "context=u:o:t:s0\\",
            "upperdir=/a,b",
            "lowerdir+=/a,upperdir=/etc",
            "size=1,nr_inodes=0",
        ] {
            let options = ["lowerdir+=/layer", bad].map(str::to_owned);
            let error = Options::of(&options).as_text().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad}");
        }
        let options =
            ["lowerdir+=/a", "lowerdir+=/b", "ro", "upperdir=/u", "context=u:o:t:s0:c1,c2"].map(str::to_owned);
        let text = "lowerdir=/a:/b,upperdir=/u,context=\"u:o:t:s0:c1,c2\"";
        assert_eq!(Options::of(&options).as_text().unwrap(), text);
    }

    #[test]
    #[ignore = "needs root"]
    fn overlays_of_layers() {
        isolated(check_overlay);
    }

    #[test]
    #[ignore = "needs root"]
    fn paths_too_long_for_one_option_go_the_old_way() {
        isolated(|dir| {
            let long = dir.join("x".repeat(200)).join("y".repeat(100));
            std::fs::create_dir_all(&long).unwrap();
            check_overlay(&long);
        });
    }

    #[test]
    #[ignore = "needs root"]
    fn flags_and_binds() {
        isolated(|dir| {
            let target = dir.join("ro");
            let options = ["bind", "ro"].map(str::to_owned);
            NewMount { kind: "", source: "/tmp", target: &target, options: &options, users: None }.make().unwrap();
            assert!(std::fs::write(target.join("peapod-test"), "").is_err());
            let bad = NewMount { kind: "nonsense", source: "", target: &target, options: &[], users: None }
                .make()
                .unwrap_err();
            assert!(bad.to_string().contains("nonsense"), "{bad}");
        });
    }
}
