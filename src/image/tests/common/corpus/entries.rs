//! What entries are called, what they are, how they are linked, and where archives end.

use super::{Case, Expect, device, differs, dir, file, link, refused, same};
use crate::common::headers::{Raw, archive, long, pax};

pub fn all() -> Vec<Case> {
    [names(), links(), kinds(), ends()].into_iter().flatten().collect()
}

fn names() -> Vec<Case> {
    let long_name = format!("{}/file", "a-long-directory-name/".repeat(12));
    let padded: String = std::iter::repeat_n('n', 100).collect();
    vec![
        same("leading-slash", &[dir("/usr/"), file("/usr/x").content(b"x"), link(b'2', "/usr/l", "/usr/x")]),
        same("leading-slashes", &[dir("//usr//"), file("///usr//./x").content(b"x"), Raw::new(b'6', "//usr/p")]),
        same("slash-devices", &[dir("/dev/"), device(b'3', "/dev/c"), device(b'4', "/dev/b")]),
        same("slash-hard", &[dir("/b/"), file("/b/x").content(b"x"), link(b'1', "/b/y", "/b/x")]),
        same("slash-long", &[long(b'L', &format!("/{long_name}")), file("/cut").content(b"x")]),
        same("slash-pax", &[pax(b'x', &[("path", b"/a/b")]), file("cut").content(b"x")]),
        same("root", &[dir("./").mode(b"0000711\0"), file("./x")]),
        same("root-slash", &[dir("/"), file("x")]),
        same("implied", &[file("a/b/c").content(b"x")]),
        same("full-field", &[file(&padded).content(b"x")]),
        same("long", &[long(b'L', &long_name), file("cut").content(b"x")]),
        same("long-twice", &[long(b'L', "first"), long(b'L', "second"), file("cut")]),
        same("prefix", &[file("x").field(345, b"some/prefix")]),
        same(
            "star",
            &[file("x").field(345, b"some/prefix").field(476, b"14000000000 14000000000 ").field(508, b"tar\0")],
        ),
        same("not-utf8", &[Raw::new(b'0', "x").field(0, b"caf\xe9")]),
        same("line-feed", &[file("a\nb")]),
        same("pax-wins", &[long(b'L', "by-gnu"), pax(b'x', &[("path", b"by-pax")]), file("cut")]),
        differs(
            "gnu-prefix",
            &[file("x").gnu().field(345, b"some/prefix")],
            &["some dir 755 0:0", "some/prefix dir 755", "some/prefix/x file"],
            "Go before 1.9, and so old Docker, wrote a prefix into GNU headers; GNU tar takes it for times",
        ),
        differs(
            "dotdot",
            &[
                dir("d/"),
                file("a/../b"),
                file("d/x/../../../c").content(b"x"),
                link(b'1', "g", "d/../../c"),
                file("d/.."),
            ],
            &["b file 0", "c file 1", "d dir 755 1000:1001", "g file 1"],
            "GNU tar passes over such entries and fails; Docker and containerd take away what is before it",
        ),
        refused("nothing", &[file("")], "empty", "GNU tar takes it for the root and fails"),
        refused("through-file", &[file("f"), file("f/x")], "not a directory", "GNU tar passes over the entry"),
    ]
}

