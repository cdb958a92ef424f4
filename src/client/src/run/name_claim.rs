//! That a pod of some name is about to be made: `names/<runtime>.<namespace>/<name>` below the folder of runs, locked
//! from the look whether there is one until the runtime has the pod. Of two runs that want one name of one runtime at a
//! time one gets it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::{RunError, VolumeError};
use crate::bounds::LEFTOVERS;
use crate::manifest::Pod;

/// Beside the folders of pods.
const NAMES: &str = "names";
/// How often a file is made whose place others remove meanwhile.
const TRIES: usize = 16;
/// Between two looks whether somebody else has it.
const MOMENT: Duration = Duration::from_millis(2);

/// A name that nobody else has meanwhile. Its file goes with it.
pub(super) struct PodNameClaim {
    path: PathBuf,
    /// Locked.
    _lock: File,
}

impl PodNameClaim {
    /// Refused if another one has it at the runtime of this socket.
    pub(super) fn of(base: &Path, endpoint: &str, pod: &Pod) -> Result<Self, RunError> {
        let folder = format!("{:016x}.{}", hashed(endpoint), pod.namespace);
        let path = base.join(NAMES).join(folder).join(&pod.name);
        let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
        match claim(&path) {
            Ok(Some(lock)) => Ok(Self { path, _lock: lock }),
            Ok(None) => Err(RunError::BeingMade { namespace, name, endpoint: endpoint.to_owned() }),
            Err(source) => Err(VolumeError::Make { path, source }.into()),
        }
    }
}

impl Drop for PodNameClaim {
    fn drop(&mut self) {
        // While it is locked: nobody else's goes.
        let _ = fs::remove_file(&self.path);
        // Not empty while there are others.
        let _ = self.path.ancestors().skip(1).take(2).try_for_each(fs::remove_dir);
    }
}

/// Removes what killed runs have left of names: files that nobody holds.
pub(super) fn forget_lost(base: &Path) -> io::Result<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let names = base.join(NAMES);
    for namespace in names.read_dir()?.take(LEFTOVERS) {
        let namespace = namespace?.path();
        for name in namespace.read_dir()?.take(LEFTOVERS) {
            let name = name?.path();
            let Ok(file) = File::options().read(true).custom_flags(flags).open(&name) else { continue };
            // While it is locked: nobody takes it up.
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && file.metadata()?.nlink() > 0 {
                fs::remove_file(&name)?;
            }
        }
        // Not empty while there are others.
        let _ = fs::remove_dir(&namespace);
    }
    let _ = fs::remove_dir(&names);
    Ok(())
}

/// FNV-1a, which is the same in every version of peapod. Two runtimes that have one hash refuse each other's names
/// while pods are made, as they would without it.
fn hashed(endpoint: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    endpoint.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The locked file; nothing if somebody else has it.
fn claim(path: &Path) -> io::Result<Option<File>> {
    let mut is_held = false;
    for _ in 0..TRIES {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap_or(path));
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let open =
            || File::options().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path);
        let file = match made.and_then(|()| open()) {
            // The last of others has taken the folder with it this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Who looks whether somebody holds it holds it for a moment, too.
            Err(Errno::WOULDBLOCK) => {
                is_held = true;
                std::thread::sleep(MOMENT);
            }
            Err(error) => return Err(error.into()),
            Ok(()) if file.metadata()?.nlink() > 0 => return Ok(Some(file)),
            Ok(()) => {}
        }
    }
    if is_held { Ok(None) } else { Err(io::Error::other("somebody removes it again and again")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "/run/x.sock";

    #[test]
    fn a_name_is_had_by_one_at_a_time_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: m, image: x}]}}";
        let pod = crate::manifest::read(text).unwrap();
        let other = Pod { name: "b".into(), ..pod.clone() };
        let own = PodNameClaim::of(dir.path(), HERE, &pod).unwrap();
        let refused = PodNameClaim::of(dir.path(), HERE, &pod).err().unwrap().to_string();
        assert!(refused.contains("default/a is being made by another"), "{refused}");
        assert!(refused.contains("peapod --endpoint /run/x.sock ps"), "{refused}");
        // Another runtime knows nothing of it.
        drop(PodNameClaim::of(dir.path(), "/run/y.sock", &pod).unwrap());
        drop(PodNameClaim::of(dir.path(), HERE, &other).unwrap());
        // A killed run's.
        fs::write(own.path.with_file_name("c"), "").unwrap();
        fs::create_dir(dir.path().join(NAMES).join("empty")).unwrap();
        forget_lost(dir.path()).unwrap();
        let left: Vec<_> = dir.path().join(NAMES).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.len() == 1 && left[0].read_dir().unwrap().count() == 1, "{left:?}");
        drop(own);
        forget_lost(dir.path()).unwrap_err();
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        let won = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        // Beside a sweep.
                        let _ = forget_lost(dir.path());
                        let claim = PodNameClaim::of(dir.path(), HERE, &pod);
                        if claim.is_ok() {
                            assert_eq!(won.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                            won.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }
}
