//! CreateContainer: everything is looked up and checked, nothing runs.

use std::sync::Arc;

use peapod_image::Image;
use peapod_shim_protocol::extension::Namespaces;
use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::PodSpec;
use peapod_sys::fail_point;

use super::spec;
use crate::apparmor;
use crate::clock;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::node::Node;
use crate::record::{ContainerPhase, ContainerState, PodCgroup};
use crate::stage::timed;

/// SIGTERM.
const DEFAULT_STOP_SIGNAL: i32 = 15;

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
    let (driver, group) = (cgroup.driver, cgroup.driver.group(&cgroup.parent, id.as_str()));
    let record = ContainerState {
        phase: ContainerPhase::Created,
        created_at: clock::now(),
        image_id: image.id.to_string(),
        image_name: shown_name(&image, spec),
        image_ref: image.repo_digests.first().cloned().unwrap_or_else(|| image.id.to_string()),
        user: (0, 0, Vec::new()),
        stop_signal: stop_signal(spec, &image)?,
        cgroup: group.clone(),
        stop_deadline: None,
        held: false,
    };
    let (node, pod, spec, pod_dir) = (Arc::clone(node), Arc::clone(pod), Arc::clone(spec), node.pod_dir(pod_id));
    let apparmor = apparmor::profiles(spec.security.wants_default_apparmor()).await;
    let check = tokio::task::spawn_blocking(move || {
        let looked = spec::look(&spec, &image, &rootfs, apparmor)?;
        // The real namespaces are known when it starts; everything else is checked by making the whole configuration now.
        let namespaces = spec::namespaces(&spec, &Namespaces::default(), None);
        spec::config(&node, &pod_dir, &pod, &spec, &looked, &namespaces, (driver, &group))
    });
    let checked = timed("create: check", check).await;
    let checked = checked.map_err(|error| Error::failed("check the container", &error))??;
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

/// The request's, else the image's, else SIGTERM.
fn stop_signal(spec: &ContainerSpec, image: &Image) -> Result<i32, Error> {
    if let Some(signal) = spec.stop_signal {
        return Ok(signal);
    }
    let Some(text) = image.config.stop_signal.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(DEFAULT_STOP_SIGNAL);
    };
    parse_signal(text).ok_or_else(|| Error::Invalid {
        field: "image".to_owned(),
        reason: format!("its configuration has the stop signal {text:?}, which is none"),
    })
}

/// `SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3`.
fn parse_signal(text: &str) -> Option<i32> {
    const RTMIN: i32 = 34;
    const LAST: i32 = 64;
    if let Ok(number) = text.parse::<i32>() {
        return (1..=LAST).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str| if rest.is_empty() { Some(0) } else { rest.parse::<i32>().ok() };
    let real_time = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => offset(rest).map(|n| RTMIN + n),
        (None, Some(rest)) => offset(rest).map(|n| LAST + n),
        (None, None) => None,
    };
    match real_time {
        Some(number) => (RTMIN..=LAST).contains(&number).then_some(number),
        None => format!("SIG{name}").parse::<nix::sys::signal::Signal>().ok().map(|signal| signal as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_signal;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in
            [("SIGQUIT", 3), ("quit", 3), ("15", 15), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("sigterm", 15)]
        {
            assert_eq!(parse_signal(text), Some(number), "{text}");
        }
        for text in ["", "0", "65", "SIGNONE", "RTMIN+40", "-1"] {
            assert_eq!(parse_signal(text), None, "{text}");
        }
    }
}
