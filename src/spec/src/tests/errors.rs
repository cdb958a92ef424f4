//! What can't be made, and that it is said by name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::fixture::{Case, words};
use crate::bounds::{GROUPS, MOUNTS, PROGRAM_BYTES, STRING_BYTES, VARIABLES};
use crate::container::{ApparmorProfile, Propagation, UserChoice};
use crate::{
    Config, Configured, DeviceKind, HostDevice, IdRange, NodeOwner, Note, SourcePropagation, SpecError, UserError,
    UserNamespace,
};

fn check(change: impl FnOnce(&mut Case), wanted: &SpecError, message: &str) {
    let mut case = Case::new();
    change(&mut case);
    let error = case.config().unwrap_err();
    assert_eq!(&error, wanted);
    assert!(error.to_string().contains(message), "{error}");
}

#[test]
fn ids_that_the_pod_has_not() {
    let few = |case: &mut Case| {
        let of = |count| IdRange::new(70_000, count).unwrap();
        case.pod.namespaces.users = Some(UserNamespace { uids: of(1000), gids: of(10) });
    };
    let user = |case: &mut Case| {
        few(case);
        case.container.security.user = UserChoice::Uid(1000);
    };
    let wanted = SpecError::NoSuchId { what: "user", id: 1000, count: 1000 };
    check(user, &wanted, "user 1000: the pod has users and groups of its own, 1000 of these");
    let group = |case: &mut Case| {
        few(case);
        case.container.security.supplemental_groups = vec![10];
    };
    check(group, &SpecError::NoSuchId { what: "group", id: 10, count: 10 }, "group 10");
}

#[test]
fn process() {
    let no_command = |case: &mut Case| {
        case.image.entrypoint.clear();
        case.image.cmd.clear();
    };
    check(no_command, &SpecError::NoCommand, "must give command or args");
    check(
        |case| case.container.working_dir = "srv".to_owned(),
        &SpecError::WorkingDir("srv".to_owned()),
        "\"srv\" is not an absolute path",
    );
    check(|case| case.env("LATIN", b"\xff"), &SpecError::EnvNotUtf8("LATIN".to_owned()), "value of \"LATIN\"");
    check(
        |case| case.container.security.run_as_group = Some(7),
        &SpecError::User(UserError::GroupWithoutUser(7)),
        "run_as_group 7",
    );
    check(
        |case| case.container.security.capabilities.add = words("CAP_FLY"),
        &SpecError::UnknownCapability("CAP_FLY".to_owned()),
        "CAP_FLY",
    );
}

#[test]
fn propagation_needs_a_source_that_propagates() {
    for (wanted, source, fine) in [
        (Propagation::Private, SourcePropagation::Private, true),
        (Propagation::HostToContainer, SourcePropagation::Private, false),
        (Propagation::HostToContainer, SourcePropagation::Slave, true),
        (Propagation::HostToContainer, SourcePropagation::Shared, true),
        (Propagation::Bidirectional, SourcePropagation::Private, false),
        (Propagation::Bidirectional, SourcePropagation::Slave, false),
        (Propagation::Bidirectional, SourcePropagation::Shared, true),
    ] {
        let mut case = Case::new();
        case.mount("/csi", wanted);
        case.mounts.last_mut().unwrap().propagation = source;
        let text = case.config().map_err(|error| error.to_string()).err();
        assert_eq!(text.is_none(), fine, "{wanted:?} of {source:?}: {text:?}");
        assert!(text.is_none_or(|text| text.contains("\"/csi\"") && text.contains("make-rshared")));
    }
}

#[test]
fn recursive_read_only_needs_read_only_and_private() {
    for (readonly, propagation) in [(false, Propagation::Private), (true, Propagation::HostToContainer)] {
        check(
            |case| {
                let mount = case.mount("/ro", propagation);
                mount.readonly = readonly;
                mount.recursive_read_only = true;
            },
            &SpecError::RecursiveReadOnly("/ro".into()),
            "\"/ro\"",
        );
    }
}

