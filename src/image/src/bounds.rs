//! What a registry, an image or a pull may cost at most. ARCHITECTURE.md has these in its table of bounds.

use std::time::Duration;

/// Bytes of a manifest or an index: what registries themselves take.
pub(crate) const MANIFEST_BYTES: usize = 4 << 20;
/// Bytes of an image's configuration: what other clients take; one with a very long history has some hundred KiB.
pub(crate) const CONFIGURATION_BYTES: usize = 4 << 20;
/// Bytes of a document that any pull may hold, however many pulls there are: more than nearly all manifests and
/// configurations have.
pub(crate) const SMALL_DOCUMENT: usize = 64 << 10;
/// Pulls that hold larger documents in memory, with up to 12 MiB each; others wait.
pub(crate) const LARGE_DOCUMENTS: usize = 8;
/// Within this time a pull that has the right to hold large documents has them all, or gives the right back.
pub(crate) const LARGE_DOCUMENT_TIME: Duration = Duration::from_secs(30);
/// The same while others wait, and what its bytes take at [`PROGRESS_RATE`]: who trickles keeps nobody waiting longer.
pub(crate) const LARGE_DOCUMENT_GRACE: Duration = Duration::from_secs(2);
/// Bytes of a token server's answer, and so of a token: it is sent as a header, and servers take 8 to 64 KiB of these.
pub(crate) const TOKEN_BYTES: usize = 64 << 10;
/// Bytes that are read of an error's body. JSON that is cut can't be read, so this is more than any real one has.
pub(crate) const ERROR_BODY_BYTES: usize = 64 << 10;
/// For how long an error's body is awaited: the status alone says enough.
pub(crate) const ERROR_BODY_TIME: Duration = Duration::from_secs(2);
/// Hosts whose bytes are counted under their names; the next share a count.
pub(crate) const MEASURED_HOSTS: usize = 16;
/// Characters of a stranger's text in one of our errors.
pub(crate) const ERROR_TEXT: usize = 256;
/// Bytes of a `WWW-Authenticate` or `Location` header that are looked at: URLs beyond this work nowhere.
pub(crate) const HEADER_BYTES: usize = 8 << 10;
/// Redirects that one request follows: what browsers and other clients do.
pub(crate) const REDIRECTS: usize = 10;

/// Indexes that may lead to one another before an image comes. Tools make one; a mirror of mirrors makes two.
pub(crate) const INDEX_DEPTH: usize = 4;
/// Manifests and indexes that one pull fetches while it looks for the image of this machine.
pub(crate) const INDEX_DOCUMENTS: usize = 16;
/// Entries of an index that can be used; the largest real ones have some dozens.
pub(crate) const INDEX_ENTRIES: usize = 1000;
/// Platforms that an error lists.
pub(crate) const OFFERED_PLATFORMS: usize = 16;
/// Layers of an image: what the kernel's overlay takes.
pub(crate) const LAYERS: usize = 500;
/// Bytes of the name of an artifact's file, with the folders that it lies in, and how many levels these are.
pub(crate) const ARTIFACT_NAME: usize = 1024;
pub(crate) const ARTIFACT_NAME_DEPTH: usize = 16;
/// Bytes of one text in a descriptor: a media type, a digest, a part of a platform.
pub(crate) const DESCRIPTOR_TEXT: usize = 255;

/// Bytes of environment, command, entrypoint, volumes and the rest that running an image needs, each text with
/// [`TEXT_OVERHEAD`]. They are in memory for each image; the kernel takes 128 KiB of one text and 2 MiB of all.
pub(crate) const RUN_BYTES: usize = 256 << 10;
/// Bytes of an image's labels in memory, each text with [`TEXT_OVERHEAD`]; for clients that ask for all of one image.
pub(crate) const LABEL_BYTES: usize = 16 << 10;
/// Bytes of a manifest's annotations in memory, each text with [`TEXT_OVERHEAD`]. Every list of images shows them: 1000
/// images stay below the 16 MiB of an answer.
pub(crate) const ANNOTATION_BYTES: usize = 8 << 10;
/// Bytes that a text costs beside its own: a million empty ones are not for nothing.
pub(crate) const TEXT_OVERHEAD: usize = 48;

