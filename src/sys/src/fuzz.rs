//! Tables of mounts, whose paths anybody may name who mounts.

use std::path::Path;

use crate::mountinfo::Mounts;

const TABLE: &str = "22 1 0:1 / / rw shared:1 - ext4 /dev/vda rw\n\
    30 22 0:2 /a\\134b /mnt/a\\040b rw - tmpfs t rw\n\
    31 22 0:3 / /srv rw,nosuid master:3 propagate_from:2 - tmpfs t rw\n";

#[test]
fn mountinfo() {
    peapod_fuzz::target!("mountinfo")
        .seeds([TABLE, "1 2 3:4 / /x rw - t t rw", "no mount\n\n22"])
        .tokens([" ", "\n", " - ", "\\040", "\\777", "\\", "shared:", "master:", "/", "-", "18446744073709551616"])
        .check(|input| {
            let mut mounts = Mounts::new(input);
            while let Some(mount) = mounts.next_mount().unwrap_or(None) {
                let (root, target): (&Path, &Path) = (&mount.root(), &mount.target());
                let _ = (root.as_os_str().len(), target.is_absolute(), mount.is_shared(), mount.is_slave());
            }
        });
}