#[test]
fn mounts_that_nobody_looked_up() {
    check(
        |case| {
            case.mount("/a", Propagation::Private);
            case.mounts.clear();
        },
        &SpecError::MountCount { wanted: 1, resolved: 0 },
        "1 mounts wanted",
    );
    let odd = std::path::Path::new(OsStr::from_bytes(b"/data/\xff"));
    check(
        |case| {
            case.mount("/a", Propagation::Private);
            case.mounts[0].source = odd.to_owned();
        },
        &SpecError::PathNotUtf8(odd.to_owned()),
        "not UTF-8",
    );
}

#[test]
fn apparmor() {
    let localhost = |case: &mut Case| {
        case.container.security.apparmor = Some(ApparmorProfile::Localhost("web".to_owned()));
    };
    check(localhost, &SpecError::ApparmorOff("web".to_owned()), "not enabled");
    check(
        |case| {
            localhost(case);
            case.apparmor = Some(words("other"));
        },
        &SpecError::ApparmorNotLoaded("web".to_owned()),
        "not loaded",
    );
    for (wanted, loaded, profile) in [
        (Some(ApparmorProfile::Localhost("web".to_owned())), "web", Some("web")),
        (Some(ApparmorProfile::Unconfined), "web", Some("unconfined")),
        (Some(ApparmorProfile::RuntimeDefault), "peapod-default", Some("peapod-default")),
        (None, "peapod-default", Some("peapod-default")),
        (None, "web", None),
    ] {
        let mut case = Case::new();
        case.container.security.apparmor = wanted;
        case.apparmor = Some(words(loaded));
        let Configured { config: Config { spec }, notes, .. } = case.config().unwrap();
        assert_eq!(spec.process().as_ref().unwrap().apparmor_profile().as_deref(), profile);
        // A container goes without what it did not ask for, and that is said.
        assert_eq!(notes.contains(&Note::Apparmor), profile.is_none());
    }
}

fn device(path: &str, major: u32, minor: u32) -> HostDevice {
    let container_path = path.into();
    let permissions = "rw".to_owned();
    let (uid, gid) = (NodeOwner::Id(0), NodeOwner::Id(0));
    let (kind, mode, host_path) = (DeviceKind::Char, 0o666, Some("/dev/node".into()));
    HostDevice { container_path, kind, major, minor, mode, uid, gid, permissions, host_path }
}

#[test]
fn a_device_is_there_or_refused() {
    let nodes = |path: &str, major, minor, tty| {
        let mut case = Case::new();
        case.container.tty = tty;
        case.devices = vec![device(path, major, minor)];
        let spec = case.config().map_err(|error| error.to_string())?.config.spec;
        Ok::<_, String>(spec.linux().as_ref().unwrap().devices().as_ref().map_or(0, Vec::len))
    };
    for (path, major, minor) in [("/dev/null", 1, 3), ("/dev/random", 1, 8), ("/dev/ptmx", 5, 2), ("/dev/tty", 5, 0)] {
        assert_eq!(nodes(path, major, minor, false), Ok(0), "{path}: every container has it");
        let refused = nodes(path, 10, 229, false).unwrap_err();
        assert!(refused.contains(path) && refused.contains("container_path"), "{refused}");
    }
    for path in [
        "/dev/fd",
        "/dev/fd/3",
        "/dev/stdin",
        "/dev/core",
        "/dev/shm",
        "/dev/shm/x",
        "/dev/pts/0",
        "/proc/x",
        "/",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc",
    ] {
        assert!(nodes(path, 1, 9, false).unwrap_err().contains("can't be another device"), "{path}");
    }
    assert_eq!(nodes("/dev/console", 5, 1, false), Ok(1));
    assert!(nodes("/dev/console", 5, 1, true).is_err());
    assert_eq!(nodes("/dev/nullx", 1, 3, false), Ok(1));
}

fn too_many(change: impl FnOnce(&mut Case), what: &str) {
    let mut case = Case::new();
    change(&mut case);
    let error = case.config().unwrap_err().to_string();
    assert!(error.contains(what) && error.len() < 500, "{error}");
}

