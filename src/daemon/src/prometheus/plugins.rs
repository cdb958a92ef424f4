//! Plugins of the Node Resource Interface.

use peapod_nri::{PluginKind, Plugins};

use super::family::{FamilyReading, MetricFamily};

pub(super) static FAMILIES: [MetricFamily; 9] = [
    MetricFamily::gauge(
        "peapod_nri_plugins",
        &["kind"],
        "NRI plugins that are called: `connected` ones, and `installed` ones, which peapod starts.",
    ),
    MetricFamily::gauge("peapod_nri_plugins_down", &[], "Installed NRI plugins that do not run."),
    MetricFamily::counter("peapod_nri_plugin_starts", &[], "Installed NRI plugins that were started."),
    MetricFamily::counter(
        "peapod_nri_plugins_turned_away",
        &[],
        "Connections that did not become NRI plugins: not root's, too many, or without the steps that belong to it.",
    ),
    MetricFamily::counter(
        "peapod_nri_calls",
        &["outcome"],
        "Calls of NRI plugins: `answered`, `refused` (it does not want that, or the message is too long), `timed_out`, \
         `closed` (it left meanwhile), `nonsense`.",
    ),
    MetricFamily::counter(
        "peapod_nri_refusals",
        &["reason"],
        "What was not done: a `plugin` does not want it, two want different things (`conflict`), one that is `required` \
         is missing, `nri.reject` forbids what they want (`forbidden`), or it is `impossible`.",
    ),
    MetricFamily::counter(
        "peapod_nri_updates",
        &[],
        "Changes of limits of containers that NRI plugins wanted by themselves.",
    ),
    MetricFamily::counter("peapod_nri_update_failures", &[], "Those of them that failed."),
    MetricFamily::counter("peapod_nri_evictions", &[], "Containers that NRI plugins wanted to be stopped."),
];

pub(super) fn read(plugins: &Plugins) -> Vec<FamilyReading> {
    let [there, down, starts, turned_away, calls, refusals, updates, failures, evictions] = &FAMILIES;
    let (list, measures) = (plugins.list(), plugins.measures());
    let of_kind = |kind| u64::try_from(list.iter().filter(|plugin| plugin.kind == kind).count()).unwrap_or(u64::MAX);
    vec![
        there.by([("connected", of_kind(PluginKind::Connected)), ("installed", of_kind(PluginKind::Installed))]),
        down.is(u64::try_from(plugins.down().len()).unwrap_or(u64::MAX)),
        starts.is(measures.starts.get()),
        turned_away.is(measures.turned_away.get()),
        calls.by(measures.calls.iter()),
        refusals.by(measures.refusals.iter()),
        updates.is(measures.updates.get()),
        failures.is(measures.failed_updates.get()),
        evictions.is(measures.evictions.get()),
    ]
}
