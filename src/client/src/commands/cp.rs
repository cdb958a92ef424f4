//! `peapod cp`: files between this node and a container, by a `tar` in the container.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use peapod_api::v1;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Bytes;

use crate::bounds::PIECES;
use crate::cli::{CopyPlace, CpArgs};
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::copy::{CopyDestination, CopyError, LeftOut, PipeReader, PipeWriter, extract, pack};
use crate::select;
use crate::streaming::{StreamError, TransferEnd, standard_input, transfer};

/// Copies out of a container, or into it.
pub(crate) async fn cp(connection: &CriClient, args: &CpArgs) -> anyhow::Result<()> {
    let container = args.container.as_ref();
    match (&args.from, &args.to) {
        (CopyPlace::Inside { pod, container: own, path }, to) if !matches!(to, CopyPlace::Inside { .. }) => {
            let inside = ContainerSide::find(connection, pod, own.as_ref().or(container)).await?;
            match to {
                CopyPlace::Local(to) => inside.fetch(path, to).await,
                _ => inside.print(path).await,
            }
        }
        (from, CopyPlace::Inside { pod, container: own, path }) if !matches!(from, CopyPlace::Inside { .. }) => {
            let inside = ContainerSide::find(connection, pod, own.as_ref().or(container)).await?;
            match from {
                CopyPlace::Local(from) => inside.put(from, path).await,
                _ => inside.take(path).await,
            }
        }
        _ => anyhow::bail!("one of both is in a container: write it as POD:PATH or POD:CONTAINER:PATH"),
    }
}

/// The container.
struct ContainerSide<'a> {
    connection: &'a CriClient,
    id: String,
    name: String,
}

impl<'a> ContainerSide<'a> {
    async fn find(connection: &'a CriClient, pod: &str, container: Option<&String>) -> anyhow::Result<Self> {
        let container = select::target(connection, pod, container).await?;
        let name = select::container_name(&container).to_owned();
        Ok(Self { connection, id: container.id, name })
    }

    /// To a file or folder of this node.
    async fn fetch(&self, path: &str, to: &Path) -> anyhow::Result<()> {
        let (folder, base) = split(path);
        let destination = CopyDestination::new(to, &base)?;
        let (pieces, received) = mpsc::channel(PIECES);
        let writing = tokio::task::spawn_blocking(move || extract(&mut PipeReader::new(received), &destination));
        let sent = self.tar(&["cf", "-", "-C", &folder, &beneath(&base)], None, Some(pieces)).await;
        let written = writing.await.context("the copy ended in an unforeseen way")?;
        match (written, sent) {
            // What the container's tar says is the reason of an archive that ends too early, or has nothing.
            (Err(CopyError::Archive(_) | CopyError::Empty), Err(error)) => Err(error),
            (Err(error), _) => Err(told(&error)),
            (Ok(_), Err(error)) => Err(error),
            (Ok(left_out), Ok(())) => say(&left_out),
        }
    }

    /// As an archive to standard output.
    async fn print(&self, path: &str) -> anyhow::Result<()> {
        anyhow::ensure!(!io::stdout().is_terminal(), "this would fill the terminal with a tar archive: redirect it");
        let (folder, base) = split(path);
        let (pieces, mut received) = mpsc::channel::<Bytes>(PIECES);
        let writing = tokio::task::spawn_blocking(move || {
            let mut out = io::stdout().lock();
            while let Some(piece) = received.blocking_recv() {
                out.write_all(&piece)?;
            }
            out.flush()
        });
        let sent = self.tar(&["cf", "-", "-C", &folder, &beneath(&base)], None, Some(pieces)).await;
        writing.await.context("the copy ended in an unforeseen way")?.context("cannot write to standard output")?;
        sent
    }

