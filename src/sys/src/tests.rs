//! Each function on the running kernel.

use std::os::fd::OwnedFd;
use std::process::Command;

use super::{Program, SpawnedChild, boottime_ns, make_read_only, reset_attributes, send_signal};

#[test]
fn boottime_goes_on() {
    let first = boottime_ns();
    assert!(first > 0);
    assert!(boottime_ns() >= first);
}

#[test]
#[ignore = "needs root"]
fn a_detached_mount_becomes_read_only() {
    use rustix::mount::{OpenTreeFlags, open_tree};
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount: OwnedFd = open_tree(rustix::fs::CWD, "/tmp", flags).unwrap();
    make_read_only(&mount).unwrap();
    let opened = rustix::fs::openat(
        &mount,
        "peapod-sys-test",
        rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
        rustix::fs::Mode::RUSR,
    );
    assert_eq!(opened.unwrap_err(), rustix::io::Errno::ROFS);
}

#[test]
fn real_time_signals_arrive() {
    use std::os::unix::process::ExitStatusExt;
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    send_signal(&pidfd, 37).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(37));
    assert_eq!(send_signal(&pidfd, 37).unwrap_err().raw_os_error(), Some(libc::ESRCH));
}

/// Needs root. Those of a thread alone are changed, so that other tests are left alone.
#[test]
#[ignore = "needs root"]
fn a_process_gets_the_attributes_of_the_first_one() {
    fn read(name: &str) -> String {
        std::fs::read_to_string(format!("/proc/thread-self/{name}")).unwrap()
    }
    let scheduling = || {
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        (fields[16].to_owned(), fields[38].to_owned())
    };
    let processors = || {
        let status = read("status");
        status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap().to_owned()
    };
    std::thread::spawn(move || {
        let all = processors();
        rustix::process::setpriority_process(None, 7).unwrap();
        let mut first = rustix::thread::CpuSet::new();
        first.set(0);
        rustix::thread::sched_setaffinity(None, &first).unwrap();
        nix::sys::signal::SigSet::from(nix::sys::signal::Signal::SIGUSR2).thread_block().unwrap();
        // SAFETY: numbers alone.
        assert!(unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) } >= 0);
        assert_eq!((scheduling().0.as_str(), read("personality").as_str()), ("7", "00040000\n"));
        let mut failed = Vec::new();
        reset_attributes(|name, error| failed.push((name, error.to_string())));
        assert_eq!(failed, []);
        assert_eq!(scheduling(), ("0".to_owned(), "0".to_owned()));
        assert_eq!((processors(), read("personality").as_str()), (all, "00000000\n"));
        assert!(read("status").contains("SigBlk:\t0000000000000000"));
    })
    .join()
    .unwrap();
}

/// A shell's script, its directory `/`, one variable; standard input is a pipe that this answers the other end of.
fn script(text: &str) -> (Program, OwnedFd, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let words = ["sh", "-c", text].map(std::ffi::OsStr::new);
    let env = [("COLOUR", "red")].map(|(name, value)| (name.as_ref(), value.as_ref()));
    let program = Program::new("/bin/sh".as_ref(), words, env, "/".as_ref()).unwrap();
    (program, reader.into(), writer)
}

fn exit_code(child: &SpawnedChild) -> Option<i32> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;
    let ended = waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    ended.exit_status()
}

#[test]
fn a_program_gets_what_it_was_given_and_nothing_else() {
    use std::io::Write;
    use std::os::fd::AsFd;
    let text = "read line; test \"$line $COLOUR $PWD\" = 'hello red /' || exit 1
                env | grep -qv -e ^COLOUR= -e ^PWD= -e ^_= -e ^OLDPWD= -e ^SHLVL= && exit 2
                test \"$(readlink /proc/$$/fd/1 /proc/$$/fd/2 | sort -u)\" = /dev/null || exit 3
                test $((0x$(awk '/^SigBlk/ { print $2 }' /proc/$$/status))) = 0 || exit 4
                test $((0x$(awk '/^SigIgn/ { print $2 }' /proc/$$/status) & 0x1000)) = 0 || exit 5
                exit 7";
    let (program, stdin, mut writer) = script(text);
    for by_std in [false, true] {
        let child =
            if by_std { program.spawn_beside(stdin.as_fd(), false) } else { program.spawn(stdin.as_fd(), None) };
        let child = child.unwrap();
        assert_eq!(child.in_cgroup, !by_std);
        writer.write_all(b"hello\n").unwrap();
        assert_eq!(exit_code(&child), Some(7), "by_std: {by_std}");
    }
}

#[test]
fn a_program_that_is_none_says_so() {
    use std::os::fd::AsFd;
    let (reader, _writer) = std::io::pipe().unwrap();
    let program = |path: &str, dir: &str| Program::new(path.as_ref(), ["x".as_ref()], [], dir.as_ref()).unwrap();
    for (program, errno) in [
        (program("/nowhere", "/"), libc::ENOENT),
        (program("/bin/sh", "/nowhere"), libc::ENOENT),
        (program("/etc/passwd", "/"), libc::EACCES),
    ] {
        let error = program.spawn(reader.as_fd(), None).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno), "{program:?}");
    }
    assert!(Program::new("/a\0b".as_ref(), [], [], "/".as_ref()).is_err());
}

