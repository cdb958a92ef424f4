//! What comes out of archives: of good ones all, of hostile ones nothing outside of the folder.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::*;

/// An entry with a name as it is, however odd.
fn raw(kind: EntryType, name: &str, target: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o6755);
    header.set_mtime(1_700_000_000);
    header.set_size(content.len() as u64);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..name.len()].copy_from_slice(name.as_bytes());
    gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().div_ceil(512) * 512, 0);
    bytes
}

fn archive(entries: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(kind, name, target, content)| raw(*kind, name, target, content));
    entries.chain([0; 1024]).collect()
}

fn write(archive: &[u8], to: &Path, base: &str) -> Result<LeftOut, CopyError> {
    extract(&mut &*archive, &CopyDestination::new(to, base)?)
}

use EntryType::{Directory, Link, Regular, Symlink};

#[test]
fn a_folder_arrives_as_it_was_packed() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let long = "n".repeat(200);
    fs::create_dir_all(from.join("sub").join(&long)).unwrap();
    fs::write(from.join("sub").join(&long).join("file"), "text").unwrap();
    fs::write(from.join("run"), vec![7; 200_000]).unwrap();
    fs::set_permissions(from.join("run"), fs::Permissions::from_mode(0o4750)).unwrap();
    symlink("../run", from.join("sub/link")).unwrap();
    symlink("/etc/passwd", from.join("out")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, from.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut packed = Vec::new();
    let left_out = pack(&from, Path::new("from"), &mut packed).unwrap();
    assert!(left_out.notes.len() == 1 && left_out.notes[0].contains("pipe"), "{left_out:?}");
    let left_out = write(&packed, &to, "from").unwrap();
    assert!(left_out.notes.len() == 1 && left_out.notes[0].contains("out"), "{left_out:?}");
    assert_eq!(fs::read(to.join("run")).unwrap(), vec![7; 200_000]);
    assert_eq!(fs::metadata(to.join("run")).unwrap().mode() & 0o7777, 0o750);
    assert_eq!(fs::read_to_string(to.join("sub").join(&long).join("file")).unwrap(), "text");
    assert_eq!(fs::read(to.join("sub/link")).unwrap().len(), 200_000);
    // Once more: into the folder that is there by now, and over what is there.
    write(&packed, &to, "from").unwrap();
    write(&packed, &to, "from").unwrap();
    assert_eq!(fs::read(to.join("from/run")).unwrap().len(), 200_000);
}

#[test]
fn nothing_is_written_outside() {
    for (name, target, kind) in [
        ("top/../../evil", "", Regular),
        ("../evil", "", Regular),
        ("/tmp/evil", "", Regular),
        ("beside", "", Regular),
        ("beside", "", Directory),
        ("top/a", "../evil", Link),
        ("top/a", "/etc/passwd", Link),
        ("top/a", "secret", Link),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        let bytes = archive(&[(Directory, "top", "", b""), (kind, name, target, b"")]);
        let refused = write(&bytes, &dir.path().join("to"), "top").unwrap_err().to_string();
        assert!(refused.contains("nothing more is taken from it"), "{name}: {refused}");
        let left: Vec<_> = dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.len() == 2 && !left.iter().any(|name| name == "evil"), "{name}: {left:?}");
    }
}

#[test]
fn links_lead_nowhere_else_and_nothing_is_written_through_them() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    let out = ["/etc", "..", "../../x", "a/../..", "d/up/..", "", "d/../d/../../.."];
    for target in out {
        let bytes = archive(&[(Directory, "top", "", b""), (Symlink, "top/l", target, b"")]);
        let left_out = write(&bytes, &to, "top").unwrap();
        assert_eq!(left_out.notes.len(), 1, "{target}: {left_out:?}");
        peapod_sys::remove_tree(&to).unwrap();
    }
    let bytes = archive(&[
        (Directory, "top/d", "", b""),
        (Symlink, "top/d/up", "../.", b""),
        (Symlink, "top/same", "d", b""),
        (Regular, "top/same/file", "", b"x"),
    ]);
    let refused = write(&bytes, &to, "top").unwrap_err().to_string();
    assert!(refused.contains("symbolic link is on the way"), "{refused}");
    assert!(!to.join("d/file").exists());
    // A link of the user's own is not written through either.
    peapod_sys::remove_tree(&to).unwrap();
    fs::create_dir_all(to.join("top")).unwrap();
    symlink(dir.path(), to.join("top/own")).unwrap();
    let refused = write(&archive(&[(Regular, "top/own/file", "", b"x")]), &to, "top").unwrap_err().to_string();
    assert!(refused.contains("symbolic link is on the way"), "{refused}");
    // A file takes a link's own place.
    write(&archive(&[(Regular, "top/own", "", b"x")]), &to, "top").unwrap();
    assert!(fs::symlink_metadata(to.join("top/own")).unwrap().is_file());
}