fn links() -> Vec<Case> {
    let target = "t".repeat(150);
    vec![
        same("hard", &[file("f").content(b"x"), link(b'1', "g", "f"), link(b'1', "h", "./g")]),
        same("hard-absolute", &[file("usr/f").content(b"x"), link(b'1', "g", "/usr/f")]),
        same("hard-to-link", &[link(b'2', "s", "nowhere"), link(b'1', "t", "s")]),
        same("hard-to-itself", &[file("f").content(b"x"), link(b'1', "f", "f")]),
        same("hard-again", &[file("f").content(b"x"), link(b'1', "g", "f"), link(b'1', "g", "f")]),
        same("hard-long", &[file("d/f"), long(b'K', &format!("{}d/f", "./".repeat(90))), link(b'1', "g", "cut")]),
        same("link-long", &[long(b'K', &target), link(b'2', "l", "cut")]),
        same("link-pax", &[pax(b'x', &[("linkpath", target.as_bytes())]), link(b'2', "l", "cut")]),
        same("link-anywhere", &[link(b'2', "a", "/etc/passwd"), link(b'2', "b", "../../../x"), link(b'2', "c", "/")]),
        differs(
            "link-inside",
            &[dir("usr/"), link(b'2', "x", "usr"), file("x/f")],
            &["usr dir 755 1000:1001 1600000000", "usr/f file", "x -> usr"],
            "GNU tar gives a directory no time if something came into it through a link",
        ),
        same("link-replaced", &[dir("usr/"), link(b'2', "x", "usr"), dir("x/"), file("x/f")]),
        same("file-replaced", &[file("x").content(b"one"), file("x").content(b"other"), link(b'2', "x", "y")]),
        differs(
            "link-absolute-inside",
            &[
                dir("usr/"),
                link(b'2', "x", "/usr"),
                file("x/f"),
                link(b'1', "g", "x/f"),
                dir("x/d/"),
                device(b'3', "x/c"),
            ],
            &["g file", "usr dir", "usr/c char 8:3", "usr/d dir", "usr/f file", "x -> /usr"],
            "GNU tar makes such links last of all; Docker and containerd read them from the layer's root",
        ),
        differs(
            "link-above",
            &[dir("usr/"), link(b'2', "x", "../../usr"), file("x/f")],
            &["usr dir", "usr/f file", "x -> ../../usr"],
            "there is nothing above the root of a container",
        ),
        differs(
            "directory-replaced",
            &[dir("x/"), file("x/f"), file("x").content(b"y")],
            &["x file 1 "],
            "GNU tar keeps a directory that has something in it; Docker and containerd take it away",
        ),
        refused("hard-missing", &[link(b'1', "g", "f")], "does not have", "GNU tar passes over it"),
    ]
}

fn kinds() -> Vec<Case> {
    let next = file("inner").bytes(false);
    let sized = |entry: Raw| entry.size(512).blocks(&next);
    vec![
        same(
            "all",
            &[
                dir("d/"),
                Raw::new(b'7', "d/f").content(b"x"),
                device(b'3', "c"),
                device(b'4', "b"),
                Raw::new(b'6', "p"),
            ],
        ),
        same("size-of-directory", &[sized(dir("d/")), file("after")]),
        same("size-of-link", &[sized(link(b'2', "l", "x")), file("after")]),
        same("size-of-fifo", &[sized(Raw::new(b'6', "p")), file("after")]),
        same("size-of-hard-link", &[file("f"), sized(link(b'1', "l", "f")), file("after")]),
        same("volume", &[Raw::new(b'V', "volume"), file("f")]),
        same("dump", &[Raw::new(b'D', "d/").mode(b"0000755\0").content(b"Yf\0\0"), file("d/f")]),
        refused("continued", &[Raw::new(b'M', "f").content(b"x")], "kind", "GNU tar passes over the entry"),
        refused(
            "unknown",
            &[Raw::new(b'Z', "f").content(b"x")],
            "kind",
            "GNU tar makes a file; Docker and containerd fail",
        ),
    ]
}

fn ends() -> Vec<Case> {
    let whole = archive(&[file("f").content(b"abc")]);
    let cut = |name, at: usize, expect| Case { name, archive: whole[..at].to_vec(), expect };
    let refused = |says| Expect::Refused { says, why: "GNU tar fails, or takes what there is" };
    vec![
        cut("no-end", 1024, Expect::Same),
        cut("one-zero-block", 1536, Expect::Same),
        cut("cut-content", 514, refused("too early")),
        cut("cut-header", 100, refused("too early")),
        Case {
            name: "cut-padding",
            archive: whole[..515].to_vec(),
            expect: Expect::Differs { entries: &["f file 3 ba7816bf 644 1000:1001 1600000000"], why: "Go reads it" },
        },
        Case { name: "behind-the-end", archive: [&whole[..], &[7; 4096]].concat(), expect: Expect::Same },
        Case {
            name: "zeros-behind-the-end",
            archive: [&whole[..], &vec![0; 1 << 20][..]].concat(),
            expect: Expect::Same,
        },
        Case {
            name: "far-behind-the-end",
            archive: [&whole[..], &vec![0; 17 << 20][..]].concat(),
            expect: Expect::Refused { says: "behind the archive's end", why: "bounds" },
        },
        Case {
            name: "lone-zero-block",
            archive: [file("f").bytes(false), vec![0; 512], file("g").bytes(false), vec![0; 1024]].concat(),
            expect: Expect::Same,
        },
        same("headers-without-entry", &[file("f"), long(b'L', "x"), pax(b'x', &[("path", b"y")])]),
        Case {
            name: "empty",
            archive: Vec::new(),
            expect: Expect::Differs { entries: &[], why: "GNU tar wants an archive; Docker and containerd do not" },
        },
    ]
}
