//! `peapod import`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use futures_util::{Stream, StreamExt, stream};
use peapod_api::own::import_request::Part;
use peapod_api::own::{ImportOptions, ImportRequest, ImportedImage};
use tokio::sync::{mpsc, oneshot};

use crate::bounds::IMPORT_PIECE;
use crate::connect::{CriClient, call};
use crate::image_cli::ImportArgs;
use crate::units;

/// As long as an archive may take to come; Ctrl-C ends it sooner, and the runtime forgets it then.
const IMPORT: Duration = Duration::from_secs(24 * 3600);
/// Pieces that wait for the runtime to take them.
const WAITING: usize = 4;
/// The blobs of a layout.
const BLOBS: &str = "blobs/sha256";

type Pieces = mpsc::Receiver<io::Result<Vec<u8>>>;

/// Brings an archive to the runtime, and prints what was in it.
pub(crate) async fn import(connection: &CriClient, args: &ImportArgs) -> anyhow::Result<()> {
    let mut pieces = read(&args.source).with_context(|| format!("cannot read {}", args.source.display()))?;
    // A pipe may be silent for long before it begins; the runtime would give the call up.
    let begin = pieces.recv().await.with_context(|| format!("{} is empty", args.source.display()))?;
    let begin = begin.with_context(|| format!("cannot read {}", args.source.display()))?;
    let options = ImportOptions {
        name: args.name.clone().unwrap_or_default(),
        platform: args.platform.clone().unwrap_or_default(),
        pin: args.pin,
    };
    let (failed, failure) = oneshot::channel();
    let begun = begin.len() as u64;
    let parts = stream::iter([Part::Options(options), Part::Piece(begin)]).chain(rest(pieces, begun, failed));
    let parts = parts.map(|part| ImportRequest { part: Some(part) });
    let mut store = connection.store.clone();
    let imported = tokio::select! {
        imported = call("Import", IMPORT, store.import(parts)) => imported,
        // The call is dropped, and with it what has come.
        Ok(error) = failure => return Err(error).with_context(|| format!("cannot read {}", args.source.display())),
    };
    let instead = "containerd's images are imported with `ctr --namespace k8s.io images import`";
    let imported = imported.map_err(|error| super::own_service(connection, error, "import images", instead))?;
    let lines: String = imported.images.iter().map(line).collect();
    Ok(super::print(lines.as_bytes())?)
}

/// What follows on so many bytes, until its end. If it can't be read there is none, and somebody is told.
fn rest(pieces: Pieces, bytes: u64, failed: oneshot::Sender<io::Error>) -> impl Stream<Item = Part> + Send {
    stream::unfold(Some((pieces, bytes, failed)), async |state| {
        let (mut pieces, bytes, failed) = state?;
        match pieces.recv().await {
            None => Some((Part::End(bytes), None)),
            Some(Ok(piece)) => {
                let bytes = bytes + piece.len() as u64;
                Some((Part::Piece(piece), Some((pieces, bytes, failed))))
            }
            Some(Err(error)) => {
                // If nobody waits for it, the call is over.
                let _ = failed.send(error);
                std::future::pending().await
            }
        }
    })
}

fn line(image: &ImportedImage) -> String {
    let names = match &image.names[..] {
        [] => "no name: import it again with --name, or use its id".to_owned(),
        names => names.iter().map(|name| peapod_text::one_line(name)).collect::<Vec<_>>().join(" "),
    };
    let pinned = if image.pinned { ", pinned" } else { "" };
    let was_here = if image.was_here { ", was here" } else { "" };
    format!("{} {names} ({}{pinned}{was_here})\n", peapod_text::one_line(&image.id), units::bytes(image.size))
}

/// Reads a file, a folder or standard input on a thread of its own, no faster than it is taken.
fn read(source: &Path) -> io::Result<Pieces> {
    let (sender, pieces) = mpsc::channel(WAITING);
    let writer = PieceBuffer { sender, piece: Vec::with_capacity(IMPORT_PIECE) };
    let source = source.to_owned();
    if source.as_os_str() == "-" {
        begin(move || copy(io::stdin().lock(), writer))?;
    } else if source.is_dir() {
        let list = ["index.json", "manifest.json"].into_iter().find(|name| source.join(name).is_file());
        list.ok_or_else(|| io::Error::other("this folder is no OCI layout: it has no index.json"))?;
        if !source.join(BLOBS).is_dir() {
            return Err(io::Error::other(format!("this folder is no OCI layout: it has no {BLOBS}")));
        }
        begin(move || pack(&source, writer))?;
    } else {
        let file = File::open(source)?;
        begin(move || copy(file, writer))?;
    }
    Ok(pieces)
}

