//! ImageFsInfo: what images and writable layers take, from counters. Every client asks when it connects.

use peapod_api::v1::{FilesystemIdentifier, FilesystemUsage, ImageFsInfoRequest, ImageFsInfoResponse, UInt64Value};

use crate::cri::Services;
use crate::stats::now;

pub(super) fn handle(services: &Services, _: ImageFsInfoRequest) -> ImageFsInfoResponse {
    let images = services.images.fs_info();
    let mountpoint = images.mountpoint.to_string_lossy().into_owned();
    let usage = |used_bytes, inodes_used| FilesystemUsage {
        timestamp: now(),
        fs_id: Some(FilesystemIdentifier { mountpoint: mountpoint.clone() }),
        used_bytes: Some(UInt64Value { value: used_bytes }),
        inodes_used: Some(UInt64Value { value: inodes_used }),
    };
    let layers = services.stats.layers.total();
    ImageFsInfoResponse {
        image_filesystems: vec![usage(images.used_bytes, images.inodes_used)],
        container_filesystems: vec![usage(layers.bytes, layers.inodes)],
    }
}