    /// From a file or folder of this node.
    async fn put(&self, from: &Path, path: &str) -> anyhow::Result<()> {
        let found = std::fs::metadata(from).with_context(|| format!("cannot read {}", from.display()))?;
        let is_one = found.is_dir() || found.is_file();
        anyhow::ensure!(is_one, "cannot copy {}: it is a device, a pipe or a socket", from.display());
        let (folder, name) = if self.is_folder(path).await? {
            // As `cp -r`: a folder `.` is copied as what is in it.
            (path.to_owned(), from.file_name().map_or_else(|| PathBuf::from("."), PathBuf::from))
        } else {
            let is_meant = found.is_file() && path.ends_with('/');
            anyhow::ensure!(
                !is_meant,
                "there is no folder {path} in container {}: `cp` makes none for a file",
                self.name
            );
            let (folder, name) = split(path);
            (folder, PathBuf::from(name))
        };
        let (pieces, packed) = mpsc::channel(PIECES);
        let from = from.to_owned();
        let reading = tokio::task::spawn_blocking(move || pack(&from, &name, PipeWriter::new(pieces)));
        let sent = self.tar(&["xof", "-", "-C", &dashless(&folder)], Some(packed), None).await;
        // It fails, too, when nobody takes the archive any more: then the container's tar says why.
        sent?;
        match reading.await.context("the copy ended in an unforeseen way")? {
            // It was content with less: nothing can be told of what it did.
            Err(CopyError::Read { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
                anyhow::bail!("tar in container {} ended before it had everything", self.name)
            }
            packed => say(&packed.map_err(|error| told(&error))?),
        }
    }

    /// From an archive at standard input, into a folder.
    async fn take(&self, path: &str) -> anyhow::Result<()> {
        self.tar(&["xof", "-", "-C", &dashless(path)], Some(standard_input()?), None).await
    }

    /// Whether a path is a folder there. Where that can't be told, a slash at its end says so.
    async fn is_folder(&self, path: &str) -> anyhow::Result<bool> {
        let request = v1::ExecSyncRequest {
            container_id: self.id.clone(),
            cmd: ["test", "-d", path].map(str::to_owned).to_vec(),
            timeout: i64::try_from(QUICK.as_secs()).unwrap_or_default(),
        };
        match call("ExecSync", 2 * QUICK, self.connection.runtime.clone().exec_sync(request)).await {
            Ok(answer) => Ok(answer.exit_code == 0 || (answer.exit_code > 1 && path.ends_with('/'))),
            Err(CallError::Refused { .. }) => Ok(path.ends_with('/')),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs the container's tar to its end.
    async fn tar(
        &self,
        arguments: &[&str],
        input: Option<mpsc::Receiver<Vec<u8>>>,
        output: Option<mpsc::Sender<Bytes>>,
    ) -> anyhow::Result<()> {
        let cmd = std::iter::once("tar").chain(arguments.iter().copied()).map(str::to_owned).collect();
        let request = v1::ExecRequest {
            container_id: self.id.clone(),
            cmd,
            stdin: input.is_some(),
            tty: false,
            stdout: true,
            stderr: true,
        };
        let answer = call("Exec", QUICK, self.connection.runtime.clone().exec(request)).await?;
        match transfer(&answer.url, input, output).await {
            Ok(TransferEnd { code: 0, .. }) => Ok(()),
            Ok(TransferEnd { code: 126 | 127, complaint }) => Err(self.has_no_tar(&complaint)),
            Ok(TransferEnd { code, complaint }) => {
                anyhow::bail!("tar in container {} failed with {code}: {complaint}", self.name)
            }
            Err(StreamError::Failed(text)) if is_missing(&text) => Err(self.has_no_tar(&text)),
            Err(error) => Err(error.into()),
        }
    }

    fn has_no_tar(&self, said: &str) -> anyhow::Error {
        anyhow::anyhow!(
            "container {} has no `tar`, by which files are copied ({said}). Its image needs one; a single file goes \
             without: `peapod exec POD -- cat FILE >FILE`, and files that are to be there from the start go in as a \
             volume",
            self.name
        )
    }
}

/// An error that names its cause itself, once.
fn told(error: &CopyError) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

/// What OCI runtimes say of a program that is not there.
fn is_missing(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("tar") && (text.contains("not found") || text.contains("no such file"))
}

/// A path as its folder and what is in that; `.` for a folder of which its content is meant.
fn split(path: &str) -> (String, String) {
    let bare = path.trim_end_matches('/');
    let (folder, base) = match bare.rsplit_once('/') {
        _ if bare.is_empty() => ("/", "."),
        Some((_, "." | "..")) => (bare, "."),
        Some(("", base)) => ("/", base),
        Some((folder, base)) => (folder, base),
        None if matches!(bare, "." | "..") => (bare, "."),
        None => (".", bare),
    };
    (dashless(folder), base.to_owned())
}

/// A path that no program takes for an option.
fn dashless(path: &str) -> String {
    if path.starts_with('-') { format!("./{path}") } else { path.to_owned() }
}

fn beneath(base: &str) -> String {
    if base == "." { base.to_owned() } else { format!("./{base}") }
}

fn say(left_out: &LeftOut) -> anyhow::Result<()> {
    let mut lines: Vec<String> = left_out.notes.iter().map(|note| format!("peapod: {note}\n")).collect();
    if left_out.more > 0 {
        lines.push(format!("peapod: and {} more\n", left_out.more));
    }
    Ok(super::ignore_closed(io::stderr().lock().write_all(lines.concat().as_bytes()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_containers() {
        for (path, folder, base) in [
            ("/etc/hosts", "/etc", "hosts"),
            ("/etc/", "/", "etc"),
            ("/", "/", "."),
            ("//", "/", "."),
            (".", ".", "."),
            ("..", "..", "."),
            ("/srv/.", "/srv/.", "."),
            ("a", ".", "a"),
            ("-a/-b", "./-a", "-b"),
            ("a/b/", "a", "b"),
        ] {
            assert_eq!(split(path), (folder.to_owned(), base.to_owned()), "{path}");
        }
        assert_eq!((dashless("-x"), beneath("-b")), ("./-x".to_owned(), "./-b".to_owned()));
    }

    #[test]
    fn a_missing_tar_is_told() {
        assert!(is_missing("executable file `tar` not found in $PATH: No such file or directory"));
        assert!(!is_missing("the container has ended"));
    }
}
