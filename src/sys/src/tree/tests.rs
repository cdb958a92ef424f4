//! Trees as nobody sane makes them, in memory: a disk takes a minute for what is a second there.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, Mode, OFlags};

use super::{Labelled, Unseen, Usage, label_tree, remove_tree, usage};

/// A folder for a test, removed in the end by what is tested.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = Path::new("/dev/shm").join(format!("peapod-tree-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = remove_tree(&self.0);
    }
}

/// Folders in each other, with a file in each; answers the last one.
fn deep(root: &Path, depth: usize, name: &str) -> OwnedFd {
    let open = |dir: &OwnedFd, name: &str| {
        rustix::fs::openat(dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    };
    let mut dir = rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    for _ in 0..depth {
        rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o700)).unwrap();
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        drop(rustix::fs::openat(&dir, "file", flags, Mode::RUSR).unwrap());
        dir = open(&dir, name);
    }
    dir
}

#[test]
fn links_are_not_followed_and_nothing_there_is_success() {
    let place = Place::new("links");
    let (tree, outside) = (place.0.join("tree"), place.0.join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "x").unwrap();
    for inner in ["a/b/c", "a/d", "e"] {
        fs::create_dir_all(tree.join(inner)).unwrap();
        symlink(&outside, tree.join(inner).join("link")).unwrap();
    }
    remove_tree(&tree).unwrap();
    assert!(!tree.exists() && outside.join("kept").exists());
    remove_tree(&tree).unwrap();
    remove_tree(&place.0.join("no/such")).unwrap();
    symlink(&outside, &tree).unwrap();
    remove_tree(&tree).unwrap();
    assert!(outside.join("kept").exists() && fs::symlink_metadata(&tree).is_err());
    assert!(remove_tree(Path::new("/")).is_err());
}

#[test]
fn depth_costs_no_stack_and_no_descriptors() {
    let place = Place::new("deep");
    let tree = place.0.join("tree");
    fs::create_dir(&tree).unwrap();
    // Paths far longer than a system call takes.
    drop(deep(&tree, 20_000, &"n".repeat(100)));
    // Several branches, each deeper than what is open at a time, with names as a removal that died leaves them.
    for branch in ["x", "y", ".deep-0", ".deep-1"] {
        fs::create_dir(tree.join(branch)).unwrap();
        drop(deep(&tree.join(branch), 500, ".deep-2"));
    }
    let small = std::thread::Builder::new().stack_size(128 << 10);
    let root = tree.clone();
    small.spawn(move || remove_tree(&root)).unwrap().join().unwrap().unwrap();
    assert!(!tree.exists());
}

#[test]
fn a_wide_folder_goes_whole() {
    let place = Place::new("wide");
    let tree = place.0.join("tree");
    for number in 0..3000 {
        fs::create_dir_all(tree.join(format!("{number}/full"))).unwrap();
        fs::write(tree.join(format!("file-{number}")), "").unwrap();
    }
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
fn flags_are_taken_off() {
    let place = Place::new("flags");
    let tree = place.0.join("tree");
    fs::create_dir_all(tree.join("folder")).unwrap();
    fs::write(tree.join("folder/file"), "").unwrap();
    let mut supported = true;
    for (path, flag) in [("folder/file", IFlags::IMMUTABLE), ("folder", IFlags::APPEND), (".", IFlags::IMMUTABLE)] {
        let file = fs::File::open(tree.join(path)).unwrap();
        // A file system without such flags, or a root without CAP_LINUX_IMMUTABLE.
        supported &= rustix::fs::ioctl_setflags(&file, flag).is_ok();
    }
    if supported {
        assert!(fs::remove_file(tree.join("folder/file")).is_err());
    }
    remove_tree(&tree).unwrap();
    assert!(!tree.exists());
}

#[test]
#[ignore = "needs root"]
fn a_mount_stays_and_all_else_goes() {
    let place = Place::new("mount");
    let tree = place.0.join("tree");
    let mount = tree.join("a/mount");
    fs::create_dir_all(&mount).unwrap();
    fs::create_dir_all(tree.join("b")).unwrap();
    drop(deep(&tree.join("b"), 100, "d"));
    let root = tree.clone();
    // A thread's own mounts: none reaches the node.
    let refused = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        rustix::mount::mount_change(
            "/",
            rustix::mount::MountPropagationFlags::REC | rustix::mount::MountPropagationFlags::PRIVATE,
        )
        .unwrap();
        rustix::mount::mount("tmpfs", &mount, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
        fs::write(mount.join("kept"), "x").unwrap();
        let refused = remove_tree(&root).unwrap_err();
        assert!(mount.join("kept").exists());
        refused
    });
    let refused = refused.join().unwrap();
    assert!(std::io::Error::from(refused).to_string().contains("\"mount\" is a mount point"));
    assert!(tree.join("a/mount").exists() && !tree.join("b").exists());
    remove_tree(&tree).unwrap();
}

