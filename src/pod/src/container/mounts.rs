//! Sources of mounts, looked up on the node.

use std::path::{Path, PathBuf};

use peapod_spec::container::{Mount, Propagation};
use peapod_spec::{ResolvedMount, SourcePropagation};

use crate::error::Error;

/// Follows each source's symbolic links. A source that isn't there is an error: it is never made.
pub(super) fn resolve(mounts: &[Mount]) -> Result<Vec<ResolvedMount>, Error> {
    // Read only for mounts that need it: it can be long.
    let table = if mounts.iter().any(|mount| mount.propagation != Propagation::Private) {
        let table = std::fs::read_to_string("/proc/self/mountinfo");
        parse(&table.map_err(|error| Error::failed("read /proc/self/mountinfo", &error))?)
    } else {
        Vec::new()
    };
    mounts.iter().enumerate().map(|(index, mount)| one(index, mount, &table)).collect()
}

fn one(index: usize, mount: &Mount, table: &[(PathBuf, SourcePropagation)]) -> Result<ResolvedMount, Error> {
    let invalid = |error: std::io::Error| Error::Invalid {
        field: format!("mounts[{index}].host_path"),
        reason: format!(
            "{}: {error} (for {}; the runtime does not make it)",
            mount.host_path.display(),
            mount.container_path.display()
        ),
    };
    let source = std::fs::canonicalize(&mount.host_path).map_err(invalid)?;
    let is_dir = std::fs::metadata(&source).map_err(invalid)?.is_dir();
    let propagation = propagation(&source, table);
    Ok(ResolvedMount { source, is_dir, propagation })
}

/// Of the mount that holds `path`: of those with the longest mount point, the one mounted last.
fn propagation(path: &Path, table: &[(PathBuf, SourcePropagation)]) -> SourcePropagation {
    table
        .iter()
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.as_os_str().len())
        .map(|(_, propagation)| *propagation)
        .unwrap_or_default()
}

/// Mount points and their propagation, proc_pid_mountinfo(5).
fn parse(mountinfo: &str) -> Vec<(PathBuf, SourcePropagation)> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let point = unescape(fields.nth(4)?);
            let optional: Vec<&str> = fields.skip(1).take_while(|field| *field != "-").collect();
            let has = |tag: &str| optional.iter().any(|field| field.starts_with(tag));
            let propagation = match (has("shared:"), has("master:")) {
                (true, _) => SourcePropagation::Shared,
                (false, true) => SourcePropagation::Slave,
                (false, false) => SourcePropagation::Private,
            };
            Some((PathBuf::from(point), propagation))
        })
        .collect()
}

/// Blanks, tabs, newlines and backslashes are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        match rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagation_is_that_of_the_innermost_mount() {
        let table = parse(
            "22 1 0:1 / / rw shared:1 - ext4 /dev/vda rw\n\
             30 22 0:2 / /mnt/a\\040b rw - tmpfs t rw\n\
             31 22 0:3 / /srv rw,nosuid master:3 - tmpfs t rw\n",
        );
        assert_eq!(propagation(Path::new("/etc"), &table), SourcePropagation::Shared);
        assert_eq!(propagation(Path::new("/mnt/a b/c"), &table), SourcePropagation::Private);
        assert_eq!(propagation(Path::new("/srv/x"), &table), SourcePropagation::Slave);
        assert_eq!(propagation(Path::new("/srvx"), &table), SourcePropagation::Shared);
    }
}
