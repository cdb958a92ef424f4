//! The Container Runtime Interface, and what peapod serves beside it: messages, clients and servers, generated from
//! `proto/cri.proto` and `proto/peapod.proto`.
//!
//! `ListPodSandboxMetricsResponse` and `StreamPodSandboxMetricsResponse` have each pod's `PodSandboxMetrics` as the
//! bytes that it is encoded to: those of a node are ten thousand messages of the same few texts, which whoever makes
//! them writes at once, and whoever wants them decodes.
//!
//! A server answers ListContainers and ListPodSandbox with [`Encoded`] messages, as the same is asked again and again;
//! clients see no difference.

mod encoded;

pub use encoded::Encoded;

/// The messages and services of `runtime.v1`.
#[allow(missing_docs, clippy::all, clippy::too_many_lines, unreachable_pub, unused_qualifications)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
    include!(concat!(env!("OUT_DIR"), "/servers/runtime.v1.rs"));
}

/// The messages and services of `peapod.v1`, which other runtimes lack.
#[allow(missing_docs, clippy::all, clippy::too_many_lines, unreachable_pub, unused_qualifications)]
pub mod own {
    tonic::include_proto!("peapod.v1");
    include!(concat!(env!("OUT_DIR"), "/servers/peapod.v1.rs"));
}

impl std::fmt::Debug for own::CheckImageRequest {
    /// Shows no password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckImageRequest").field("image", &self.image).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for v1::AuthConfig {
    /// Shows that there are credentials, never which.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::v1;

    #[test]
    fn credentials_never_reach_a_log() {
        let request = v1::PullImageRequest {
            auth: Some(v1::AuthConfig {
                username: "alice".into(),
                password: "secret".into(),
                auth: "c2VjcmV0".into(),
                identity_token: "secret".into(),
                registry_token: "secret".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let check =
            super::own::CheckImageRequest { image: "a:1".into(), username: "alice".into(), password: "secret".into() };
        let shown = format!("{request:?} {check:?}");
        assert!(shown.contains("AuthConfig"), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("c2VjcmV0") && !shown.contains("alice"), "{shown}");
    }
}