#[test]
fn what_is_deep_or_linked_counts_once() {
    let place = Place::new("usage");
    let tree = place.0.join("tree");
    fs::create_dir_all(tree.join("side/mount")).unwrap();
    let deepest = deep(&tree, 3000, &"n".repeat(100));
    fs::write(tree.join("one"), vec![1; 1 << 20]).unwrap();
    for number in 0..7 {
        rustix::fs::linkat(
            rustix::fs::CWD,
            tree.join("one"),
            &deepest,
            format!("link-{number}"),
            rustix::fs::AtFlags::empty(),
        )
        .unwrap();
        symlink("/", tree.join(format!("side/{number}"))).unwrap();
    }
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let far = fs::File::from(rustix::fs::openat(&deepest, "far", flags, Mode::RUSR).unwrap());
    std::io::Write::write_all(&mut &far, &vec![1; 2 << 20]).unwrap();
    let counted = usage(&tree, || true).unwrap();
    // Folders of a tmpfs have no blocks.
    let all = 3000 * 2 + 2 + 1 + 1 + 7;
    assert_eq!(counted, Usage { bytes: 3 << 20, inodes: all, whole: true });
    let mut entries = 0;
    let part = usage(&tree, || {
        entries += 1;
        entries < 100
    });
    let part = part.unwrap();
    assert!(!part.whole && part.inodes < all, "{part:?}");
    assert!(usage(&tree.join("one"), || true).is_err());
}

#[test]
fn a_tree_that_changes_is_counted_to_an_end() {
    let place = Place::new("changes");
    let tree = place.0.join("tree");
    fs::create_dir_all(tree.join("other")).unwrap();
    drop(deep(&tree, 200, "d"));
    // Moved while the walk is below it.
    let mut moved = false;
    let counted = usage(&tree, || {
        if !moved && fs::exists(tree.join("d")).unwrap() {
            moved = true;
            fs::rename(tree.join("d/d"), tree.join("other/d")).unwrap();
        }
        true
    });
    assert!(counted.unwrap().inodes >= 2);
    let counted = usage(&tree, || true).unwrap();
    assert_eq!((counted.inodes, counted.whole), (401, true));
}

/// As the kernel keeps labels of SELinux.
const LABEL: &str = "security.selinux";

