//! Paths of control groups, as a kubelet or a record says them, damaged in every way.

use crate::driver::{CgroupDriver, of_runtime_path};
use crate::hierarchy::clean;

#[test]
fn path() {
    peapod_fuzz::target!("path")
        .seeds(["/kubepods/burstable/pod1", "kubepods-burstable-pod1.slice", "/a//b/./c/", "system.slice:peapod:1"])
        .tokens(["/", "..", ".", "//", ":", "-", ".slice", ".scope", "\0", "\n", "\u{e4}"])
        .check(|input| {
            let text = String::from_utf8_lossy(input);
            if let Ok(path) = clean(&text) {
                assert!(!path.split('/').any(|part| part == ".." || part == "."), "{path:?}");
                assert_eq!(clean(&path).ok(), Some(path));
            }
            let _ = of_runtime_path(&text);
            for driver in [CgroupDriver::Cgroupfs, CgroupDriver::Systemd] {
                if let Ok(parent) = driver.parent(&text) {
                    assert!(!parent.split('/').any(|part| part == ".."), "{parent:?}");
                }
            }
        });
}
