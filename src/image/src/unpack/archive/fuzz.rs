//! Archives damaged in every way, with checksums that are right all the same.

use super::Archive;
use super::pax::Pax;
use std::io::{self, Read};

fn block(name: &str, kind: u8, size: usize, link: &str) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\x000001750\x000001750\0");
    put(124, format!("{size:011o}\x0014000000000\0").as_bytes());
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, if kind == b'S' { b"ustar  \0" } else { b"ustar\x0000" });
    block
}

fn with(mut header: Vec<u8>, content: &[u8]) -> Vec<u8> {
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

fn seeds() -> Vec<Vec<u8>> {
    let records = b"13 path=long\n21 SCHILY.xattr.user.a=b\n30 GNU.sparse.map=0,1,9,1,20,0\n";
    let sparse = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n26 GNU.sparse.realsize=99\n";
    vec![
        [block("d/", b'5', 0, ""), with(block("d/f", b'0', 3, ""), b"abc"), block("l", b'2', 0, "d/f")].concat(),
        [with(block("x", b'x', records.len(), ""), records), with(block("f", b'0', 2, ""), b"ab")].concat(),
        [with(block("g", b'g', records.len(), ""), records), block("f", b'1', 0, "t")].concat(),
        [with(block("x", b'x', sparse.len(), ""), sparse), with(block("f", b'0', 513, ""), b"1\n0\n1\n")].concat(),
        [with(block("L", b'L', 5, ""), b"name\0"), block("c", b'3', 0, ""), vec![0; 1024]].concat(),
        [block("s", b'S', 0, ""), vec![0; 1024]].concat(),
    ]
}

/// Gives each block the checksum that it would have as a header.
fn repaired(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for block in bytes.as_chunks_mut::<512>().0 {
        if block.iter().any(|byte| *byte != 0) && block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        }
    }
    bytes
}

#[test]
fn archive() {
    let tokens: [&[u8]; 10] =
        [&[0xff; 8], &[0x80; 12], b"77777777777", b"../", b"/", b"ustar  \0", b"L", b"x", b"S", &[0; 512]];
    peapod_fuzz::target!("archive").seeds(seeds()).tokens(tokens).check(|input| {
        let bytes = repaired(input);
        let mut archive = Archive::new(&bytes[..]);
        let mut entries = 0;
        while let Ok(Some(entry)) = archive.next() {
            entries += 1;
            if let Some(sparse) = &entry.sparse {
                let stored: u64 = sparse.regions.iter().map(|region| region.length).sum();
                assert_eq!(stored, archive.content, "all that is stored has its place");
            }
            if entries % 2 == 0 && io::copy(&mut (&mut archive).take(1 << 20), &mut io::sink()).is_err() {
                break;
            }
        }
        assert!(entries <= bytes.len() / 512);
    });
}

#[test]
fn pax_records() {
    let seeds: [&[u8]; 3] =
        [b"13 path=long\n21 SCHILY.xattr.user.a=b\n", b"12 mtime=1.5\n9 uid=-2\n", b"30 GNU.sparse.map=0,1,9,1,20,0\n"];
    let tokens =
        ["\n", "=", " ", "99999999999 ", "GNU.sparse.", "SCHILY.xattr.", "%3D", "%", ",", "-", "18446744073709551616"];
    peapod_fuzz::target!("pax").seeds(seeds).tokens(tokens).check(|input| {
        let mut pax = Pax::default();
        if pax.read(input).is_ok() {
            assert!(pax.xattrs.iter().all(|(name, _)| !name.is_empty() && !name.contains(&0)));
            let _ = pax.sparse.into_map();
        }
    });
}
