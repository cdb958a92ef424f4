//! Each function on the running kernel.

use std::os::fd::OwnedFd;
use std::process::Command;

use super::{boottime_ns, make_read_only, send_signal};

#[test]
fn boottime_goes_on() {
    let first = boottime_ns();
    assert!(first > 0);
    assert!(boottime_ns() >= first);
}

#[test]
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
