//! The shim's own log: JSON lines in a file of the pod's bundle. Never a pipe to the daemon, which may go away.
//! Bounded: a full file becomes the old one, and the one before that is gone.

use std::fmt::{Display, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use peapod_sys::sync::lock;

use crate::clock;

/// When a file is full.
const LIMIT: u64 = 1 << 20;

static LOG: OnceLock<Mutex<Log>> = OnceLock::new();

struct Log {
    path: PathBuf,
    file: File,
    size: u64,
    pod: String,
}

type Fields<'a> = &'a [(&'static str, &'a dyn Display)];

/// Opens `shim.log` in the bundle. Without it the shim works and says nothing.
pub(crate) fn open(bundle: &Path, pod: &str) {
    let path = bundle.join("shim.log");
    if let Ok(file) = append(&path) {
        let size = file.metadata().map_or(0, |data| data.len());
        // A second call keeps the first log.
        let _ = LOG.set(Mutex::new(Log { path, file, size, pod: pod.to_owned() }));
    }
}

/// Something normal that one wants to find later.
pub(crate) fn info(message: &str, fields: Fields<'_>) {
    write("INFO", message, fields);
}

/// Something that went wrong and was dealt with.
pub(crate) fn warn(message: &str, fields: Fields<'_>) {
    write("WARN", message, fields);
}

/// Something that was not dealt with.
pub(crate) fn error(message: &str, fields: Fields<'_>) {
    write("ERROR", message, fields);
}

fn write(level: &str, message: &str, fields: Fields<'_>) {
    let Some(log) = LOG.get() else { return };
    let mut log = lock(log);
    let line = line(level, message, &log.pod, fields);
    if log.size + line.len() as u64 > LIMIT {
        let old = log.path.with_extension("log.1");
        if std::fs::rename(&log.path, old).is_ok()
            && let Ok(file) = append(&log.path)
        {
            log.file = file;
            log.size = 0;
        }
    }
    // A full disk must not stop a pod.
    if log.size + line.len() as u64 <= LIMIT && log.file.write_all(line.as_bytes()).is_ok() {
        log.size += line.len() as u64;
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn line(level: &str, message: &str, pod: &str, fields: Fields<'_>) -> String {
    let mut text = format!("{{\"time\":\"{}\",\"level\":\"{level}\"", clock::rfc3339(clock::now_ns()));
    for (key, value) in [("message", &message as &dyn Display), ("pod", &pod)].iter().chain(fields) {
        // Writing to a string can't fail.
        let _ = write!(text, ",\"{key}\":\"");
        escape(&value.to_string(), &mut text);
        text.push('"');
    }
    text.push_str("}\n");
    text
}

fn escape(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes_what_json_can_not_hold() {
        let text = super::line("WARN", "say \"hi\"", "p1", &[("path", &"a\\b\nc\u{1}")]);
        let tail = text.split_once(",\"level\"").unwrap().1;
        assert_eq!(tail, ":\"WARN\",\"message\":\"say \\\"hi\\\"\",\"pod\":\"p1\",\"path\":\"a\\\\b\\nc\\u0001\"}\n");
    }
}
