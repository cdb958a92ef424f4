//! Sources of mounts, looked up on the node.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use peapod_spec::container::{ContainerMount, MountSource, Propagation};
use peapod_spec::{Config, POD_FILES, ResolvedMount, SourcePropagation, check_propagation};
use peapod_sys::mountinfo::Mounts;
use peapod_text::excerpt;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::host_folder::{self, Absent};
use super::image_mounts::ImageMounts;
use super::node_change::NodeChange;
use crate::error::Error;

/// Mount points and how they propagate.
type Table = HashMap<PathBuf, SourcePropagation>;

/// Follows each source's symbolic links. One that isn't there is taken as the folder that [`make_absent`] makes of it.
pub(super) fn resolve(mounts: &[ContainerMount], images: &ImageMounts) -> Result<Vec<ResolvedMount>, Error> {
    let table = table_for(mounts).map_err(|error| Error::failed("read the node's mounts", &error))?;
    let one = |(index, mount): (usize, &ContainerMount)| match &mount.source {
        MountSource::Host(path) => of_node(index, mount, path, &table),
        MountSource::Image(source) => images.resolve((index, mount), source),
    };
    mounts.iter().enumerate().map(one).collect()
}

/// The node's mounts, where one of the container's needs to know about them: the table can be long.
fn table_for(mounts: &[ContainerMount]) -> io::Result<Table> {
    if mounts.iter().all(|mount| mount.propagation == Propagation::Private) {
        return Ok(Table::new());
    }
    propagations(Mounts::open()?)
}

/// Makes sources that aren't there, as folders, and says so in the log.
pub(super) fn make_absent(mounts: &[ContainerMount]) -> Result<(), Error> {
    for (index, mount) in mounts.iter().enumerate() {
        if let Some(path) = mount.host_path().filter(|path| is_absent(path)) {
            make(path).map_err(|error| invalid(index, mount, path, &error))?;
        }
    }
    Ok(())
}

fn make(path: &Path) -> Result<(), host_folder::FolderError> {
    host_folder::go(path, Absent::Make)?;
    tracing::info!(path = %path.display(), "made a host path that was not there, as a folder");
    Ok(())
}

/// Whether no source of a configuration has a symbolic link on its way now, and all propagate as they must. One that
/// has vanished is made again.
pub(super) fn verify(config: &Config, mounts: &[ContainerMount]) -> Result<(), NodeChange> {
    let field = |index: usize| format!("mounts[{index}].host_path");
    for (index, source) in config.sources(mounts) {
        let changed =
            |reason: String| NodeChange { field: field(index), reason: format!("{}: {reason}", excerpt(source)) };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match rustix::fs::openat2(rustix::fs::CWD, source, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
            Ok(_) => {}
            Err(Errno::NOENT) => make(source).map_err(|error| changed(error.to_string()))?,
            Err(Errno::LOOP) => return Err(changed("there is a symbolic link on this way now".to_owned())),
            Err(error) => return Err(changed(io::Error::from(error).to_string())),
        }
    }
    let table = table_for(mounts).map_err(|error| NodeChange { field: field(0), reason: error.to_string() })?;
    for (index, source) in config.sources(mounts) {
        let Some(mount) = mounts.get(index) else { continue };
        check_propagation(mount, source, propagation(source, &table))
            .map_err(|error| NodeChange { field: field(index), reason: error.to_string() })?;
    }
    Ok(())
}

fn is_absent(path: &Path) -> bool {
    std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn invalid(index: usize, mount: &ContainerMount, path: &Path, error: &dyn std::error::Error) -> Error {
    let (host, container) = (excerpt(path), excerpt(&mount.container_path));
    Error::Invalid { field: format!("mounts[{index}].host_path"), reason: format!("{host}: {error} (for {container})") }
}

fn of_node(index: usize, mount: &ContainerMount, path: &Path, table: &Table) -> Result<ResolvedMount, Error> {
    let source = match std::fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            host_folder::go(path, Absent::Leave).map_err(|error| invalid(index, mount, path, &error))?
        }
        found => found.map_err(|error| invalid(index, mount, path, &error))?,
    };
    let propagation = propagation(&source, table);
    let lacks = if mount.readonly { lacks(mount, &source) } else { Vec::new() };
    Ok(ResolvedMount { source, lacks, propagation })
}

fn lacks(mount: &ContainerMount, source: &Path) -> Vec<&'static str> {
    let below = |file: &&str| match Path::new(file).strip_prefix(&mount.container_path) {
        Ok(rest) => !rest.as_os_str().is_empty() && std::fs::symlink_metadata(source.join(rest)).is_err(),
        Err(_) => false,
    };
    POD_FILES.into_iter().filter(below).collect()
}

/// Of the mount that holds `path`: that with the longest mount point.
fn propagation(path: &Path, table: &Table) -> SourcePropagation {
    path.ancestors().find_map(|point| table.get(point)).copied().unwrap_or_default()
}

/// Of equal mount points the one mounted last counts.
fn propagations(mut mounts: Mounts<impl BufRead>) -> io::Result<Table> {
    let mut table = Table::new();
    while let Some(mount) = mounts.next_mount()? {
        let propagation = match (mount.is_shared(), mount.is_slave()) {
            (true, _) => SourcePropagation::Shared,
            (false, true) => SourcePropagation::Slave,
            (false, false) => SourcePropagation::Private,
        };
        table.insert(mount.target().into_owned(), propagation);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn propagation_is_that_of_the_innermost_mount() {
        let table = Mounts::new(
            b"22 1 0:1 / / rw shared:1 - ext4 /dev/vda rw\n\
             30 22 0:2 / /mnt/a\\040b rw - tmpfs t rw\n\
             31 22 0:3 / /srv rw,nosuid master:3 - tmpfs t rw\n"
                .as_slice(),
        );
        let table = propagations(table).unwrap();
        assert_eq!(propagation(Path::new("/etc"), &table), SourcePropagation::Shared);
        assert_eq!(propagation(Path::new("/mnt/a b/c"), &table), SourcePropagation::Private);
        assert_eq!(propagation(Path::new("/srv/x"), &table), SourcePropagation::Slave);
        assert_eq!(propagation(Path::new("/srvx"), &table), SourcePropagation::Shared);
    }
}
