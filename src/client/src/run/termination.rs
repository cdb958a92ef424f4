//! What a container leaves as its last words: a file that it may write, else the end of its log.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::bounds::{TERMINATION_BYTES, TERMINATION_LOG_BYTES, TERMINATION_LOG_LINES};
use crate::logs::Joiner;
use crate::manifest::Container;

/// In the pod's folder.
const FOLDER: &str = "termination";

/// The file of one start of a container.
pub(super) fn file(dir: &Path, container: &str, attempt: u32) -> PathBuf {
    dir.join(FOLDER).join(format!("{container}-{attempt}"))
}

/// Where one start of a container leaves them, on this node.
#[derive(Clone, Debug)]
pub(super) struct LastWords {
    file: PathBuf,
    log: PathBuf,
    or_log: bool,
}

impl LastWords {
    /// Makes the file, and says where it is; nothing if a volume is in its place.
    pub(super) fn prepare(
        dir: &Path,
        container: &Container,
        attempt: u32,
        log: PathBuf,
    ) -> io::Result<(Self, Option<PathBuf>)> {
        let termination = &container.life.termination;
        let folder = dir.join(FOLDER);
        let this = Self { file: file(dir, &container.name, attempt), log, or_log: termination.or_log };
        if container.mounts.iter().any(|mount| mount.path.trim_end_matches('/') == termination.path) {
            return Ok((this, None));
        }
        fs::create_dir_all(&folder)?;
        drop(File::create(&this.file)?);
        // Whatever the umask is: containers run as any user.
        fs::set_permissions(&this.file, fs::Permissions::from_mode(0o666))?;
        let file = this.file.clone();
        Ok((this, Some(file)))
    }

    /// What is there after an end; that nothing can be read is the same as nothing.
    pub(super) fn read(&self, has_failed: bool) -> String {
        let text = tail(&self.file, TERMINATION_BYTES).unwrap_or_default();
        if text.is_empty() && has_failed && self.or_log {
            return end_of_log(&self.log).unwrap_or_default();
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The end of a file.
fn tail(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit as u64)))?;
    let mut text = Vec::new();
    file.take(limit as u64).read_to_end(&mut text)?;
    Ok(text)
}

fn end_of_log(path: &Path) -> io::Result<String> {
    // Each line has its time and stream before it, and may hold a single byte.
    let raw = tail(path, TERMINATION_LOG_BYTES + TERMINATION_LOG_LINES * 64)?;
    let mut joiner = Joiner::default();
    let mut lines: Vec<Vec<u8>> =
        raw.split(|byte| *byte == b'\n').filter_map(|line| joiner.push(line)).map(|line| line.text).collect();
    lines.extend(joiner.rest().into_iter().map(|line| line.text));
    let first = lines.len().saturating_sub(TERMINATION_LOG_LINES);
    let text = lines[first..].join(&b'\n');
    Ok(String::from_utf8_lossy(&text[text.len().saturating_sub(TERMINATION_LOG_BYTES)..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::PullPolicy;

    fn container(or_log: bool) -> Container {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: x}]}}";
        let mut container = crate::manifest::read(text).unwrap().containers.remove(0);
        container.life.termination.or_log = or_log;
        container.pull = PullPolicy::Never;
        container
    }

    #[test]
    fn the_end_of_the_file_comes_before_the_end_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        let lines: Vec<String> = (0..300).map(|n| format!("2026-01-01T00:00:00.000000001Z stderr F {n}\n")).collect();
        fs::write(&log, lines.concat()).unwrap();
        let prepare = |or_log| LastWords::prepare(dir.path(), &container(or_log), 3, log.clone()).unwrap();
        let (words, file) = prepare(true);
        let said = words.read(true);
        assert!(said.starts_with("220\n221\n") && said.ends_with("\n299"), "{said}");
        assert_eq!((words.read(false).as_str(), prepare(false).0.read(true).as_str()), ("", ""));
        fs::write(file.unwrap(), format!("{}end", "x".repeat(5000))).unwrap();
        let said = words.read(true);
        assert_eq!((said.len(), said.ends_with("xend")), (TERMINATION_BYTES, true));
    }
}
