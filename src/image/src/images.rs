//! The public API of this crate.

use crate::bring::settled;
use crate::config::{Config, RequestConfig};
use crate::error::{LeaseError, OpenError, PullError, RemoveError};
use crate::export::{ExportError, ExportedPieces, export};
use crate::import::{ArchiveSource, FolderImport, ImportError, ImportRequest, ImportedImage, import, import_folder};
use crate::inspect::{Inspection, inspect};
use crate::measures::ImageMeasures;
use crate::model::{Credentials, FsInfo, Image, ImageId, PullRequest, Rootfs};
use crate::names::ImageNaming;
use crate::open;
use crate::pull::pull;
use crate::records;
use crate::reference::Reference;
use crate::stages;
use crate::store::Store;
use crate::usage::{StoreUsage, usage};
use arc_swap::ArcSwap;
use peapod_store::rusqlite::Transaction;
use peapod_store::{Database, StoreError};
use peapod_sys::Trash;
use peapod_text::Sample;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// All images of this node; clones share them.
#[derive(Clone)]
pub struct Images {
    store: Arc<Store>,
    /// What came of the import folder.
    folder: Arc<ArcSwap<FolderImport>>,
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").field("state_root", &self.store.config.state_root).finish_non_exhaustive()
    }
}

impl Images {
    /// Opens the store below `config.state_root`, with its records in `db` (which should be opened with
    /// [`peapod_store::Durability::Full`] and [`crate::MIGRATIONS`]), and drops what a killed process left half made.
    ///
    /// Layers that nobody needs go into `trash`, which should be on the same file system. Partial blobs stay for a
    /// while: the next pull resumes them.
    ///
    /// # Errors
    /// [`OpenError`]: a directory or the records can't be used.
    pub async fn open(config: Config, db: Database, trash: Trash) -> Result<Self, OpenError> {
        let store = Arc::new(Store::new(config, db, trash)?);
        open::delete_nonsense(&store).await?;
        store.records.load().await?;
        store.verifier.begin().await?;
        open::tidy(&store).await?;
        tokio::spawn(store.fetcher.keep_in_bounds());
        store.sweeper.wake();
        Ok(Self { store, folder: Arc::default() })
    }

