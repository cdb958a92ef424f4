//! What can't be made, and that it is said by name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::fixture::{Case, words};
use crate::container::{ApparmorProfile, Propagation};
use crate::{Config, Note, Rlimit, SourcePropagation, SpecError, UserError};

fn check(change: impl FnOnce(&mut Case), wanted: &SpecError, message: &str) {
    let mut case = Case::new();
    change(&mut case);
    let error = case.config().unwrap_err();
    assert_eq!(&error, wanted);
    assert!(error.to_string().contains(message), "{error}");
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
    check(|case| case.env("LATIN", b"\xff"), &SpecError::EnvNotUtf8("LATIN".to_owned()), "value of LATIN");
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
    check(
        |case| case.container.cdi_devices = words("vendor.com/gpu=0"),
        &SpecError::CdiDevice("vendor.com/gpu=0".to_owned()),
        "vendor.com/gpu=0",
    );
    check(
        |case| case.node.rlimits = vec![Rlimit { name: "NOFILE".to_owned(), soft: 1, hard: 1, own_hard: 1 }],
        &SpecError::UnknownRlimit("NOFILE".to_owned()),
        "NOFILE",
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
        let Config { spec, notes, .. } = case.config().unwrap();
        assert_eq!(spec.process().as_ref().unwrap().apparmor_profile().as_deref(), profile);
        // A container goes without what it did not ask for, and that is said.
        assert_eq!(notes.contains(&Note::Apparmor), profile.is_none());
    }
}
