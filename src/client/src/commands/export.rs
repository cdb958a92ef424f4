//! `peapod export`.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use peapod_api::own::{ExportRequest, ExportResponse};
use tonic::{Status, Streaming};

use crate::connect::{CHANGE, CriClient, call};
use crate::image_cli::ExportArgs;

/// Writes images into a file, or to standard output.
pub(crate) async fn export(connection: &CriClient, args: &ExportArgs) -> anyhow::Result<()> {
    let to_output = args.output.as_os_str() == "-";
    anyhow::ensure!(!to_output || !io::stdout().is_terminal(), "an archive is nothing for a terminal: use -o FILE");
    let request = ExportRequest { images: args.images.clone() };
    let pieces = call("Export", CHANGE, connection.store.clone().export(request)).await;
    let instead = "containerd's images are exported with `ctr --namespace k8s.io images export`";
    let pieces = pieces.map_err(|error| super::own_service(connection, error, "export images", instead))?;
    let failed = || format!("cannot write {}", args.output.display());
    if to_output {
        return write(pieces, &mut io::stdout().lock()).await.context("cannot write to standard output");
    }
    let wanted = resolved(&args.output);
    if std::fs::metadata(&wanted).is_ok_and(|found| !found.is_file()) {
        // A device or a pipe takes what is written; nothing else can take its place.
        let mut to = File::options().write(true).open(&wanted).with_context(failed)?;
        return write(pieces, &mut to).await.with_context(failed);
    }
    let unfinished = UnfinishedFile::create(&wanted);
    let mut file = unfinished.with_context(failed)?;
    write(pieces, &mut file.file).await.with_context(failed)?;
    file.finish(&wanted).with_context(failed)
}

/// Where it leads: a link stays, and what it leads to is replaced.
fn resolved(wanted: &Path) -> PathBuf {
    std::fs::canonicalize(wanted).unwrap_or_else(|_| wanted.to_owned())
}

async fn write(mut pieces: Streaming<ExportResponse>, to: &mut impl Write) -> anyhow::Result<()> {
    let said = |status: Status| anyhow::anyhow!("{}", peapod_text::one_line(status.message()));
    while let Some(ExportResponse { piece }) = pieces.message().await.map_err(said)? {
        to.write_all(&piece)?;
    }
    Ok(to.flush()?)
}

/// A file beside the one that is wanted, which takes its place as a whole or goes.
struct UnfinishedFile {
    file: File,
    path: Option<PathBuf>,
}

impl UnfinishedFile {
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
