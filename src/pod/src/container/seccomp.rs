//! Compiled system call filters.
//!
//! libseccomp takes 10 ms to compile a default profile, longer than crun takes for all the rest of a container. crun
//! keeps the program in the container's state, for commands that run there later, and takes a ready one in an
//! annotation instead of compiling. So the first container with a profile pays, and the program that its runtime made
//! serves the others. runc has nothing like it: no file is found and none is looked for again.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction};
use peapod_sys::sync::lock;

use crate::bounds::KEPT_PROFILE_BYTES;
use crate::config::OciRuntime;
use crate::id::ContainerId;

/// Programs that are kept. A node has a few profiles, each in some variants by capabilities.
const KEPT: usize = 32;
/// An instruction of a filter, and how many the kernel takes (`BPF_MAXINSNS`).
const INSTRUCTION: usize = 8;
const LONGEST: usize = 4096 * INSTRUCTION;

/// The filters that runtimes compiled so far.
#[derive(Debug, Default)]
pub(crate) struct SeccompPrograms {
    /// The newest last.
    known: Mutex<VecDeque<(Key, Option<Arc<str>>)>>,
}

/// Which runtime compiled what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    binary: PathBuf,
    /// Device, inode and time of change: another build of the runtime compiles for itself.
    identity: (u64, u64, i64, i64),
    profile: String,
}

/// What to do about a container's filter.
#[derive(Debug)]
pub(crate) enum Filter {
    /// The runtime compiles it, or there is none.
    Plain,
    /// Compiled before; base64.
    Ready(Arc<str>),
    /// The runtime compiles it, and may leave a program for others.
    Unknown(Key),
}

impl SeccompPrograms {
    /// Looks for the compiled form of a profile.
    pub(crate) fn find(&self, runtime: &OciRuntime, profile: Option<&LinuxSeccomp>) -> Filter {
        let Some(key) = profile.and_then(|profile| Key::of(runtime, profile)) else { return Filter::Plain };
        let known = lock(&self.known);
        match known.iter().find(|(other, _)| *other == key) {
            Some((_, Some(program))) => Filter::Ready(Arc::clone(program)),
            Some((_, None)) => Filter::Plain,
            None => Filter::Unknown(key),
        }
    }

    /// Takes over what the runtime compiled for a container that it has just created.
    pub(crate) fn learn(&self, key: Key, runtime: &OciRuntime, id: &ContainerId) {
        let program =
            read(&runtime.root.join(id.as_str()).join("seccomp.bpf")).ok().map(|bytes| STANDARD.encode(bytes).into());
        let mut known = lock(&self.known);
        if known.iter().any(|(other, _)| *other == key) {
            return;
        }
        if known.len() >= KEPT {
            known.pop_front();
        }
        known.push_back((key, program));
    }
}

impl Key {
    fn of(runtime: &OciRuntime, profile: &LinuxSeccomp) -> Option<Self> {
        // A supervisor's profile has a socket beside the program.
        let supervised = profile.listener_path().is_some()
            || profile.syscalls().iter().flatten().any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify);
        if supervised {
            return None;
        }
        let of = fs::metadata(&runtime.path).ok()?;
        Some(Self {
            binary: runtime.path.clone(),
            identity: (of.dev(), of.ino(), of.ctime(), of.ctime_nsec()),
            profile: serde_json::to_string(profile).ok().filter(|text| text.len() <= KEPT_PROFILE_BYTES)?,
        })
    }
}

/// A program, if the file has one.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.is_empty() || bytes.len() > LONGEST || !bytes.len().is_multiple_of(INSTRUCTION) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(action: LinuxSeccompAction) -> LinuxSeccomp {
        let mut profile = LinuxSeccomp::default();
        profile.set_default_action(action);
        profile
    }

    struct RuntimeDir {
        _dir: tempfile::TempDir,
        runtime: OciRuntime,
        id: ContainerId,
    }

    fn dir(program: Option<&[u8]>) -> RuntimeDir {
        let dir = tempfile::tempdir().unwrap();
        let runtime = crate::samples::runtime(dir.path().join("crun"), dir.path().join("root"));
        let id = ContainerId::random().unwrap();
        fs::write(&runtime.path, "one").unwrap();
        let state = runtime.root.join(id.as_str());
        fs::create_dir_all(&state).unwrap();
        if let Some(program) = program {
            fs::write(state.join("seccomp.bpf"), program).unwrap();
        }
        RuntimeDir { _dir: dir, runtime, id }
    }

    fn learned(dir: &RuntimeDir, programs: &SeccompPrograms, profile: &LinuxSeccomp) -> Filter {
        if let Filter::Unknown(key) = programs.find(&dir.runtime, Some(profile)) {
            programs.learn(key, &dir.runtime, &dir.id);
        }
        programs.find(&dir.runtime, Some(profile))
    }

    #[test]
    fn a_program_serves_the_same_profile_of_the_same_runtime() {
        let dir = dir(Some(&[7; 16]));
        let programs = SeccompPrograms::default();
        let errno = profile(LinuxSeccompAction::ScmpActErrno);
        assert!(matches!(programs.find(&dir.runtime, Some(&errno)), Filter::Unknown(_)));
        let Filter::Ready(program) = learned(&dir, &programs, &errno) else { panic!("not learned") };
        assert_eq!(STANDARD.decode(&*program).unwrap(), [7; 16]);
        let kill = profile(LinuxSeccompAction::ScmpActKill);
        assert!(matches!(programs.find(&dir.runtime, Some(&kill)), Filter::Unknown(_)));
        fs::remove_file(&dir.runtime.path).unwrap();
        fs::write(&dir.runtime.path, "another build").unwrap();
        assert!(matches!(programs.find(&dir.runtime, Some(&errno)), Filter::Unknown(_)));
        assert!(matches!(programs.find(&dir.runtime, None), Filter::Plain));
    }

    #[test]
    fn what_is_no_program_is_not_taken_and_not_read_again() {
        let errno = profile(LinuxSeccompAction::ScmpActErrno);
        for content in [None, Some(&[][..]), Some(&[1; 9]), Some(&[0; LONGEST + INSTRUCTION])] {
            let (dir, programs) = (dir(content), SeccompPrograms::default());
            assert!(matches!(learned(&dir, &programs, &errno), Filter::Plain), "{:?}", content.map(<[u8]>::len));
        }
    }

    #[test]
    fn supervised_profiles_are_left_alone() {
        let (dir, programs) = (dir(Some(&[7; 8])), SeccompPrograms::default());
        let mut listening = profile(LinuxSeccompAction::ScmpActErrno);
        listening.set_listener_path(Some("/run/listener".into()));
        assert!(matches!(programs.find(&dir.runtime, Some(&listening)), Filter::Plain));
    }

    #[test]
    fn the_oldest_gives_way() {
        let (dir, programs) = (dir(Some(&[7; 8])), SeccompPrograms::default());
        let of = |number: u32| {
            let mut profile = profile(LinuxSeccompAction::ScmpActErrno);
            profile.set_default_errno_ret(Some(number));
            profile
        };
        for number in 0..=u32::try_from(KEPT).unwrap() {
            assert!(matches!(learned(&dir, &programs, &of(number)), Filter::Ready(_)));
        }
        assert!(matches!(programs.find(&dir.runtime, Some(&of(0))), Filter::Unknown(_)));
        assert!(matches!(programs.find(&dir.runtime, Some(&of(1))), Filter::Ready(_)));
    }
}
