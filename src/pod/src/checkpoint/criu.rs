//! CRIU: whether it is there, and what it said when it failed. It is run by the OCI runtime alone.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::bounds::CRIU_NOTES;
use crate::error::Error;
use crate::features::Features;

/// Lines of CRIU's that an error has.
const LINES: usize = 4;

/// Refuses what this node can't do with containers of that OCI runtime.
pub(super) fn check(runtime: &Path, features: Features, what: &'static str) -> Result<(), Error> {
    if !features.checkpoints {
        let name = runtime.file_name().unwrap_or(runtime.as_os_str()).to_string_lossy();
        let reason = format!(
            "the OCI runtime {name} does not say that it can do checkpoints (`{name} features`): use runc, or a crun \
             that is built with CRIU"
        );
        return Err(Error::Unsupported { what, reason });
    }
    find(std::env::var_os("PATH").as_deref()).map(drop).ok_or_else(|| {
        let reason = "no program `criu` is on the PATH of peapod: install the package criu, with iptables".to_owned();
        Error::Unsupported { what, reason }
    })
}

fn find(path: Option<&OsStr>) -> Option<PathBuf> {
    let is_program = |file: &PathBuf| {
        let found = file.metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(path?).map(|folder| folder.join("criu")).find(is_program)
}

/// The same error with CRIU's own words, of which the OCI runtime tells a path alone.
pub(crate) fn explain(failure: Error, notes: &Path) -> Error {
    let more = |text: String| match last_errors(notes) {
        Some(words) => format!("{text}; CRIU said: {words}"),
        None => text,
    };
    match failure {
        Error::Runtime(text) => Error::Runtime(more(text)),
        Error::Failed { step, reason } => Error::Failed { step, reason: more(reason) },
        other => other,
    }
}

/// The last lines of a log that tell an error.
fn last_errors(notes: &Path) -> Option<String> {
    let mut file = File::open(notes).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(CRIU_NOTES))).ok()?;
    let mut bytes = Vec::new();
    file.take(CRIU_NOTES).read_to_end(&mut bytes).ok()?;
    errors_of(&String::from_utf8_lossy(&bytes))
}

fn errors_of(text: &str) -> Option<String> {
    let errors = text.lines().filter_map(|line| line.split_once("Error ").map(|(_, rest)| rest.trim()));
    // What its helpers exited with is said after what they said.
    let mut errors: Vec<_> = errors.filter(|line| !line.contains("exited, status=")).collect();
    errors.drain(..errors.len().saturating_sub(LINES));
    (!errors.is_empty()).then(|| errors.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let refused = check(Path::new("/usr/bin/crun"), Features::default(), "a checkpoint").unwrap_err().to_string();
        assert!(refused.contains("a checkpoint") && refused.contains("crun features"), "{refused}");
        let dir = tempfile::tempdir().unwrap();
        let path = |dir: &Path| find(Some(dir.as_os_str()));
        assert_eq!(path(dir.path()), None);
        let program = dir.path().join("criu");
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(path(dir.path()), None);
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(path(dir.path()), Some(program));
        assert_eq!(find(None), None);
    }

    #[test]
    fn errors_of_a_log() {
        let log = "(00.000583) Error (criu/util.c:642): exited, status=1\n(00.005) vdso: nbucket 3\n\
                   (00.005916) Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds\n\
                   Error (criu/kerndat.c:1615): kerndat_vdso_fill_symtable failed\n(00.005951) files stat\n";
        let words = "(criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds; (criu/kerndat.c:1615): \
                     kerndat_vdso_fill_symtable failed";
        assert_eq!(errors_of(log).unwrap(), words);
        assert_eq!(errors_of("(00.1) all is well\n"), None);
        assert_eq!(errors_of(&log.repeat(100)).unwrap().split("; ").count(), LINES);
        let dir = tempfile::tempdir().unwrap();
        let notes = dir.path().join("dump.log");
        let plain = Error::Runtime("criu failed".to_owned());
        assert_eq!(explain(plain.clone(), &notes).to_string(), "criu failed");
        std::fs::write(&notes, "x".repeat(1 << 20) + "\n" + log).unwrap();
        assert_eq!(explain(plain, &notes).to_string(), format!("criu failed; CRIU said: {words}"));
    }
}
