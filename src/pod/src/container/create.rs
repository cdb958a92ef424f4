//! CreateContainer: everything is looked up and checked, nothing runs.

use std::sync::Arc;

use peapod_image::Image;
use peapod_shim_protocol::extension::Namespaces;
use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::PodSpec;
use peapod_sys::fail_point;

use super::stop_signal::stop_signal;
use super::{look_up, mounts, spec};
use crate::apparmor;
use crate::clock;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::node::Node;
use crate::record::{ContainerPhase, ContainerState, PodCgroup};
use crate::stage::timed;

/// A container that can be recorded.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) record: ContainerState,
}

/// Checks a request against image and node, and keeps the image's layers for it. After an error nothing is kept.
pub(crate) async fn create(
    node: &Arc<Node>,
    pod_id: &PodId,
    pod: &Arc<PodSpec>,
    cgroup: &PodCgroup,
    id: &ContainerId,
    spec: &Arc<ContainerSpec>,
) -> Result<Prepared, Error> {
    if let Some(index) = spec.mounts.iter().position(|mount| mount.recursive_read_only)
        && !node.features(&pod.runtime_handler).recursive_read_only
    {
        return Err(Error::Invalid {
            field: format!("mounts[{index}].recursive_read_only"),
            reason: "the OCI runtime of the pod's handler does not say that it can do this".to_owned(),
        });
    }
    let image = node.images.resolve(&spec.image).ok_or_else(|| Error::ImageNotFound(spec.image.clone()))?;
    // Usually its start is asked for as soon as this is answered.
    node.ahead.of_a_move();
    let outcome = prepare(node, pod_id, pod, cgroup, id, spec, image).await;
    if outcome.is_err()
        && let Err(error) = node.images.release(id.as_str()).await
    {
        tracing::warn!(%error, "the layers of a container that could not be made stay until the next start");
    }
    outcome
}

async fn prepare(
    node: &Arc<Node>,
    pod_id: &PodId,
    pod: &Arc<PodSpec>,
    cgroup: &PodCgroup,
    id: &ContainerId,
    spec: &Arc<ContainerSpec>,
    image: Arc<Image>,
) -> Result<Prepared, Error> {
    let rootfs = timed("create: lease", node.images.lease(&image.id, id.as_str()))
        .await
        .map_err(|error| Error::failed("keep the image", &error))?;
    fail_point("container-leased");
    let (stop_signal, note) = stop_signal(spec.stop_signal, image.config.stop_signal.as_deref());
    node.say_once(note.into_iter().collect());
    let (driver, group) = (cgroup.driver, cgroup.driver.group(&cgroup.parent, id.as_str()));
    let record = ContainerState {
        phase: ContainerPhase::Created,
        created_at: clock::now(),
        image_id: image.id.to_string(),
        image_name: shown_name(&image, spec),
        image_ref: image.repo_digests.first().cloned().unwrap_or_else(|| image.id.to_string()),
        user: (0, 0, Vec::new()),
        image: Some(spec::defaults(&image.config)),
        stop_signal,
        cgroup: group.clone(),
        stop_deadline: None,
        held: false,
    };
    let (node, pod, spec, pod_dir) = (Arc::clone(node), Arc::clone(pod), Arc::clone(spec), node.pod_dir(pod_id));
    let apparmor = apparmor::profiles(spec.security.wants_default_apparmor()).await;
    let check = move || {
        let looked = spec::look(&spec, &spec::defaults(&image.config), &rootfs, apparmor)?;
        // The real namespaces are known when it starts; everything else is checked by making the whole configuration now.
        let namespaces = spec::namespaces(&spec, &Namespaces::default(), None);
        let config = spec::config(&node, &pod_dir, &pod, &spec, &looked, &namespaces, (driver, &group))?;
        // The last thing: a refused request changes nothing.
        mounts::make_absent(&spec.mounts)?;
        Ok(config)
    };
    let checked = timed("create: check", look_up(pod_id, "check the container", check)).await?;
    fail_point("container-checked");
    let user = checked.user;
    Ok(Prepared { record: ContainerState { user: (user.uid, user.gid, user.groups), ..record } })
}

/// The name that users know: a tag of the image that they wrote, else any tag, a digest, the id.
fn shown_name(image: &Image, spec: &ContainerSpec) -> String {
    let wanted = [&spec.user_specified_image, &spec.image];
    image
        .repo_tags
        .iter()
        .find(|tag| wanted.contains(tag))
        .or_else(|| image.repo_tags.first())
        .or_else(|| image.repo_digests.first())
        .cloned()
        .unwrap_or_else(|| image.id.to_string())
}