    /// The daemon ends in order. Without this the next one, in another boot, verifies all layers before it uses them.
    ///
    /// # Errors
    /// [`StoreError`]: the records can't be written.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.store.records.write(records::unverified::end).await
    }

    /// Takes `hosts_dirs`, `request_timeout` and `retries` of another configuration for pulls that begin from now on.
    /// Its other settings stay as they were when this was opened.
    pub fn set_pull_config(&self, config: &Config) {
        let Config { hosts_dirs, requests: RequestConfig { request_timeout, retries, .. }, .. } = config.clone();
        let opened = Config::clone(&self.store.config);
        let requests = RequestConfig { request_timeout, retries, ..opened.requests };
        self.store.pull_config.store(Arc::new(Config { hosts_dirs, requests, ..opened }));
    }

    /// How it was opened. What pulls are told of may have changed since.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.store.config
    }

    /// All images, oldest first; a snapshot that costs nothing.
    #[must_use]
    pub fn list(&self) -> Arc<Vec<Arc<Image>>> {
        Arc::clone(&self.store.records.catalog().images)
    }

    /// The image that `reference` means: an id with or without `sha256:`, a name with a tag (or `latest`) or a digest,
    /// or the beginning of an id, at least six digits of it, that fits no other image. Looks at memory alone.
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<Arc<Image>> {
        self.store.records.catalog().resolve(reference, &self.store.config.default_registry)
    }

    /// An image's configuration, byte for byte as its registry served it; `None` if there is no such image.
    ///
    /// # Errors
    /// [`StoreError`]: the records can't be read.
    pub async fn configuration(&self, image: &ImageId) -> Result<Option<Vec<u8>>, StoreError> {
        let image = image.clone();
        self.store.records.read(move |connection| records::configuration(connection, &image)).await
    }

    /// Pulls an image; the registry is asked even if the image is here, because its answer is the right to use it.
    ///
    /// Equal requests at the same time are one pull. Dropping the future gives up interest in it; the last one to do so
    /// cancels the transfers. Bytes of blobs that have come stay, and the next pull goes on from there.
    ///
    /// # Errors
    /// [`PullError`]; nothing of a failed pull is visible.
    pub async fn pull(&self, request: PullRequest) -> Result<Arc<Image>, PullError> {
        let PullRequest { reference, credentials, span } = request;
        let measures = &self.store.measures;
        let reference = Reference::parse(&reference, &self.store.config.default_registry).map_err(PullError::from);
        let reference = reference.inspect_err(|error| measures.failed(error))?;
        let key = (reference.clone(), credentials.clone());
        let cancelled = PullError::Cancelled { reference: reference.to_string() };
        let begin = || {
            let work = span.work("pull");
            let own = work.as_ref().map(|work| work.span().clone()).unwrap_or_default();
            own.enter(&stages::HOSTS);
            let (store, told, measures) = (Arc::clone(&self.store), own.clone(), measures.clone());
            let pulling = pull(store, reference, credentials, own);
            (told, async move { settled(work, measures.pull(pulling).await) })
        };
        let pulled = self.store.pulls.follow(key, begin, |work| span.enter_work(&stages::PULL, work)).await;
        pulled.result.unwrap_or(Err(cancelled))
    }

    /// Imports all images of an archive, or none. What is here already is not unpacked again. Dropping the future gives
    /// the import up.
    ///
    /// # Errors
    /// [`ImportError`]; nothing of the archive is visible.
    pub async fn import(
        &self,
        request: ImportRequest,
        source: ArchiveSource,
    ) -> Result<Vec<ImportedImage>, ImportError> {
        import(&self.store, request, source).await
    }

    /// Whether somebody waits, with an import or a pull, until an archive that clients bring has come. Looks at memory
    /// alone.
    #[must_use]
    pub fn is_import_awaited(&self) -> bool {
        self.store.fetcher.is_archive_slot_wanted()
    }

    /// Writes images into an archive, by any of their names. See `export` for what is the same in it, and what is not.
    ///
    /// # Errors
    /// [`ExportError`]: an image is not here, or not whole. What comes later is told in place of a piece.
    pub async fn export(&self, images: &[String]) -> Result<ExportedPieces, ExportError> {
        export(&self.store, images).await
    }

    /// Imports what is new in the folder that the configuration names, and pins it. To be called once.
    pub async fn import_folder(&self) {
        let told = |report: &FolderImport| self.folder.store(Arc::new(report.clone()));
        import_folder(&self.store, &self.store.config.import_dir, told).await;
    }

    /// What came of the import folder, as far as it was looked at. Looks at memory alone.
    #[must_use]
    pub fn folder_import(&self) -> Arc<FolderImport> {
        self.folder.load_full()
    }

    /// What a pull would do, step by step; nothing is pulled.
    ///
    /// # Errors
    /// [`PullError`]: it is no reference, or the daemon ends. What fails on the way is a step.
    pub async fn inspect(&self, reference: &str, credentials: Option<Credentials>) -> Result<Inspection, PullError> {
        inspect(&self.store, reference, credentials).await
    }

    /// What takes room in the store, and who needs it. Reads records and lists folders.
    ///
    /// # Errors
    /// [`StoreError`]: the records can't be read.
    pub async fn usage(&self) -> Result<StoreUsage, StoreError> {
        usage(&self.store).await
    }

    /// What can be done with the names of images.
    #[must_use]
    pub fn names(&self) -> ImageNaming<'_> {
        ImageNaming::new(&self.store)
    }

    /// Removes the image that `reference` means, with all its names. An image that is not here is removed already.
    ///
    /// When this returns, the image is in no list. Layers that leases still need stay until those are given back; the
    /// others go in the background. An artifact stays, with an error, as long as a lease needs it.
    ///
    /// # Errors
    /// [`RemoveError`]: it is an artifact in use, or the records can't be written.
    pub async fn remove(&self, reference: &str) -> Result<(), RemoveError> {
        let Some(image) = self.resolve(reference) else { return Ok(()) };
        let (id, is_artifact) = (image.id.clone(), image.config.is_artifact());
        let remove = move |tx: &Transaction<'_>| {
            let holders = if is_artifact { records::holders(tx, &id)? } else { Vec::new() };
            if holders.is_empty() {
                records::delete_image(tx, &id)?;
            }
            Ok(holders)
        };
        let (holders, _) = self.store.records.change(remove).await?;
        if holders.is_empty() {
            self.store.sweeper.wake();
            return Ok(());
        }
        let sample = Sample::of(holders.iter().map(String::as_str));
        Err(RemoveError::InUse { artifact: image.id.to_string(), holders: sample })
    }

    /// Keeps the image's layers for the root file system of `holder` until [`Images::release`]: across restarts and the
    /// image's removal; not across a power cut, which ends whoever uses them. Asking again gives the same answer; a
    /// holder has one such lease.
    ///
    /// # Errors
    /// [`LeaseError`]: there is no such image, or the records can't be written.
    pub async fn lease(&self, image: &ImageId, holder: &str) -> Result<Rootfs, LeaseError> {
        self.lease_of(image, holder, records::ROOTFS, open::rootfs).await
    }

    /// The same for a volume of `holder`, one of each name. There are two directories at least, so that they can be
    /// laid over each other without one that is written to: what comes of that nobody can make writable.
    ///
    /// # Errors
    /// [`LeaseError`]: there is no such image, or the records can't be written.
    pub async fn lease_volume(&self, image: &ImageId, holder: &str, name: &str) -> Result<Rootfs, LeaseError> {
        self.lease_of(image, holder, name, open::read_only).await
    }

    async fn lease_of(
        &self,
        image: &ImageId,
        holder: &str,
        name: &str,
        directories: fn(&Path, Vec<String>) -> Result<Rootfs, Vec<String>>,
    ) -> Result<Rootfs, LeaseError> {
        self.store.verifier.verify_pending(image).await?;
        let (id, holder, name) = (image.clone(), holder.to_owned(), name.to_owned());
        let lease = move |tx: &Transaction<'_>| records::insert_lease(tx, &id, &holder, &name);
        let found = self.store.records.write_lightly(lease).await?;
        let shorts = found.ok_or_else(|| LeaseError::NotFound { image: image.to_string() })?;
        let dir = Arc::clone(&self.store.dir);
        let rootfs = tokio::task::spawn_blocking(move || directories(dir.path(), shorts)).await;
        match rootfs.unwrap_or_else(|_| Err(Vec::new())) {
            Ok(rootfs) => Ok(rootfs),
            Err(gone) => {
                self.store.verifier.lose(gone).await?;
                Err(LeaseError::Lost { image: image.to_string() })
            }
        }
    }

    /// Gives all leases of `holder` back. Giving back what is not held is fine.
    ///
    /// # Errors
    /// [`StoreError`]: the records can't be written.
    pub async fn release(&self, holder: &str) -> Result<(), StoreError> {
        let holder = holder.to_owned();
        if self.store.records.write_lightly(move |tx| records::delete_leases(tx, &holder)).await? {
            self.store.sweeper.wake();
        }
        Ok(())
    }

    /// Every holder of leases with each of its images, so that leases of forgotten containers can be given back.
    ///
    /// # Errors
    /// [`StoreError`]: the records can't be read.
    pub async fn leases(&self) -> Result<Vec<(String, ImageId)>, StoreError> {
        self.store.records.read(records::leases).await
    }

    /// What the store counts of its own work.
    #[must_use]
    pub fn measures(&self) -> &ImageMeasures {
        &self.store.measures
    }

    /// What the store takes on disk, by its records. Looks at memory alone.
    #[must_use]
    pub fn fs_info(&self) -> FsInfo {
        let catalog = self.store.records.catalog();
        let mountpoint = self.store.config.state_root.clone();
        FsInfo { mountpoint, used_bytes: catalog.bytes, inodes_used: catalog.inodes }
    }
}