fn begin(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("archive".to_owned()).spawn(work).map(drop)
}

fn copy(mut from: impl Read, mut to: PieceBuffer) {
    let copied = io::copy(&mut from, &mut to).and_then(|_| to.flush());
    to.end(copied);
}

/// A folder as an archive: its lists, and the blobs that these may name.
fn pack(folder: &Path, to: PieceBuffer) {
    let mut archive = tar::Builder::new(to);
    let packed = write_layout(folder, &mut archive);
    // An error means that nobody takes it any more.
    if let Ok(mut to) = archive.into_inner() {
        let packed = packed.and_then(|()| to.flush());
        to.end(packed);
    }
}

fn write_layout(folder: &Path, archive: &mut tar::Builder<PieceBuffer>) -> io::Result<()> {
    // A link to a blob is one, as build tools make them.
    archive.follow_symlinks(true);
    archive.mode(tar::HeaderMode::Deterministic);
    for name in ["oci-layout", "index.json", "manifest.json"] {
        if folder.join(name).is_file() {
            archive.append_path_with_name(folder.join(name), name)?;
        }
    }
    let blobs = Path::new(BLOBS);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.join(blobs))? {
        names.push(entry?.file_name());
    }
    names.sort();
    for name in names {
        let path = folder.join(blobs).join(&name);
        if path.is_file() {
            archive.append_path_with_name(path, blobs.join(name))?;
        }
    }
    Ok(())
}

/// Makes pieces of what is written.
struct PieceBuffer {
    sender: mpsc::Sender<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
}

impl PieceBuffer {
    fn end(self, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            // Nobody waits for it any more.
            let _ = self.sender.blocking_send(Err(error));
        }
    }
}

impl Write for PieceBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(IMPORT_PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == IMPORT_PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(IMPORT_PIECE));
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_becomes_an_archive_and_a_file_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        assert!(read(dir.path()).unwrap_err().to_string().contains("no index.json"));
        // What `skopeo copy` to `dir:` writes.
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("manifest.json"), "{}").unwrap();
        assert!(read(other.path()).unwrap_err().to_string().contains("no blobs/sha256"));
        std::fs::write(dir.path().join("index.json"), "{}").unwrap();
        std::fs::write(dir.path().join("left out"), "x").unwrap();
        std::fs::write(blobs.join("aa"), vec![1; IMPORT_PIECE]).unwrap();
        std::fs::write(dir.path().join("elsewhere"), "linked").unwrap();
        std::os::unix::fs::symlink("../../elsewhere", blobs.join("bb")).unwrap();
        let archive = taken(dir.path()).await;
        let mut archive = tar::Archive::new(&archive[..]);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().display().to_string(), entry.size())
        });
        let wanted = [("index.json", 2), ("blobs/sha256/aa", IMPORT_PIECE as u64), ("blobs/sha256/bb", 6)];
        assert_eq!(entries.collect::<Vec<_>>(), wanted.map(|(name, size)| (name.to_owned(), size)));
        assert_eq!(taken(&blobs.join("aa")).await, vec![1; IMPORT_PIECE]);
        std::fs::write(blobs.join("empty"), "").unwrap();
        assert!(read(&blobs.join("empty")).unwrap().recv().await.is_none());
    }

    #[tokio::test]
    async fn a_runtime_that_has_no_such_call_is_named_with_another_way() {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = crate::fake::Fake::default().serve(dir.path());
        let connection = CriClient::open(&endpoint).await.unwrap();
        let file = dir.path().join("archive");
        std::fs::write(&file, "x").unwrap();
        let args = ImportArgs { source: file, name: None, platform: None, pin: false };
        let error = import(&connection, &args).await.unwrap_err().to_string();
        assert!(error.contains("can't import images over its socket") && error.contains("ctr"), "{error}");
        let pin = crate::image_cli::PinArgs { images: vec!["a:1".to_owned()] };
        let error = crate::commands::pin(&connection, &pin, true).await.unwrap_err().to_string();
        assert!(error.contains("can't pin images"), "{error}");
    }

    async fn taken(source: &Path) -> Vec<u8> {
        let (mut pieces, mut all) = (read(source).unwrap(), Vec::new());
        while let Some(piece) = pieces.recv().await {
            all.extend(piece.unwrap());
        }
        all
    }
}
