//! What several crates need exists once.

use crate::source::{Source, shipped};

/// What it is, what code has in it that does it by itself (one of these), and the one file that may.
const ONCE: &[(&str, &[&str], &str)] = &[
    ("reading the table of mounts", &["/mountinfo\""], "src/sys/src/mountinfo.rs"),
    ("walking through all processes", &["read_dir(\"/proc\")"], "src/sys/src/proc.rs"),
    ("readying a descriptor for waiting", &["AsyncFd::new(", "AsyncFd::register("], "src/sys/src/nonblocking.rs"),
    ("making a descriptor never block", &["fcntl_getfl(", "ioctl_fionbio("], "src/sys/src/nonblocking.rs"),
    ("taking a lock after a panic", &["PoisonError::into_inner"], "src/sys/src/sync.rs"),
    ("following an error's causes", &[".source() {", ".source();", ".source() }"], "src/text/src/error.rs"),
    ("telling hidden characters", &["'\\u{2028}'..="], "src/text/src/line.rs"),
];

#[test]
fn what_is_shared_exists_once() {
    let shipped = shipped();
    for (what, signs, file) in ONCE {
        let does = |line: &str| !line.trim_start().starts_with("//") && signs.iter().any(|sign| line.contains(sign));
        let has = |source: &&Source| source.without_tests().lines().any(does);
        let found: Vec<_> = shipped.iter().filter(has).map(Source::name).collect();
        assert_eq!(found, [*file], "{what} is done in one file");
    }
}
