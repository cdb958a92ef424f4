//! Partial blobs of pulls that nobody runs any more: kept for the next pull, within bounds of age and size.

use super::claim::Claims;
use super::layer::forget;
use crate::digest::Digest;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What partial blobs may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) age: Duration,
    pub(super) bytes: u64,
}

struct Partial {
    path: PathBuf,
    digest: Digest,
    age: Duration,
    /// On disk.
    bytes: u64,
}

/// Drops what is too old, and the oldest of what is too much. What somebody works on stays. Blocks.
pub(super) fn prune(ingest: &Path, claims: &Claims<Digest>, keep: Keep) -> io::Result<()> {
    let mut partials = Vec::new();
    for entry in std::fs::read_dir(ingest)? {
        let path = entry?.path();
        let Some(digest) =
            path.file_name().and_then(|name| name.to_str()?.strip_suffix(".part")).and_then(Digest::from_hex)
        else {
            continue;
        };
        // It may have been finished since it was listed.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        partials.push(Partial { path, digest, age, bytes: metadata.blocks() * 512 });
    }
    partials.sort_by_key(|partial| partial.age);
    let mut total: u64 = 0;
    for partial in partials {
        let Some(_claim) = claims.try_claim(&partial.digest) else { continue };
        total = total.saturating_add(partial.bytes);
        if partial.age > keep.age || total > keep.bytes {
            total -= partial.bytes;
            forget(&partial.path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Keep, prune};
    use crate::digest::Digest;
    use crate::fetch::claim::Claims;
    use std::fs::{File, FileTimes};
    use std::time::{Duration, SystemTime};

    #[tokio::test]
    async fn the_youngest_stay_and_those_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let digest = |number: u8| Digest::of(&[number]);
        let path = |number: u8| dir.path().join(format!("{}.part", digest(number).hex()));
        for number in 0..6 {
            std::fs::write(path(number), vec![1; 8192]).unwrap();
            let then = SystemTime::now() - Duration::from_secs(100 * u64::from(number));
            File::options()
                .write(true)
                .open(path(number))
                .unwrap()
                .set_times(FileTimes::new().set_modified(then))
                .unwrap();
        }
        std::fs::create_dir(dir.path().join("scratch")).unwrap();
        let claims = Claims::default();
        let claim = claims.claim(&digest(5)).await;
        let left = || (0..6).filter(|number| path(*number).exists()).collect::<Vec<_>>();
        prune(dir.path(), &claims, Keep { age: Duration::from_secs(350), bytes: 1 << 20 }).unwrap();
        assert_eq!(left(), [0, 1, 2, 3, 5]);
        prune(dir.path(), &claims, Keep { age: Duration::from_secs(350), bytes: 2 * 8192 }).unwrap();
        assert_eq!(left(), [0, 1, 5]);
        drop(claim);
        prune(dir.path(), &claims, Keep { age: Duration::from_secs(350), bytes: 0 }).unwrap();
        assert!(left().is_empty() && dir.path().join("scratch").exists());
    }
}
