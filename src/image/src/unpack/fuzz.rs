//! Whole layers damaged in every way, unpacked for real: nothing outside their directory may change, ever.

use super::archive::seeds;
use super::{ImageCost, Meter, unpack};
use crate::config::UnpackLimits;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// What a damaged layer may take, small so that each input is quick.
const LIMITS: UnpackLimits = UnpackLimits {
    layer_entries: 300,
    layer_bytes: 4 << 20,
    image_entries: 300,
    image_bytes: 4 << 20,
    reserve_percent: 0,
};

/// Everything below `dir`: kind, mode, owner, links, size, time of the last change.
fn look(dir: &Path) -> BTreeMap<std::path::PathBuf, (u32, u32, u64, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stat = path.symlink_metadata().unwrap();
        if stat.is_dir() {
            found.extend(look(&path));
        }
        found.insert(path, (stat.mode(), stat.uid(), stat.nlink(), stat.size(), stat.ctime(), stat.ctime_nsec()));
    }
    found
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Archives that try to leave through `outside`, which is an absolute path, and ordinary ones.
fn archives(outside: &str) -> Vec<Vec<u8>> {
    let block = seeds::block;
    let up = "../../outside";
    let mut all: Vec<Vec<u8>> = seeds::all();
    for to in [outside, up, "/", "..", "/proc/self/root", "l"] {
        all.push([block("l", b'2', 0, to), seeds::with(block("l/file", b'0', 3, ""), b"abc")].concat());
        all.push([block("l", b'2', 0, to), block("l/.wh.file", b'0', 0, "")].concat());
        all.push([block("l", b'2', 0, to), block("l/.wh..wh..opq", b'0', 0, "")].concat());
        all.push([block("l", b'2', 0, to), block("h", b'1', 0, "l/file"), block("h", b'0', 0, "")].concat());
        all.push([block("d/", b'5', 0, ""), block("d/l", b'2', 0, to), block("d/", b'2', 0, "l")].concat());
        all.push([block("a", b'2', 0, to), block("a/", b'5', 0, ""), block("a/b/c", b'6', 0, "")].concat());
    }
    all
}

#[test]
fn layers_stay_in_their_directory() {
    let place = tempfile::tempdir().unwrap();
    let (outside, layers) = (place.path().join("outside"), place.path().join("layers"));
    std::fs::create_dir_all(outside.join("directory")).unwrap();
    std::fs::create_dir(&layers).unwrap();
    std::fs::write(outside.join("file"), "untouched").unwrap();
    let before = look(&outside);
    let plain = archives(outside.to_str().unwrap());
    let packed: Vec<_> = plain.iter().step_by(5).map(|tar| gzip(tar)).collect();
    let zstd: Vec<_> = plain.iter().step_by(7).map(|tar| zstd::encode_all(&tar[..], 1).unwrap()).collect();
    let tokens = ["../", "/", "l/", ".wh.", ".wh..wh..opq", "outside/file", "ustar\0", "1", "2", "5", "\0"];
    peapod_fuzz::target!("layer")
        .seeds(plain)
        .seeds(packed)
        .seeds(zstd)
        .tokens(tokens)
        // Buffers, and what the decompressors take; a zstd frame may ask for more, which is not the allocator's.
        .budget(peapod_fuzz::FuzzBudget { bytes: 4 << 20, factor: 64, time: Duration::from_secs(2) })
        .check(|input| {
            let dir = layers.join("layer");
            std::fs::create_dir(&dir).unwrap();
            let bytes = seeds::repaired(input);
            let meter = Meter::new(ImageCost::new(LIMITS), crate::wanted::Cancelled::default());
            let unpacked = unpack(&bytes[..], &dir, super::Window::Usual, meter);
            let names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert!(names.iter().all(|name| name == "diff" || name == "implicit"), "{names:?}");
            match unpacked {
                Ok(unpacked) => assert_eq!(unpacked.blob, crate::Digest::of(&bytes), "all of it was read"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(!text.is_empty() && text.len() <= 4000, "{} bytes", text.len());
                    assert!(!text.contains(char::is_control), "{text:?}");
                }
            }
            peapod_sys::remove_tree(&dir).unwrap();
            assert_eq!(look(&outside), before, "something outside changed");
            assert_eq!(std::fs::read_dir(&layers).unwrap().count(), 0);
        });
}
