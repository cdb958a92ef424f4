//! The stages of a pull.

peapod_trace::stages! {
    /// The pull itself, for each call that waits for it.
    PULL = "pull", "the pull";
    /// An archive of images, from a client or a file.
    ARCHIVE = "archive", "the archive to come";
    /// Where the registry's hosts are.
    HOSTS = "hosts", "the registry's hosts.toml";
    /// A host of the registry, and what it is asked for.
    REGISTRY = "registry", "registry {}";
    /// A server that gives tokens.
    TOKEN = "token", "the token server of registry {}";
    /// A pause before a host is asked again.
    BACK_OFF = "back off", "the next try at registry {}";
    /// Memory, or disk, for large manifests.
    DOCUMENTS = "documents", "memory for the image's manifest";
    /// Layers that are here already are looked at.
    VERIFY = "verify", "the layers that are here to be verified";
    /// Which layers are missing.
    PRESENT = "present", "the look for the layers that are here";
    /// A layer that is missing.
    LAYER = "layer", "layer {}";
    /// Somebody else works on the same layer.
    FETCH = "fetch", "the layer to be fetched";
    /// The file of a blob, on which an earlier pull may still work.
    PART = "part", "the file of what is here of the layer";
    /// The right to transfer.
    SLOT = "slot", "a slot for the transfer";
    /// Bytes, from a host.
    TRANSFER = "transfer", "registry {}";
    /// The unpacker.
    UNPACK = "unpack", "the layer to be unpacked";
    /// What is here is put in its place.
    PLACE = "place", "the layers to be moved into place and synced";
    /// The records.
    RECORD = "record", "the image's record to be on disk";
}
