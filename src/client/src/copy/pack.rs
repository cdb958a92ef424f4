//! Files of this node become an archive for a container.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::error::CopyError;
use super::extract::LeftOut;

/// Writes a file or folder, under another name, and answers what it left out. Links stay links.
pub(crate) fn pack(from: &Path, name: &Path, to: impl Write) -> Result<LeftOut, CopyError> {
    let (mut builder, mut left_out) = (Builder::new(to), LeftOut::default());
    let mut waiting: Vec<(PathBuf, PathBuf)> = vec![(from.to_owned(), name.to_owned())];
    while let Some((path, name)) = waiting.pop() {
        let failed = |source| CopyError::Read { path: path.display().to_string(), source };
        // What the user names may be a link; what is in it stays what it is.
        let is_named = path == from;
        let found = if is_named { fs::metadata(&path) } else { fs::symlink_metadata(&path) }.map_err(failed)?;
        let kind = found.file_type();
        if kind.is_dir() {
            let mut header = header(&found, EntryType::Directory);
            builder.append_data(&mut header, &name, io::empty()).map_err(failed)?;
            let mut below = Vec::new();
            for entry in path.read_dir().map_err(failed)? {
                let entry = entry.map_err(failed)?;
                below.push((entry.path(), name.join(entry.file_name())));
            }
            // The last goes first.
            below.sort_by(|one, other| other.cmp(one));
            waiting.extend(below);
        } else if kind.is_file() {
            let file = File::open(&path).map_err(failed)?;
            let mut header = header(&found, EntryType::Regular);
            header.set_size(found.len());
            // As many bytes as the header says, whatever becomes of the file meanwhile.
            let content = file.chain(io::repeat(0)).take(found.len());
            builder.append_data(&mut header, &name, content).map_err(failed)?;
        } else if kind.is_symlink() {
            let mut header = header(&found, EntryType::Symlink);
            builder.append_link(&mut header, &name, fs::read_link(&path).map_err(failed)?).map_err(failed)?;
        } else {
            left_out.add(path.as_os_str().as_encoded_bytes(), "it is a device, a pipe or a socket");
        }
    }
    let failed = |source| CopyError::Read { path: from.display().to_string(), source };
    builder.into_inner().and_then(|mut to| to.flush()).map_err(failed)?;
    Ok(left_out)
}

/// Without an owner: files belong to whoever runs tar in the container.
fn header(found: &Metadata, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(found.mode() & 0o777);
    header.set_mtime(u64::try_from(found.mtime()).unwrap_or_default());
    header.set_size(0);
    header
}
