//! RestorePod: makes a pod and its containers, not yet running, from a checkpoint. After an error nothing of it is
//! left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use peapod_api::v1::{ContainerConfig, RestorePodRequest, RestorePodResponse, RestoredContainer};
use peapod_pod::ContainerId;
use peapod_spec::container::ContainerSpec;
use peapod_text::excerpt;
use peapod_trace::Span;

use super::checkpoint_pod::refuse_options;
use crate::cri::Services;
use crate::cri::blocking::blocking;
use crate::cri::convert::{FieldError, container_spec, not_empty, pod_spec};
use crate::cri::status::Answer;

pub(super) async fn handle(services: &Services, request: RestorePodRequest, span: &Span) -> Answer<RestorePodResponse> {
    let folder = PathBuf::from(not_empty("checkpoint_path", request.checkpoint_path)?);
    refuse_options(&request.options)?;
    let spec = pod_spec(request.config, request.runtime_handler)?;
    let archives = archives(folder).await?;
    let containers = containers(request.container_configs, archives)?;
    let names: Vec<_> = containers.iter().map(|container| container.metadata.name.clone()).collect();
    let (pod, created) = services.pods.restore_pod(spec, containers, span).await?;
    let restored = |(name, id): (String, ContainerId)| RestoredContainer { name, container_id: id.to_string() };
    let restored_containers = names.into_iter().zip(created).map(restored).collect();
    Ok(RestorePodResponse { pod_sandbox_id: pod.to_string(), restored_containers })
}

async fn archives(folder: PathBuf) -> Answer<BTreeMap<String, PathBuf>> {
    let found = blocking("read the checkpoint", move || peapod_pod::archives(Path::new(&folder))).await?;
    Ok(found?)
}

/// Each container of the request with its archive in place of an image. What it may do is the request's.
fn containers(configs: Vec<ContainerConfig>, mut archives: BTreeMap<String, PathBuf>) -> Answer<Vec<ContainerSpec>> {
    let mut containers = Vec::with_capacity(configs.len());
    for config in configs {
        let mut spec = container_spec(Some(config))?;
        let name = &spec.metadata.name;
        let archive = archives.remove(name).ok_or_else(|| {
            let why = format!("{} is not in the checkpoint, or is there twice", excerpt(name));
            FieldError::new("container_configs", why)
        })?;
        spec.image = archive.to_string_lossy().into_owned();
        containers.push(spec);
    }
    match archives.keys().next() {
        None => Ok(containers),
        Some(name) => {
            let why = format!("has no {}, which is in the checkpoint", excerpt(name));
            Err(FieldError::new("container_configs", why).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_what_the_checkpoint_has() {
        let config = |name: &str| ContainerConfig {
            metadata: Some(peapod_api::v1::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(peapod_api::v1::ImageSpec { image: "i".to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let archives = || BTreeMap::from([("a", "/c/1.tar"), ("b", "/c/2.tar")].map(|(n, p)| (n.to_owned(), p.into())));
        let made = containers(vec![config("b"), config("a")], archives()).unwrap();
        assert_eq!(made.iter().map(|spec| spec.image.as_str()).collect::<Vec<_>>(), ["/c/2.tar", "/c/1.tar"]);
        for (names, word) in [(&["a"][..], "has no"), (&["a", "b", "c"], "\"c\""), (&["a", "b", "b"], "twice")] {
            let refused = containers(names.iter().map(|name| config(name)).collect(), archives()).unwrap_err();
            assert!(refused.to_string().contains(word), "{refused}");
        }
    }
}
