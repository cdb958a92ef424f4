//! Making images visible whose layers are unpacked.

use crate::Digest;
use crate::error::PullError;
use crate::layers::Layer;
use crate::model::{Image, ImageId};
use crate::records::archives::{self, ArchiveRow};
use crate::records::{self, ImageRow, LayerRow, NameRow, chains};
use crate::stages;
use crate::store::Store;
use peapod_store::rusqlite::Transaction;
use peapod_sys::fail_point;
use peapod_trace::Span;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An image to be recorded.
pub(crate) struct NewImage {
    pub(crate) row: ImageRow,
    /// Those of its layers that were unpacked for it.
    pub(crate) layers: Vec<Arc<Layer>>,
    pub(crate) names: Vec<NameRow>,
}

/// What is recorded together: all of it, or nothing.
#[derive(Default)]
pub(crate) struct Commit {
    pub(crate) images: Vec<NewImage>,
    /// The file that they come from, if it is to be remembered.
    pub(crate) archive: Option<ArchiveRow>,
}

type Committed = Result<Vec<Arc<Image>>, PullError>;

impl Store {
    /// Installs the layers in `layers`, on disk for good, and then into the records together with their images. Answers
    /// with these, in order.
    ///
    /// Once begun it is carried out, whoever waits: a half-done commit is what must not be.
    pub(crate) async fn commit(self: &Arc<Self>, commit: Commit, span: &Span) -> Committed {
        let (store, span) = (Arc::clone(self), span.clone());
        span.enter(&stages::PLACE);
        let first = commit.images.first().map_or("images", |image| image.row.id.as_str()).to_owned();
        let cancelled = || PullError::Cancelled { reference: first };
        let work = tokio::spawn(async move { store.carry_out(commit, &span).await });
        work.await.unwrap_or_else(|_| Err(cancelled()))
    }

    async fn carry_out(self: Arc<Self>, commit: Commit, span: &Span) -> Committed {
        let Commit { images, archive } = commit;
        let chains: Vec<Vec<Digest>> = images.iter().map(|image| chains(&image.row.diff_ids)).collect();
        let wanted = chains.concat();
        let _hold = self.holds.hold(&wanted);
        let present = self.records.write(move |tx| records::present(tx, &wanted)).await?;
        let mut fresh: HashMap<Digest, Arc<Layer>> = HashMap::new();
        let (mut rows, mut names) = (Vec::new(), Vec::new());
        for NewImage { row, layers, names: of_image } in images {
            // Two fetches may have brought the same chain; one directory is enough.
            for layer in layers {
                fresh.entry(layer.chain_id.clone()).or_insert(layer);
            }
            rows.push(row);
            names.push(of_image);
        }
        let (root, dir) = (self.config.state_root.clone(), Arc::clone(&self.dir));
        let installing = tokio::task::spawn_blocking(move || install(&root, dir.path(), &chains, &present, fresh));
        let failed = |error| PullError::disk(self.dir.path(), std::io::Error::other(error));
        let fresh = installing.await.map_err(failed)??;
        fail_point("pull-placed");
        span.enter(&stages::RECORD);
        let layers: Vec<LayerRow> = fresh.values().map(|layer| layer.row()).collect();
        let ids: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
        let record = move |tx: &Transaction<'_>| {
            records::insert_layers(tx, &layers)?;
            for (row, names) in rows.iter().zip(&names) {
                records::insert_image(tx, row)?;
                records::name_image(tx, &row.id, names)?;
            }
            archive.iter().try_for_each(|archive| archives::insert(tx, archive))?;
            let chains: Vec<_> = layers.iter().map(|row| row.chain_id.clone()).collect();
            records::present(tx, &chains)
        };
        let (recorded, after) = self.records.change(record).await?;
        fail_point("pull-recorded");
        for layer in fresh.values() {
            if let Some(short) = recorded.get(&layer.chain_id) {
                layer.recorded_as(short);
            }
        }
        // One whose layer was lost meanwhile is not shown.
        let gone = |id: &ImageId| PullError::Cancelled { reference: id.to_string() };
        ids.iter().map(|id| after.by_id(id).ok_or_else(|| gone(id))).collect()
    }
}

/// Installs layers from the bottom up and makes sure that all of it is on disk. Answers with those that were. Blocks.
fn install(
    root: &Path,
    dir: &Path,
    images: &[Vec<Digest>],
    present: &HashMap<Digest, String>,
    fresh: HashMap<Digest, Arc<Layer>>,
) -> Result<HashMap<Digest, Arc<Layer>>, PullError> {
    for chains in images {
        let mut below: Vec<PathBuf> = Vec::with_capacity(chains.len());
        for chain in chains {
            let path = match (present.get(chain), fresh.get(chain)) {
                (Some(short), _) => dir.join(short).join("diff"),
                (None, Some(layer)) => layer.install(dir, &below)?,
                // Held and asked for on the writing side, so it is one of the two.
                (None, None) => {
                    let source = std::io::Error::from(std::io::ErrorKind::NotFound);
                    return Err(PullError::disk(dir, source));
                }
            };
            below.insert(0, path);
        }
    }
    let sync = || -> std::io::Result<()> {
        rustix::fs::syncfs(File::open(root)?)?;
        // A file system without a journal writes the names of the directory itself only when told to.
        File::open(dir)?.sync_all()
    };
    if !fresh.is_empty() {
        sync().map_err(|source| PullError::disk(root, source))?;
    }
    Ok(fresh)
}
