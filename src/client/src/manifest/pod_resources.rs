//! What a pod asks for as a whole: by itself, or by what its containers ask for together.

use k8s_openapi::api::core::v1 as k8s;

use super::builder::Builder;
use super::container::Container;
use super::quantity::Quantity;
use super::resources::{self, ContainerResources};

/// What a pod's containers come to: those that run beside each other, or one that goes before with the sidecars that
/// run by then, whichever is more.
pub(crate) fn together(
    init_containers: &[Container],
    containers: &[Container],
    amount: impl Fn(&ContainerResources) -> Quantity,
) -> Quantity {
    let sum = |sum: Quantity, one: &Container| sum.plus(amount(&one.resources));
    let (mut sidecars, mut most) = (Quantity::default(), Quantity::default());
    for container in init_containers {
        let with_it = sum(sidecars, container);
        most = most.max(with_it);
        if container.is_sidecar() {
            sidecars = with_it;
        }
    }
    most.max(containers.iter().fold(sidecars, sum))
}

/// Of a pod as a whole: what has a limit alone is asked for as much as its containers ask for together, if they do.
pub(super) fn build(
    b: &mut Builder<'_>,
    given: Option<&k8s::ResourceRequirements>,
    (init_containers, containers): (&[Container], &[Container]),
) -> ContainerResources {
    let mut resources = resources::build(b, "spec.resources", given);
    if resources.limits.is_empty() {
        return resources;
    }
    for (list, containers) in [("spec.initContainers", init_containers), ("spec.containers", containers)] {
        for (index, container) in containers.iter().enumerate() {
            for (name, limit) in &container.resources.limits {
                if let Some(whole) = resources.limit(name).filter(|whole| limit > whole) {
                    let path = format!("{list}[{index}].resources.limits.{name}");
                    b.add_mistake(&path, format!("is {limit}, which is more than the pod's, {whole}"));
                }
            }
        }
    }
    let is_given =
        |name: &str| given.and_then(|given| given.requests.as_ref()).is_some_and(|all| all.contains_key(name));
    for name in ["cpu", "memory"] {
        let has_request = |one: &Container| one.resources.requests.contains_key(name);
        if !is_given(name) && init_containers.iter().chain(containers).any(has_request) {
            let asked = together(init_containers, containers, |one| one.request(name));
            resources.requests.insert(name.to_owned(), asked);
        }
    }
    resources
}
