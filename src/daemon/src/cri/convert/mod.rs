//! Messages to checked types of our own, and back. No file, process or clock is touched here.

mod bandwidth;
#[cfg(test)]
mod cdi_tests;
mod container;
mod container_view;
mod encoded_fields;
mod event;
mod field;
#[cfg(test)]
mod fuzz;
mod image;
mod metrics;
mod mounts;
mod namespaces;
mod network;
mod pod;
mod pod_view;
mod profile;
mod resources;
mod security;
mod session;
mod signal;
mod stats;
mod sysctl;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod usage_tests;
#[cfg(test)]
mod users_tests;
#[cfg(test)]
mod view_tests;

pub(crate) use bandwidth::senseless_rates;
pub(crate) use container::container_spec;
pub(crate) use container_view::{
    attributes as container_attributes, container, container_status, state as container_state,
};
pub(crate) use event::event;
pub(crate) use field::{Checked, FieldError, not_empty, required};
pub(crate) use image::{credentials, image, image_name, reference};
pub(crate) use metrics::{metric_descriptors, pod_metrics};
pub(crate) use pod::{pod_resources, pod_spec};
pub(crate) use pod_view::{attributes as pod_attributes, pod_sandbox, pod_sandbox_status, state as pod_state};
pub(crate) use resources::resources;
pub(crate) use session::{command, streams};
pub(crate) use stats::{container_stats, pod_stats};
#[cfg(test)]
pub(crate) use usage_tests::pod_view as test_pod_view;
#[cfg(test)]
pub(crate) use view_tests::view as test_container_view;
