//! Fields of headers, PAX records, sparse files.

use super::{Case, Expect, differs, dir, file, link, refused, same};
use crate::common::headers::{Raw, archive, pax, records};

pub fn all() -> Vec<Case> {
    [old_headers(), numbers(), pax_records(), sparse()].into_iter().flatten().collect()
}

fn old_headers() -> Vec<Case> {
    vec![
        same("v7", &[Raw::new(0, "dd/").v7(), Raw::new(0, "dd/f").v7().content(b"x"), link(b'1', "g", "dd/f").v7()]),
        same("v7-no-prefix", &[Raw::new(0, "f").v7().field(345, b"prefix")]),
        same("directory-by-slash", &[Raw::new(b'0', "a/"), Raw::new(0, "b/"), Raw::new(b'7', "c/")]),
        same("gnu", &[dir("d/").gnu(), file("d/f").gnu().content(b"x").field(345, b"14000000000\x0014000000000\0")]),
        Case {
            name: "signed-checksum",
            archive: [file("caf").field(3, b"\xe9").bytes(true), vec![0; 1024]].concat(),
            expect: Expect::Same,
        },
        Case {
            name: "wrong-checksum",
            archive: {
                let mut bytes = archive(&[file("f")]);
                bytes[0] ^= 1;
                bytes
            },
            expect: Expect::Refused { says: "checksum", why: "GNU tar looks for the next header" },
        },
    ]
}

fn numbers() -> Vec<Case> {
    let wide = |value: i64| {
        let fill = if value < 0 { [0xff; 4] } else { [0x80, 0, 0, 0] };
        [&fill[..], &value.to_be_bytes()].concat()
    };
    let narrow = |value: i64| [&[if value < 0 { 0xff } else { 0x80 }][..], &value.to_be_bytes()[1..]].concat();
    vec![
        same("spaces", &[file("f").uid(b"  1750 \0").gid(b" 1751  \0").mode(b"   755 \0").modified(b"14000000000 ")]),
        same("behind-a-space", &[file("f").uid(b"1750 xyz")]),
        same("full-octal", &[file("f").uid(b"17777777").modified(b"177777777777")]),
        same("owner-256", &[file("f").uid(&narrow(3_000_000_000)).gid(&narrow(70_000))]),
        same("time-256", &[file("f").modified(&wide(5_000_000_000)), file("old").modified(&wide(-86_400))]),
        same("size-256", &[file("f").content(b"abc").field(124, &wide(3)), file("g")]),
        same("mode-256", &[file("f").mode(&narrow(0o4755))]),
        same("mode-with-kind", &[file("f").mode(b"0100644\0"), dir("d/").mode(b"0042755\0")]),
        same(
            "mode-special",
            &[file("f").mode(b"0007777\0"), dir("d/").mode(b"0003777\0"), dir("none/").mode(b"0000000\0")],
        ),
        differs("owner-blank", &[file("f").uid(b"        ").gid(&[0; 8])], &["f file 0 e3b0c442 644 0:0"], "it warns"),
        differs(
            "owner-negative",
            &[file("f").uid(&narrow(-2)).gid(&narrow(-2)), pax(b'x', &[("uid", b"-2")]), file("g")],
            &["f file 0 e3b0c442 644 4294967294:4294967294", "g file 0 e3b0c442 644 4294967294:1001"],
            "GNU tar fails and leaves it root's; -2 is nobody, and Docker and containerd hand it to the kernel",
        ),
        refused("owner-huge", &[file("f").uid(&narrow(1 << 33))], "out of range", "GNU tar fails too"),
        refused("size-negative", &[file("f").field(124, &wide(-1))], "out of range", "GNU tar fails too"),
        refused("no-number", &[file("f").uid(b"00009x0\0")], "out of range", "GNU tar fails too"),
    ]
}

