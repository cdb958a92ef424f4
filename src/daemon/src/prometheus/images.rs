//! Images and pulls.

use peapod_image::Images;

use super::family::{FamilyReading, MetricFamily};

pub(super) static FAMILIES: [MetricFamily; 10] = [
    MetricFamily::gauge("peapod_images", &[], "Images that are here."),
    MetricFamily::gauge("peapod_image_store_bytes", &[], "What their layers take on disk, by the records."),
    MetricFamily::gauge("peapod_image_store_inodes", &[], "Files and folders of their layers, by the records."),
    MetricFamily::gauge("peapod_pulls_in_flight", &[], "Pulls under way; equal ones are one."),
    MetricFamily::histogram("peapod_pull_duration_seconds", &[], "Pulls that succeeded."),
    MetricFamily::counter(
        "peapod_pull_failures",
        &["reason"],
        "Pulls that failed: `reference`, `not_found`, `unauthorised`, `unavailable` (no registry could serve it), \
         `platform`, `digest`, `manifest`, `archive`, `hosts` (a hosts.toml), `disk`, `records`, `cancelled` (nobody \
         waited any more).",
    ),
    MetricFamily::counter(
        "peapod_pull_joins",
        &["of"],
        "Joins of what another was doing already: a `pull`, or the fetch of a `layer`.",
    ),
    MetricFamily::counter(
        "peapod_layer_fetched_bytes",
        &["host"],
        "Compressed bytes of layers that came, by host: the first 16 that sent any have their names, the rest are \
         `other`.",
    ),
    MetricFamily::histogram("peapod_layer_duration_seconds", &[], "Layers that were fetched, verified and unpacked."),
    MetricFamily::counter("peapod_layer_unpacked_bytes", &[], "What these take on disk."),
];

pub(super) fn read(store: &Images) -> Vec<FamilyReading> {
    let [images, bytes, inodes, in_flight, pulls, failures, joins, fetched, layers, unpacked] = &FAMILIES;
    let (measures, used) = (store.measures(), store.fs_info());
    let hosts = measures.fetched.read().into_iter();
    let hosts = hosts.map(|(host, count)| (host.unwrap_or_else(|| "other".to_owned()), count));
    vec![
        images.is(store.list().len()),
        bytes.is(used.used_bytes),
        inodes.is(used.inodes_used),
        in_flight.is(measures.running.get()),
        pulls.is(measures.pulls.read()),
        failures.by(measures.failures.iter()),
        joins.by([("pull", measures.pull_joins.get()), ("layer", measures.layer_joins.get())]),
        fetched.by(hosts),
        layers.is(measures.layers.read()),
        unpacked.is(measures.unpacked.get()),
    ]
}