#[test]
fn more_than_a_process_can_have() {
    let lines = |count: usize| (0..count).map(|number| format!("V{number}=x")).collect::<Vec<_>>();
    too_many(|case| case.image.env = lines(100_000), "variables");
    too_many(|case| (0..=VARIABLES).for_each(|number| case.env(&format!("K{number}"), b"")), "variables");
    // The same one again is one.
    let mut same = Case::new();
    (0..200_000).for_each(|_| same.env("SAME", b"value"));
    assert!(same.config().is_ok());
    too_many(|case| case.env("LONG", &vec![b'x'; STRING_BYTES]), "one argument or variable");
    too_many(|case| case.image.entrypoint = vec!["x".repeat(STRING_BYTES + 1)], "one argument or variable");
    too_many(|case| case.container.args = vec![String::new(); PROGRAM_BYTES / 9 + 1], "bytes of arguments");
    too_many(|case| case.container.args = vec!["x".repeat(100_000); 30], "bytes of arguments");
    let mount = |case: &mut Case, number: usize| {
        case.mount(&format!("/m{number}"), Propagation::Private);
    };
    too_many(|case| (0..=MOUNTS).for_each(|number| mount(case, number)), "mounts");
    too_many(
        |case| case.container.security.supplemental_groups = (0..=u32::try_from(GROUPS).unwrap()).collect(),
        "groups",
    );
}

#[test]
fn what_an_image_says_with_a_nul() {
    for change in [
        (|case| case.image.entrypoint = vec!["/bin/a\0b".to_owned()]) as fn(&mut Case),
        |case| case.image.cmd = vec!["\0".to_owned()],
        |case| case.image.working_dir = "/srv\0".to_owned(),
        |case| case.image.user = "root\0".to_owned(),
    ] {
        let mut case = Case::new();
        change(&mut case);
        let error = case.config().unwrap_err().to_string();
        assert!(!error.contains('\0'), "{error:?}");
    }
}

#[test]
fn errors_repeat_little_of_what_was_asked_for() {
    let long = "x\n".repeat(500_000);
    for change in [
        (|case, long| case.container.working_dir = long) as fn(&mut Case, String),
        |case, long| case.env(&long, b"\xff"),
        |case, long| case.container.security.user = UserChoice::Name(long),
        |case, long| case.image.user = long,
        |case, long| case.image.user = format!("0:{long}"),
        |case, long| case.container.security.capabilities.add = vec![long],
        |case, long| case.container.security.apparmor = Some(ApparmorProfile::Localhost(long)),
    ] {
        let mut case = Case::new();
        change(&mut case, long.clone());
        let error = case.config().unwrap_err().to_string();
        assert!(error.len() < 500 && !error.contains('\n'), "{} bytes: {error:.600}", error.len());
    }
    let mut case = Case::new();
    case.container.security.capabilities.drop = vec![long.clone(), "CAP_BOGUS".to_owned()];
    case.image.env = vec![long; 50];
    let notes = case.config().unwrap().notes;
    assert!(matches!(notes.as_slice(), [Note::UnknownDrop(_), Note::ImageEnv(_)]), "{notes:?}");
    assert!(notes.iter().all(|note| note.to_string().len() < 4000), "{notes:?}");
}

#[test]
fn an_image_can_not_be_mounted_to_be_written_to() {
    let mounted = |change: fn(&mut crate::container::ContainerMount)| {
        let mut case = Case::new();
        let mount = case.mount("/model", Propagation::Private);
        (mount.source, mount.readonly) = (super::fixture::image_source(), true);
        change(mount);
        case.config().map(drop)
    };
    let refused = Err(SpecError::ImageMount("/model".into()));
    assert_eq!(mounted(|_| {}), Ok(()));
    assert_eq!(mounted(|mount| mount.readonly = false), refused);
    assert_eq!(mounted(|mount| mount.propagation = Propagation::Bidirectional), refused);
}