fn label_of(path: &Path) -> Option<Vec<u8>> {
    let mut value = vec![0; 100];
    let len = rustix::fs::lgetxattr(path, LABEL, &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

#[test]
#[ignore = "needs root"]
fn all_of_a_tree_is_labelled_and_nothing_that_it_leads_to() {
    let place = Place::new("label");
    let (tree, outside) = (place.0.join("tree"), place.0.join("outside"));
    fs::create_dir_all(tree.join("side")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "").unwrap();
    symlink(&outside, tree.join("side/folder")).unwrap();
    symlink(outside.join("file"), tree.join("side/file")).unwrap();
    let deepest = deep(&tree, 300, &"n".repeat(100));
    let far = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&deepest));
    let label = |path: &Path, value: &str| label_tree(path, LABEL, value.as_bytes(), |_| true);

    let mut entries = 0;
    let part = label_tree(&tree, LABEL, b"u:r:t:s0", |set| {
        entries += 1;
        assert_eq!(set, entries - 1);
        entries < 10
    });
    assert_eq!(part.unwrap(), Labelled::Part(Unseen::TimeIsUp));
    assert_eq!(label_of(&tree), None, "the root comes last");
    assert_eq!(label(&tree, "u:r:t:s0").unwrap(), Labelled::Whole);
    for path in
        [&tree, &tree.join("side"), &tree.join("side/folder"), &tree.join("side/file"), &PathBuf::from(&far).join(".")]
    {
        assert_eq!(label_of(path).as_deref(), Some(&b"u:r:t:s0"[..]), "{}", path.display());
    }
    assert_eq!((label_of(&outside), label_of(&outside.join("file"))), (None, None));
    // What has it is left alone, with a NUL behind it or not.
    let (inside, is) = (tree.join("side"), b"u:r:t:s1\0");
    rustix::fs::lsetxattr(&inside, LABEL, is, rustix::fs::XattrFlags::empty()).unwrap();
    assert_eq!(label(&inside, "u:r:t:s1").unwrap(), Labelled::Whole);
    assert_eq!(label_of(&inside).unwrap(), is);
    // Where the root has it, all has: nothing is looked at.
    assert_eq!(label_tree(&tree, LABEL, b"u:r:t:s0", |_| false).unwrap(), Labelled::Whole);
    // What has it does not count.
    rustix::fs::lremovexattr(&tree, LABEL).unwrap();
    let mut most = 0;
    let again = label_tree(&tree, LABEL, b"u:r:t:s0", |set| {
        most = set;
        true
    });
    assert_eq!((again.unwrap(), most), (Labelled::Whole, 1), "the folder that had another one");
    // What is in its way is named.
    let immovable = tree.join("side/immovable");
    fs::write(&immovable, "").unwrap();
    let flags = |flags| rustix::fs::ioctl_setflags(fs::File::open(&immovable).unwrap(), flags);
    flags(IFlags::IMMUTABLE).unwrap();
    let refused = label(&tree, "u:r:t:s4").unwrap_err();
    flags(IFlags::empty()).unwrap();
    assert_eq!((refused.path, refused.source.raw_os_error()), (immovable, Some(libc::EPERM)));
    // A file, and a way through a link.
    assert_eq!(label(&outside.join("file"), "u:r:t:s2").unwrap(), Labelled::Whole);
    assert_eq!(label_of(&outside.join("file")).unwrap(), b"u:r:t:s2");
    label(&tree.join("side/folder/file"), "u:r:t:s3").unwrap_err();
}

/// What is mounted in a tree may be of the same file system, as a folder or a file of the node's own.
#[test]
#[ignore = "needs root"]
fn what_is_mounted_in_a_tree_is_no_part_of_it() {
    let place = Place::new("mounted");
    let (tree, outside) = (place.0.join("tree"), place.0.join("outside"));
    for folder in [&tree.join("folder"), &outside] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("file"), "").unwrap();
    }
    fs::write(tree.join("file"), "").unwrap();
    let (root, from) = (tree.clone(), outside.clone());
    let counted = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let private = rustix::mount::MountPropagationFlags::REC | rustix::mount::MountPropagationFlags::PRIVATE;
        rustix::mount::mount_change("/", private).unwrap();
        rustix::mount::mount_bind(&from, root.join("folder")).unwrap();
        rustix::mount::mount_bind(from.join("file"), root.join("file")).unwrap();
        assert_eq!(label_tree(&root, LABEL, b"u:r:t:s0", |_| true).unwrap(), Labelled::Whole);
        usage(&root, || true).unwrap()
    });
    assert_eq!(counted.join().unwrap().inodes, 0);
    assert_eq!(label_of(&tree).as_deref(), Some(&b"u:r:t:s0"[..]));
    assert_eq!((label_of(&outside), label_of(&outside.join("file"))), (None, None));
}