#[test]
fn another_name_of_a_link_is_refused_and_of_a_file_made() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    let begin = [
        (Directory, "top", "", b"".as_slice()),
        (Directory, "top/a", "", b""),
        (Symlink, "top/a/l", "../f", b""),
        (Regular, "top/f", "", b"one"),
        (Link, "top/a/f", "top/f", b""),
    ];
    write(&archive(&begin), &to, "top").unwrap();
    assert_eq!(fs::metadata(to.join("f")).unwrap().nlink(), 2);
    let bytes = archive(&[&begin[..], &[(Link, "top/l", "top/a/l", b"")]].concat());
    let refused = write(&bytes, &dir.path().join("other"), "top").unwrap_err().to_string();
    assert!(refused.contains("another name of what is no file"), "{refused}");
}

#[test]
fn what_is_in_the_way_and_is_no_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("here");
    rustix::fs::mknodat(rustix::fs::CWD, &place, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let refused = write(&archive(&[(Regular, "f", "", b"x")]), &place, "f").unwrap_err().to_string();
    assert!(refused.contains("left alone"), "{refused}");
    let folder = archive(&[(Directory, "f", "", b""), (Regular, "f", "", b"x")]);
    let refused = write(&folder, &dir.path().join("g"), "f").unwrap_err().to_string();
    assert!(refused.contains("it is a folder"), "{refused}");
}

#[test]
fn headers_are_bounded_and_archives_whole() {
    let dir = tempfile::tempdir().unwrap();
    let long = archive(&[(EntryType::GNULongName, "././@LongLink", "", &vec![b'a'; 1 << 17])]);
    let refused = write(&long, &dir.path().join("a"), "f").unwrap_err().to_string();
    assert!(refused.contains("more than 64 KiB"), "{refused}");
    let mut deep = Builder::new(Vec::new());
    let name = "f/".repeat(3000);
    let mut header = Header::new_gnu();
    header.set_entry_type(Directory);
    header.set_mode(0o755);
    header.set_size(0);
    deep.append_data(&mut header, &name, std::io::empty()).unwrap();
    let refused = write(&deep.into_inner().unwrap(), &dir.path().join("b"), "f").unwrap_err().to_string();
    assert!(refused.contains("longer than names are"), "{refused}");
    let whole = archive(&[(Regular, "f", "", &[1; 5000])]);
    let cut = write(&whole[..2000], &dir.path().join("c"), "f").unwrap_err().to_string();
    assert!(cut.contains("no whole tar archive"), "{cut}");
}

#[test]
fn a_folder_that_is_not_there_is_not_taken_for_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = archive(&[(Regular, "x", "", b"text")]);
    let refused = write(&file, &dir.path().join("new/"), "x").unwrap_err().to_string();
    assert!(refused.contains("new/`: there is no such folder"), "{refused}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    write(&file, &dir.path().join("new"), "x").unwrap();
    // One that is there, and the content of a folder, are taken as `cp -r` has it.
    fs::create_dir(dir.path().join("there")).unwrap();
    write(&file, &dir.path().join("there/"), "x").unwrap();
    assert_eq!(fs::read(dir.path().join("there/x")).unwrap(), b"text");
    let missing = write(&file, &dir.path().join("none/x"), "x").unwrap_err();
    assert_eq!(peapod_text::chain(&missing).matches("No such file").count(), 1, "{missing}");
}

#[test]
fn nothing_copied_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    let said = |bytes: &[u8], base: &str| write(bytes, &to, base).unwrap_err().to_string();
    for (kind, target, why) in [
        (Symlink, "data", "nothing was copied: left out `top`: it is a link to `data`: copy that"),
        (Symlink, "/etc", "it is a link to `/etc`: copy that"),
        (EntryType::Char, "", "nothing was copied: left out `top`: it is a device"),
        (EntryType::Fifo, "", "it is a device, a pipe"),
    ] {
        let refused = said(&archive(&[(kind, "top", target, b"")]), "top");
        assert!(refused.contains(why), "{refused}");
    }
    for base in ["top", "."] {
        assert!(said(&[0; 1024], base).contains("an empty archive"), "{base}");
        assert!(said(&[], base).contains("an empty archive"), "{base}");
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 1, "no more than the folder that `.` was to become");
    // Of an empty folder there is nothing but itself.
    write(&archive(&[(Directory, "top", "", b"")]), &to, "top").unwrap();
    write(&archive(&[(Directory, "./", "", b"")]), &to, ".").unwrap();
}