/// In a new user namespace, root inside is that user and group of the node.
fn with_users<T>(host: u32, look: impl FnOnce(OwnedFd) -> std::io::Result<T>) -> std::io::Result<T> {
    super::in_new_namespaces(nix::sched::CloneFlags::CLONE_NEWUSER, |pid| {
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{pid}/{map}"), format!("0 {host} 65536"))?;
        }
        look(std::fs::File::open(format!("/proc/{pid}/ns/user"))?.into())
    })
}

#[test]
#[ignore = "needs root"]
fn namespaces_outlive_the_child_that_they_were_made_with() {
    use nix::sched::CloneFlags;
    let mut seen = 0;
    let kinds = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWUTS;
    let uts = super::in_new_namespaces(kinds, |pid| {
        seen = pid;
        assert!(std::fs::read_to_string(format!("/proc/{pid}/uid_map"))?.is_empty());
        std::fs::File::open(format!("/proc/{pid}/ns/uts"))
    });
    // Gone, with nothing in the process table.
    assert!(!std::path::Path::new(&format!("/proc/{seen}")).exists());
    let uts = uts.unwrap();
    std::thread::spawn(move || nix::sched::setns(uts, CloneFlags::CLONE_NEWUTS).unwrap()).join().unwrap();
    let failed = super::in_new_namespaces(CloneFlags::CLONE_NEWUSER, |_| Err::<(), _>(std::io::Error::other("why")));
    assert_eq!(failed.unwrap_err().to_string(), "why");
}

#[test]
#[ignore = "needs root"]
fn folders_have_the_owners_of_a_namespace_by_a_mount_alone() {
    use std::os::unix::fs::{MetadataExt, chown};
    let dir = std::env::temp_dir().join(format!("peapod-sys-mapped-{}", std::process::id()));
    let folder = |name: &str| {
        let folder = dir.join("layers").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file"), name).unwrap();
        chown(folder.join("file"), Some(7), Some(8)).unwrap();
        folder
    };
    let folders = [folder("one"), folder("two")];
    let (at, dir_of_mount) = (dir.join("at"), dir.clone());
    std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let seen = with_users(200_000, |users| super::MappedFolders::mount(&folders, users, &at)).unwrap();
        for (there, here) in seen.folders().iter().zip(&folders) {
            let of = |folder: &std::path::Path| std::fs::metadata(folder.join("file")).unwrap();
            assert_eq!((of(there).uid(), of(there).gid()), (200_007, 200_008));
            assert_eq!((of(here).uid(), of(here).gid()), (7, 8));
            assert!(std::fs::remove_file(there.join("file")).is_err());
        }
        // One that was left is no hindrance. Of a single one the names are still to be seen.
        std::mem::forget(seen);
        let one = with_users(300_000, |users| super::MappedFolders::mount(&folders[..1], users, &at)).unwrap();
        assert_eq!(one.folders(), [at.join("layers/one")]);
        let overlay = ["upper", "work", "merged"].map(|name| dir_of_mount.join("overlay").join(name));
        overlay.iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
        let [upper, work, merged] = overlay.each_ref().map(|folder| folder.display());
        let options = format!("lowerdir={},upperdir={upper},workdir={work}", one.folders()[0].display());
        let none = None::<&str>;
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("overlay"), &overlay[2], Some("overlay"), flags, Some(options.as_str())).unwrap();
        let mut mounts = super::mountinfo::Mounts::open().unwrap();
        let mut is_named = false;
        while let Some(mount) = mounts.next_mount().unwrap() {
            is_named |= mount.file_system_options().to_string_lossy().contains("/layers/one,");
        }
        assert!(is_named, "{merged}");
        // As far as their mount goes.
        let tmpfs = dir_of_mount.join("mount");
        std::fs::create_dir_all(&tmpfs).unwrap();
        nix::mount::mount(none, &tmpfs, Some("tmpfs"), flags, none).unwrap();
        let other = dir_of_mount.join("other");
        drop(with_users(300_000, |users| super::MappedFolders::mount(&[tmpfs], users, &other)).unwrap());
        drop(one);
        assert!(!at.exists());
        let proc = [std::path::PathBuf::from("/proc/self")];
        let refused = with_users(1000, |users| super::MappedFolders::mount(&proc, users, &at)).unwrap_err();
        assert!(refused.to_string().contains("can't map owners"), "{refused}");
    })
    .join()
    .unwrap();
    super::remove_tree(&dir).unwrap();
}

#[test]
fn a_process_with_threads_is_not_made_twice() {
    let refused = super::fork_beside().unwrap_err();
    assert!(refused.to_string().contains("threads"), "{refused}");
}