/// Blobs in transfer at once, of all registries; each registry has `max_downloads` for itself.
pub(crate) const TRANSFERS: usize = 32;
/// Layers that are unpacked while they still come; each has a thread, and the memory that its bounds allow also while
/// it waits. Others are unpacked once they are here.
pub(crate) const STREAMED_LAYERS: usize = 8;
/// After this time a transfer is asked for progress, if others wait; twice as long after each time that it made way.
pub(crate) const PROGRESS_TIME: Duration = Duration::from_secs(1);
/// The longest of these times.
pub(crate) const PROGRESS_TIME_MAX: Duration = Duration::from_secs(16);
/// Bytes a second that are progress: a modem's. Slower transfers make way for those that wait, and go on later.
pub(crate) const PROGRESS_RATE: u64 = 16 << 10;

/// Names of one image. A registry may lead to the same image by another manifest each time it is asked.
pub(crate) const IMAGE_NAMES: usize = 256;
/// Bytes of a column of an image's record, but for its documents: what the two above allow, as JSON.
pub(crate) const IMAGE_RECORD_BYTES: usize = 4 << 20;
/// Bytes of partial blobs of pulls that nobody runs any more; default of `image.max_partial_bytes`.
pub(crate) const PARTIAL_BYTES: u64 = 4 << 30;
/// Age of partial blobs that nobody has resumed; default of `image.keep_partial`.
pub(crate) const PARTIAL_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often partial blobs are looked at while the daemon runs.
pub(crate) const PARTIAL_LOOK: Duration = Duration::from_secs(10 * 60);
/// Between two looks whether containers still run on layers that no record knows.
pub(crate) const LEFTOVER_LOOK: Duration = Duration::from_secs(5);
/// For how long a layer that was verified entry by entry is not verified again when its image is pulled again.
pub(crate) const VERIFIED_FOR: Duration = Duration::from_secs(60);
/// Bytes of a hosts.toml; a long one has some KiB.
pub(crate) const HOSTS_FILE_BYTES: usize = 32 << 10;
/// HTTP clients, one for each way of connecting that hosts.toml describes; beyond it the cache starts over.
pub(crate) const CLIENTS: usize = 64;
/// Hosts that are remembered as out of reach; beyond it all are tried again.
pub(crate) const COOLING_HOSTS: usize = 256;

