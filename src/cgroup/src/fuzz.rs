//! Paths of control groups, as a kubelet or a record says them, and their files, damaged in every way.

use crate::bounds::DEVICES;
use crate::driver::{CgroupDriver, of_runtime_path};
use crate::hierarchy::clean;
use crate::parse;

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

/// What they hold, whatever kernel writes it.
#[test]
fn statistics() {
    peapod_fuzz::target!("statistics")
        .seeds([
            "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.01 total=7\n",
            "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n",
            "8:16 Read 1\n8:16 Write 2\nTotal 3\n",
            "nr_periods 1\nnr_throttled 2\n",
        ])
        .tokens(["some ", "full ", "avg10=", "total=", "8:0 ", "Read ", "rbytes=", "18446744073709551616", "nan", "\n"])
        .check(|input| {
            let text = String::from_utf8_lossy(input);
            let _ = (parse::field(&text, "total"), parse::number(&text));
            let stall = parse::pressure(&text).unwrap_or_default();
            assert!(stall.some.avg10.is_finite() && stall.full.avg300.is_finite());
            assert!(parse::io_stat(&text).len() <= DEVICES && parse::blkio(&text, &text).len() <= DEVICES);
        });
}
