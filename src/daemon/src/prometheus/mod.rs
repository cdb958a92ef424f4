//! What the daemon tells Prometheus of itself: all `peapod_*` metrics, and `process_*` of its own process, at an
//! address or a socket of their own (`[metrics]`). Each crate counts its own work in atomics (`peapod_measure`); here
//! they are read, named ([`family`]) and written as OpenMetrics ([`text`]) when somebody asks, and only then.
//!
//! The metrics of pods and containers go through CRI to the kubelet, and are another matter: `stats/metrics`.

mod calls;
mod family;
mod files;
mod images;
mod plugins;
mod pods;
mod process;
mod server;
mod sessions;
mod spans;
mod stores;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use peapod_store::DatabaseMeasures;

use crate::cri::Services;
use crate::grpc::GrpcMeasures;
use crate::spans::SpanMeasures;

pub(crate) use server::run;

/// All that is told of.
pub(crate) struct MetricSources {
    pub(crate) services: Arc<Services>,
    pub(crate) grpc: GrpcMeasures,
    pub(crate) spans: SpanMeasures,
    /// Each with its name.
    pub(crate) databases: [(&'static str, DatabaseMeasures); 2],
}

impl MetricSources {
    /// What disks tell. Blocks: one may not answer.
    fn read_disks(&self) -> Vec<family::FamilyReading> {
        files::read(&self.services.config)
    }

    /// All else as it is now.
    fn read(&self) -> Vec<family::FamilyReading> {
        let services = &*self.services;
        let mut all =
            calls::read(&self.grpc, services.places.event_streams.taken(), services.places.list_streams.taken());
        all.extend(pods::read(&services.pods.snapshot(), services.pods.measures()));
        all.extend(plugins::read(services.pods.plugins()));
        all.extend(images::read(&services.images));
        all.extend(stores::read(&self.databases, services.set_aside.len()));
        all.extend(sessions::read(&services.streaming));
        all.extend(spans::read(&self.spans));
        all.extend(process::read());
        all
    }
}
