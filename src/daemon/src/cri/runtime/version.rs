//! Version: who answers. Never fails.

use peapod_api::v1::{VersionRequest, VersionResponse};

/// Of the kubelet's runtime API; the kubelet ends if it reads anything else.
const KUBELET_API: &str = "0.1.0";

pub(super) fn handle(_: VersionRequest) -> VersionResponse {
    VersionResponse {
        version: KUBELET_API.into(),
        runtime_name: "peapod".into(),
        runtime_version: env!("CARGO_PKG_VERSION").into(),
        runtime_api_version: "v1".into(),
    }
}