fn pax_records() -> Vec<Case> {
    let capability = [1, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let acl = [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 10, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255];
    let acl = [&acl[..], &[16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255]].concat();
    let next = |given: &[(&str, &[u8])]| pax(b'x', given);
    vec![
        same("pax-capability", &[next(&[("SCHILY.xattr.security.capability", &capability)]), file("f").content(b"x")]),
        same(
            "pax-user",
            &[next(&[("SCHILY.xattr.user.a", b"one\ntwo=3"), ("SCHILY.xattr.user.b%3Dc%25", b"v")]), file("f")],
        ),
        same("pax-comment", &[next(&[("comment", b"two\nlines\n9 path=no\n"), ("path", b"p\nq")]), file("f")]),
        same(
            "pax-unknown",
            &[next(&[("VENDOR.what\u{e9}", b"\xff\n\0"), ("ctime", b"1.5"), ("charset", b"x")]), file("f")],
        ),
        same("pax-owner", &[next(&[("uid", b"3000000000"), ("gid", b"7")]), file("f"), file("g")]),
        same("pax-times", &[next(&[("mtime", b"-1.25")]), file("f"), next(&[("mtime", b"1.123456789123")]), dir("d/")]),
        same(
            "pax-size",
            &[
                next(&[("size", b"3")]),
                file("f").size(0).blocks(&{
                    let mut block = [0; 512];
                    block[..3].copy_from_slice(b"abc");
                    block
                }),
                file("g"),
            ],
        ),
        same("pax-last-counts", &[next(&[("path", b"one"), ("uid", b"5")]), next(&[("mtime", b"7")]), file("f")]),
        same("pax-solaris", &[Raw::new(b'X', "h").content(&records(&[("path", b"named")])), file("f")]),
        same(
            "pax-global",
            &[
                pax(b'g', &[("mtime", b"5"), ("uid", b"7"), ("comment", b"0123")]),
                file("a"),
                next(&[("mtime", b"9")]),
                file("b"),
            ],
        ),
        differs(
            "pax-global-twice",
            &[pax(b'g', &[("uid", b"7")]), file("a"), pax(b'g', &[("gid", b"8")]), dir("b/")],
            &["a file 0 e3b0c442 644 7:1001", "b dir 755 7:8"],
            "GNU tar forgets the first one; POSIX keeps what a later one says nothing about",
        ),
        same(
            "pax-global-attributes",
            &[pax(b'g', &[("SCHILY.xattr.user.k", b"v"), ("uid", b"7")]), file("a"), dir("b/")],
        ),
        differs(
            "pax-acl",
            &[next(&[("SCHILY.xattr.system.posix_acl_access", &acl)]), file("f")],
            &["f file 0 e3b0c442 664 1000:1001 1600000000.000000000 system.posix_acl_access="],
            "GNU tar sets the mode behind it",
        ),
        differs(
            "pax-trusted",
            &[next(&[("SCHILY.xattr.trusted.overlay.opaque", b"y"), ("SCHILY.xattr.user.k", b"v")]), dir("d/")],
            &["d dir 755 1000:1001 1600000000.000000000 user.k="],
            "trusted attributes steer the overlay",
        ),
        refused("pax-length", &[Raw::new(b'x', "h").content(b"99 path=x\n"), file("f")], "PAX", "GNU tar fails too"),
        refused("pax-bad-uid", &[next(&[("uid", b"abc")]), file("f")], "out of range", "GNU tar fails too"),
        refused("pax-many", &[next(&[("SCHILY.xattr.user.x", &[0; 200_000])]), file("f")], "attributes", "bounds"),
        refused(
            "pax-damaged-attribute",
            &[next(&[("SCHILY.xattr.security.capability", b"x")]), file("f")],
            "attributes",
            "GNU tar leaves it out and goes on; containerd fails",
        ),
    ]
}

fn sparse() -> Vec<Case> {
    let number = |value: u64| format!("{value:011o}\0").into_bytes();
    let old = |regions: &[(u64, u64)], size: u64, data: &[u8]| {
        let mut raw = Raw::new(b'S', "f").gnu().content(data).field(483, &number(size));
        for (index, (offset, length)) in regions.iter().take(4).enumerate() {
            raw = raw.field(386 + 24 * index, &[number(*offset), number(*length)].concat());
        }
        raw
    };
    let ten: Vec<(u64, u64)> = (0..10).map(|n| (n * 8192, 512)).chain([(100_000, 0)]).collect();
    let mut extension = [0; 512];
    for (index, (offset, length)) in ten.iter().skip(4).enumerate() {
        extension[24 * index..24 * index + 24].copy_from_slice(&[number(*offset), number(*length)].concat());
    }
    let blocks: Vec<u8> = (0..10_u8).flat_map(|n| [b'a' + n; 512]).collect();
    let mut many = old(&ten, 100_000, &[]).field(482, &[1]).size(blocks.len());
    many = many.blocks(&extension).blocks(&blocks);
    let in_content = [&b"3\n0\n512\n8192\n512\n9000\n0\n"[..], &[0; 488], &[b'x'; 512], &[b'y'; 512]].concat();
    let version = |given: &[(&str, &[u8])]| pax(b'x', given);
    vec![
        same("sparse-old", &[old(&[(0, 512), (8192, 512), (20_000, 0)], 20_000, &[b'x'; 1024]), file("g")]),
        same("sparse-extended", &[many, file("g")]),
        same("sparse-hole-only", &[old(&[(9000, 0)], 9000, b""), file("g")]),
        same(
            "sparse-0.1",
            &[
                version(&[
                    ("GNU.sparse.size", b"9000"),
                    ("GNU.sparse.numblocks", b"3"),
                    ("GNU.sparse.name", b"real"),
                    ("GNU.sparse.map", b"0,512,8192,512,9000,0"),
                ]),
                file("f").content(&[b'x'; 1024]),
                file("g"),
            ],
        ),
        same(
            "sparse-1.0",
            &[
                version(&[
                    ("GNU.sparse.major", b"1"),
                    ("GNU.sparse.minor", b"0"),
                    ("GNU.sparse.realsize", b"9000"),
                    ("GNU.sparse.name", b"d/real"),
                ]),
                file("f").content(&in_content),
                file("g"),
            ],
        ),
        refused(
            "sparse-overlap",
            &[old(&[(512, 512), (0, 512)], 20_000, &[b'x'; 1024])],
            "sparse",
            "GNU tar fails too",
        ),
        refused("sparse-short", &[old(&[(0, 512), (8192, 512)], 20_000, &[b'x'; 512])], "sparse", "GNU tar fails too"),
        refused(
            "sparse-version",
            &[version(&[("GNU.sparse.major", b"2"), ("GNU.sparse.minor", b"0")]), file("f")],
            "sparse",
            "unknown",
        ),
    ]
}
