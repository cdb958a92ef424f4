//! `peapod export`.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use futures_util::{Stream, StreamExt};
use peapod_api::own::{ExportRequest, ExportResponse};
use tonic::Status;

use crate::connect::{CHANGE, CriClient, call};
use crate::image_cli::ExportArgs;
use crate::streaming::EndingSignals;

/// Writes images into a file, or to standard output. Answers the exit status.
pub(crate) async fn export(connection: &CriClient, args: &ExportArgs) -> anyhow::Result<u8> {
    let to_output = args.output.as_os_str() == "-";
    anyhow::ensure!(!to_output || !io::stdout().is_terminal(), "an archive is nothing for a terminal: use -o FILE");
    let failed = || format!("cannot write {}", args.output.display());
    let request = ExportRequest { images: args.images.clone() };
    let pieces = call("Export", CHANGE, connection.store.clone().export(request)).await;
    let instead = "containerd's images are exported with `ctr --namespace k8s.io images export`";
    let pieces = pieces.map_err(|error| super::own_service(connection, error, "export images", instead))?;
    let place = if to_output { None } else { Some(ExportPlace::of(&args.output).with_context(failed)?) };
    match place {
        None => write(pieces, &mut io::stdout().lock()).await.context("cannot write to standard output")?,
        Some(ExportPlace::Device(mut to)) => write(pieces, &mut to).await.with_context(failed)?,
        Some(ExportPlace::File) => {
            let mut signals = EndingSignals::listen()?;
            return to_file(pieces, &args.output, signals.next()).await.with_context(failed);
        }
    }
    Ok(0)
}

/// Writes a file as a whole, or leaves what was there. A signal, by the status that it gives, is answered with that.
async fn to_file<P: Pieces>(pieces: P, wanted: &Path, signalled: impl Future<Output = u8>) -> anyhow::Result<u8> {
    let mut file = UnfinishedFile::create(wanted)?;
    tokio::select! {
        biased;
        status = signalled => return Ok(status),
        written = write(pieces, &mut file.file) => written?,
    }
    file.finish(wanted)?;
    Ok(0)
}

/// What is at the place that was asked for.
enum ExportPlace {
    /// A device or a pipe takes what is written; nothing else can take its place.
    Device(File),
    /// A file, or nothing yet.
    File,
}

impl ExportPlace {
    /// A link is not followed: where others may write, such as in `/tmp`, it could lead to any file of the node.
    fn of(wanted: &Path) -> io::Result<Self> {
        let found = match std::fs::symlink_metadata(wanted) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::File),
            Err(error) => return Err(error),
        };
        if found.is_symlink() {
            let target = std::fs::read_link(wanted).unwrap_or_default();
            let problem =
                format!("it is a link to {}: name what is meant, or `-` for standard output", target.display());
            return Err(io::Error::other(problem));
        }
        if found.is_file() {
            return Ok(Self::File);
        }
        let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let device = File::options().write(true).custom_flags(nofollow).open(wanted)?;
        // Whoever put a file there meanwhile has it not written to.
        match device.metadata()?.is_file() {
            true => Err(io::Error::other("it is another one by now")),
            false => Ok(Self::Device(device)),
        }
    }
}

/// An archive as it comes.
trait Pieces: Stream<Item = Result<ExportResponse, Status>> + Unpin {}

impl<S: Stream<Item = Result<ExportResponse, Status>> + Unpin> Pieces for S {}

async fn write(mut pieces: impl Pieces, to: &mut impl Write) -> anyhow::Result<()> {
    let said = |status: Status| anyhow::anyhow!("{}", peapod_text::one_line(status.message()));
    while let Some(piece) = pieces.next().await {
        to.write_all(&piece.map_err(said)?.piece)?;
    }
    Ok(to.flush()?)
}

/// A file beside the one that is wanted, which takes its place as a whole or goes.
struct UnfinishedFile {
    file: File,
    path: Option<PathBuf>,
}

impl UnfinishedFile {
    /// Never one that is there, nor what a link by that name leads to.
    fn create(wanted: &Path) -> io::Result<Self> {
        let mut name = wanted.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = wanted.with_file_name(name);
        Ok(Self { file: File::create_new(&path)?, path: Some(path) })
    }

    fn finish(mut self, wanted: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(path) = &self.path {
            std::fs::rename(path, wanted)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It may be gone with its folder.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, symlink};

    use futures_util::stream;

    use super::*;

    fn piece(text: &str) -> Result<ExportResponse, Status> {
        Ok(ExportResponse { piece: text.as_bytes().to_vec() })
    }

    fn names(dir: &Path) -> Vec<String> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn what_is_not_whole_leaves_what_was_there_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("images.tar");
        std::fs::write(&wanted, "before").unwrap();
        let never = std::future::pending;
        // A signal, once something is written.
        let begun = stream::iter([piece("one")]).chain(stream::pending());
        let written = async {
            let part = || names(dir.path()).into_iter().find(|name| name.ends_with(".part"));
            while part().is_none_or(|part| std::fs::read(dir.path().join(part)).unwrap() != b"one") {
                tokio::task::yield_now().await;
            }
            143
        };
        assert_eq!(to_file(begun, &wanted, written).await.unwrap(), 143);
        // An error of the runtime's.
        let broken = stream::iter([piece("one"), Err(Status::unknown("no\nmore"))]);
        assert!(to_file(broken, &wanted, never()).await.unwrap_err().to_string().contains("more"));
        assert_eq!(
            (names(dir.path()), std::fs::read(&wanted).unwrap()),
            (vec!["images.tar".into()], b"before".to_vec())
        );
        let whole = stream::iter([piece("one"), piece("two")]);
        assert_eq!(to_file(whole, &wanted, never()).await.unwrap(), 0);
        assert_eq!(
            (names(dir.path()), std::fs::read(&wanted).unwrap()),
            (vec!["images.tar".into()], b"onetwo".to_vec())
        );
    }

    #[tokio::test]
    async fn no_other_file_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("other"), "other").unwrap();
        symlink("other", at("link")).unwrap();
        symlink("nothing", at("dangling")).unwrap();
        for link in ["link", "dangling"] {
            let refused = ExportPlace::of(&at(link)).err().unwrap().to_string();
            assert!(refused.contains("is a link to"), "{refused}");
        }
        // Made after the look: it is replaced, and not what it leads to.
        let whole = stream::iter([piece("new")]);
        to_file(whole, &at("link"), std::future::pending()).await.unwrap();
        assert!(at("link").symlink_metadata().unwrap().is_file());
        // Made where the unfinished file would be.
        let part = format!("images.tar.{}.part", std::process::id());
        symlink("other", at(&part)).unwrap();
        assert!(to_file(stream::iter([piece("new")]), &at("images.tar"), std::future::pending()).await.is_err());
        assert!(at(&part).is_symlink() && !at("images.tar").exists(), "what is not ours stays");
        assert_eq!(std::fs::read(at("other")).unwrap(), b"other");
        // What is no file takes it.
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let pipe = at("pipe");
            move || std::fs::read(pipe).unwrap()
        });
        let Ok(ExportPlace::Device(mut to)) = ExportPlace::of(&at("pipe")) else { panic!("a pipe is no file") };
        write(stream::iter([piece("through")]), &mut to).await.unwrap();
        drop(to);
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(at("pipe").symlink_metadata().unwrap().file_type().is_fifo());
        assert!(ExportPlace::of(dir.path()).is_err() && matches!(ExportPlace::of(&at("none")), Ok(ExportPlace::File)));
    }
}
