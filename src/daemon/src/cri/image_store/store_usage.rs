//! StoreUsage: what takes room in the image store, and who needs it, for `peapod check store`.

use peapod_api::own::{StoreUsageResponse, UsedFile, UsedImage, UsedLayer};
use peapod_image::{ImageUse, LayerUse, StoreUsage};

use crate::cri::Services;
use crate::cri::status::{Answer, Failure};

pub(super) async fn handle(services: &Services) -> Answer<StoreUsageResponse> {
    let failed = |source| Failure::Io { what: "the image store".to_owned(), source: std::io::Error::other(source) };
    let StoreUsage { root, free_bytes, free_inodes, images, layers, partials, trash } =
        services.images.usage().await.map_err(failed)?;
    let image = |ImageUse { id, names, size, pinned, layers, holders }| UsedImage {
        id,
        names,
        size,
        pinned,
        layers,
        containers: holders,
    };
    let layer = |LayerUse { name, bytes, inodes, holders }| UsedLayer { name, bytes, inodes, containers: holders };
    Ok(StoreUsageResponse {
        root: root.to_string_lossy().into_owned(),
        free_bytes,
        free_inodes,
        images: images.into_iter().map(image).collect(),
        layers: layers.into_iter().map(layer).collect(),
        partials: partials.into_iter().map(|(name, bytes)| UsedFile { name, bytes }).collect(),
        trash: trash.into_iter().map(|name| UsedFile { name, bytes: 0 }).collect(),
    })
}