/// Entries of a layer, each header counted: the largest known layers have some 300 000.
pub(crate) const LAYER_ENTRIES: u64 = 1_000_000;
/// Bytes of a layer once it is decompressed, and bytes that it takes on disk: each may be this much. Layers with the
/// weights of a language model have some 150 GB.
pub(crate) const LAYER_BYTES: u64 = 256 << 30;
/// Entries of all layers that one pull unpacks.
pub(crate) const IMAGE_ENTRIES: u64 = 4_000_000;
/// Bytes of all layers that one pull unpacks.
pub(crate) const IMAGE_BYTES: u64 = 512 << 30;
/// Hundredths of the state root's file system, in bytes and in inodes, that layers leave free for what runs. What the
/// file system itself reserves for root comes on top, and the kubelet removes images long before.
pub(crate) const DISK_RESERVE_PERCENT: u64 = 1;
/// Directories that a layer makes. The unpacker remembers each, with some 60 bytes, until all have their times.
pub(crate) const LAYER_DIRECTORIES: usize = 250_000;
/// Bytes of the names of directories that a layer makes, each once; held while it is unpacked.
pub(crate) const DIRECTORY_NAMES: usize = 16 << 20;
/// Bytes of the last parts of all names of a layer. Those of one directory and the ones above it are held while the
/// layer's fingerprint is made; a million names of usual length have 20 MB.
pub(crate) const LAYER_NAMES: usize = 32 << 20;
/// Bytes of what describes one entry: headers, long names, PAX records, sparse maps. Go's reader stops at 1 MiB.
pub(crate) const ENTRY_HEADERS: u64 = 4 << 20;
/// Extended attributes of an entry.
pub(crate) const XATTRS: usize = 128;
/// Bytes of an entry's extended attributes, names included. The kernel takes 64 KiB in one value.
pub(crate) const XATTR_BYTES: usize = 128 << 10;
/// Bytes of a path, without its final NUL: the kernel's `PATH_MAX`. It holds for names, for what links lead to, and for
/// every directory that is made, from the layer's root.
pub(crate) const PATH: usize = 4095;
/// Levels of directories below the layer's root, however their names lead there. Deeper than any real tree.
pub(crate) const LEVELS: usize = 256;
/// Decompressed bytes behind an archive's end. GNU tar fills its last record, of up to 2 MiB in practice.
pub(crate) const TRAILER: u64 = 16 << 20;
/// Files, links and folders in an archive of images, each with some 100 bytes while it is imported. One of Docker's has
/// three for each layer.
pub(crate) const ARCHIVE_ENTRIES: usize = 65_536;
/// Bytes of the names of these, and of what their links lead to.
pub(crate) const ARCHIVE_NAMES: usize = 8 << 20;
/// Links in an archive of images that lead to one another.
pub(crate) const ARCHIVE_LINKS: usize = 8;
/// Images of an archive.
pub(crate) const ARCHIVE_IMAGES: usize = 1000;
/// Layers of all of these, each time that an image has one: where the ones below are others a layer that is there once
/// is unpacked again, and an empty one costs nothing but a directory.
pub(crate) const ARCHIVE_LAYERS: usize = 65_536;

/// Bytes of the manifests and configurations of all images of an archive: they are in memory until all is unpacked. An
/// image's are some 20 KiB.
pub(crate) const ARCHIVE_DOCUMENTS: usize = 32 << 20;
/// Bytes of documents of an archive that are looked at, each time that its lists lead to one: what they lead to and is
/// not taken counts, too.
pub(crate) const ARCHIVE_READS: u64 = 256 << 20;
/// Bytes of the list of images in an archive: `index.json` or `manifest.json`.
pub(crate) const ARCHIVE_LIST_BYTES: usize = 4 << 20;
/// Bytes of an image's name in such a list: 255 of registry and repository, 128 of a tag, and a digest.
pub(crate) const IMAGE_NAME_TEXT: usize = 512;
/// Bytes of all names in the list of `docker save`, each with [`TEXT_OVERHEAD`]: an archive of as many images as are
/// taken has one of 500 bytes for each, or some ten.
pub(crate) const ARCHIVE_NAME_TEXTS: usize = 1 << 20;
/// Archives in the folder that is imported at the start.
pub(crate) const FOLDER_ARCHIVES: usize = 1024;
/// Partial blobs, and trees in the trash, that a report of the store lists.
pub(crate) const USAGE_FILES: usize = 1024;
/// Paths that a container is told to have deleted of its image, where it is written with what it has changed.
pub const DELETED_PATHS: usize = 1 << 20;
/// Bytes of the list of these paths, as JSON.
pub const DELETED_BYTES: usize = 16 << 20;
/// Bytes of names by which an export remembers files that have several; further ones are written as copies.
pub(crate) const EXPORT_LINKS: usize = 32 << 20;
/// Binary logarithm of the memory that a zstd frame may ask for of any unpacker: RFC 8878 asks of every reader to take
/// that much. `zstd` up to -19 stays within it, as do the libraries that builders of images use.
pub(crate) const ZSTD_WINDOW_LOG: u32 = 23;
/// The same of an unpacker that has the right to a large window: what `zstd --long` and `--ultra -22` write.
pub(crate) const ZSTD_LARGE_WINDOW_LOG: u32 = 27;
/// Unpackers with a large window, once all of their layer is here; others wait.
pub(crate) const ZSTD_LARGE_WINDOWS: usize = 2;
