//! Requests and limits, with the defaults that an API server fills in.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Given;

use super::builder::Builder;
use super::quantity::Quantity;

/// What a container, or a pod as a whole, asks for and is limited to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerResources {
    /// By name; what has a limit alone is asked for as much.
    pub(crate) requests: BTreeMap<String, Quantity>,
    pub(crate) limits: BTreeMap<String, Quantity>,
}

/// Who goes first when memory is short, from last to first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl ContainerResources {
    /// A request, zero if there is none.
    pub(crate) fn request(&self, name: &str) -> Quantity {
        self.requests.get(name).copied().unwrap_or_default()
    }

    /// A limit; none if it is zero.
    pub(crate) fn limit(&self, name: &str) -> Option<Quantity> {
        self.limits.get(name).copied().filter(|limit| !limit.is_zero())
    }

    /// Asks for nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.limits.is_empty()
    }

    fn asks_for_nothing(&self) -> bool {
        ["cpu", "memory"].iter().all(|name| self.request(name).is_zero() && self.limit(name).is_none())
    }

    fn is_guaranteed(&self) -> bool {
        ["cpu", "memory"].iter().all(|name| self.limit(name).is_some_and(|limit| limit == self.request(name)))
    }
}

impl QosClass {
    /// The class of a pod: by what it asks for as a whole, else by all its containers.
    pub(crate) fn of<'a>(pod: &ContainerResources, containers: impl Iterator<Item = &'a ContainerResources>) -> Self {
        let all: Vec<_> = if pod.is_empty() { containers.collect() } else { vec![pod] };
        if all.iter().all(|one| one.asks_for_nothing()) {
            Self::BestEffort
        } else if all.iter().all(|one| one.is_guaranteed()) {
            Self::Guaranteed
        } else {
            Self::Burstable
        }
    }
}

/// What stands at a path, checked.
pub(super) fn build(b: &mut Builder<'_>, path: &str, given: Option<&k8s::ResourceRequirements>) -> ContainerResources {
    let Some(given) = given else { return ContainerResources::default() };
    let limits = amounts(b, &format!("{path}.limits"), given.limits.as_ref());
    let mut requests = amounts(b, &format!("{path}.requests"), given.requests.as_ref());
    for (name, limit) in &limits {
        let request = requests.entry(name.clone()).or_insert(*limit);
        let at = format!("{path}.requests.{name}");
        if *request > *limit {
            b.add_mistake(&at, format!("is {request}, which is more than the limit of {limit}"));
        } else if name.starts_with("hugepages-") && request != limit {
            b.add_mistake(&at, format!("is {request}; of huge pages it has to equal the limit, {limit}"));
        }
    }
    for name in requests.keys().filter(|name| name.starts_with("hugepages-") && !limits.contains_key(*name)) {
        b.add_mistake(&format!("{path}.requests.{name}"), "needs an equal limit");
    }
    ContainerResources { requests, limits }
}

/// Amounts at a path, checked.
pub(super) fn amounts(
    b: &mut Builder<'_>,
    path: &str,
    given: Option<&BTreeMap<String, Given>>,
) -> BTreeMap<String, Quantity> {
    let mut amounts = BTreeMap::new();
    for (name, Given(text)) in given.into_iter().flatten() {
        let path = format!("{path}.{name}");
        if name.strip_prefix("hugepages-").is_some_and(|size| Quantity::parse(size).is_none_or(Quantity::is_zero)) {
            b.add_mistake(&path, "is no size of pages, such as hugepages-2Mi");
        }
        match Quantity::parse(text) {
            Some(amount) if !amount.is_negative() => {
                amounts.insert(name.clone(), amount);
            }
            Some(_) => b.add_mistake(&path, format!("is {text}; it has to be 0 or more")),
            None => b.add_mistake(&path, format!("is `{text}`; it has to be a quantity such as 500m or 1Gi")),
        }
    }
    amounts
}

/// The bytes of a page, as `hugepages-SIZE` names it.
pub(crate) fn size_of_pages(text: &str) -> Option<u64> {
    Quantity::parse(text).and_then(|size| u64::try_from(size.value()).ok())
}
