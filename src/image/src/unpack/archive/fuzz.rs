//! Archives damaged in every way, with checksums that are right all the same.

use super::Archive;
use super::pax::Pax;
use super::seeds::{all, repaired};
use std::io::{self, Read};

#[test]
fn archive() {
    let tokens: [&[u8]; 10] =
        [&[0xff; 8], &[0x80; 12], b"77777777777", b"../", b"/", b"ustar  \0", b"L", b"x", b"S", &[0; 512]];
    peapod_fuzz::target!("archive").seeds(all()).tokens(tokens).check(|input| {
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
