//! Databases.

use peapod_store::DatabaseMeasures;

use super::family::{FamilyReading, MetricFamily};

pub(super) static FAMILIES: [MetricFamily; 4] = [
    MetricFamily::histogram(
        "peapod_database_commit_duration_seconds",
        &["database"],
        "Writes of state.db (`state`) and image.db (`image`), with their commits.",
    ),
    MetricFamily::counter("peapod_database_failures", &["database"], "Writes that were rolled back."),
    MetricFamily::gauge(
        "peapod_database_writes_waiting",
        &["database"],
        "Writes that wait for the database's thread, and the one under way.",
    ),
    MetricFamily::gauge(
        "peapod_databases_set_aside",
        &[],
        "Databases that could not be read, at this start or earlier, and are kept in the state root.",
    ),
];

pub(super) fn read(databases: &[(&'static str, DatabaseMeasures)], aside: usize) -> Vec<FamilyReading> {
    let [commits, failures, waiting, set_aside] = &FAMILIES;
    let all = || databases.iter();
    vec![
        commits.by(all().map(|(name, measures)| (*name, measures.commits.read()))),
        failures.by(all().map(|(name, measures)| (*name, measures.failures.get()))),
        waiting.by(all().map(|(name, measures)| (*name, measures.waiting.get()))),
        set_aside.is(aside),
    ]
}
