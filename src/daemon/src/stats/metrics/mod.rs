//! Metrics of pods and containers, by the names that cAdvisor gave them: dashboards and alerts know these.
//!
//! One table ([`table`]) has for each metric its name, what it means, and how its values follow from a sample. What is
//! announced and what is told are both made of it, so that neither has what the other has not. Sums of time are in
//! whole seconds, as CRI has no fractions.

mod spec;
mod table;
#[cfg(test)]
mod tests;

use peapod_cgroup::{DeviceIo, Hierarchy, HugePages, PageFaults};

pub(crate) use table::METRICS;

use super::layers::LayerUsage;
use super::network::InterfaceUsage;
use super::processes::ProcessCounts;
use super::sample::{ContainerSample, Disk, PodSample};

/// A metric.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    /// What it means, for people.
    pub(crate) help: &'static str,
    pub(crate) kind: MetricKind,
    pub(super) value: Value,
    pub(super) needs: Needs,
}

/// How values go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricKind {
    /// They only rise.
    Counter,
    Gauge,
}

/// What a node has to have for a metric to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    Pressure,
    HugePages,
    HugePageMaxima,
}

/// Where values come from, and so which labels they have beside those that all have. What is not known has no value.
pub(super) enum Value {
    /// Of a container.
    Plain(fn(&ContainerSample) -> Option<u64>),
    /// Of all its processors together.
    Processors(fn(&ContainerSample) -> Option<u64>),
    /// Page faults, by kind and by whether those of groups below count.
    Faults,
    /// Of what was counted in the background.
    Processes(fn(&ProcessCounts) -> Option<u64>),
    /// Limits of the container's first process, by their names.
    Limits,
    /// Of the file system of writable layers.
    Disk(fn(&Disk) -> Option<u64>),
    /// Of the container's layer on it.
    Layer(fn(&LayerUsage) -> u64),
    /// Of each block device.
    Device(fn(&DeviceIo) -> u64),
    /// Bytes of each, by operation.
    Operations,
    /// Of each size of huge pages.
    HugePages(fn(&HugePages) -> Option<u64>),
    /// Of each interface of a pod: of no container.
    Interface(fn(&InterfaceUsage) -> Option<u64>),
}

impl Metric {
    /// Whether this node can tell it.
    pub(crate) fn is_known(&self, cgroups: &Hierarchy) -> bool {
        let (hugepages, maxima) = cgroups.counts_hugepages();
        match self.needs {
            Needs::Nothing => true,
            Needs::Pressure => cgroups.has_pressure(),
            Needs::HugePages => hugepages,
            Needs::HugePageMaxima => maxima,
        }
    }

    /// Names of its labels beside those that all have.
    pub(crate) fn labels(&self) -> &'static [&'static str] {
        match self.value {
            Value::Plain(_) | Value::Processes(_) => &[],
            Value::Processors(_) => &["cpu"],
            Value::Faults => &["failure_type", "scope"],
            Value::Limits => &["ulimit"],
            Value::Disk(_) | Value::Layer(_) | Value::Device(_) => &["device"],
            Value::Operations => &["device", "major", "minor", "operation"],
            Value::HugePages(_) => &["pagesize"],
            Value::Interface(_) => &["interface"],
        }
    }

    /// Gives each value of a container to `put`, with the values of [`Metric::labels`].
    pub(crate) fn of_container(&self, of: &ContainerSample, disk: Option<&Disk>, mut put: impl FnMut(&[&str], u64)) {
        let mut known = |labels: &[&str], value: Option<u64>| {
            if let Some(value) = value {
                put(labels, value);
            }
        };
        match self.value {
            Value::Plain(value) => known(&[], value(of)),
            Value::Processors(value) => known(&["total"], value(of)),
            Value::Faults => {
                let PageFaults { all, major, own, own_major } = of.stats.faults;
                known(&["pgfault", "container"], own);
                known(&["pgfault", "hierarchy"], all);
                known(&["pgmajfault", "container"], own_major);
                known(&["pgmajfault", "hierarchy"], major);
            }
            Value::Processes(value) => known(&[], of.processes.as_ref().and_then(value)),
            Value::Limits => known(&["max_open_files"], of.processes.and_then(|counts| counts.descriptor_limit)),
            Value::Disk(value) => {
                if let Some(disk) = disk {
                    known(&[&disk.device], value(disk));
                }
            }
            Value::Layer(value) => {
                if let Some((disk, layer)) = disk.zip(of.layer) {
                    known(&[&disk.device], Some(value(&layer)));
                }
            }
            Value::Device(value) => {
                devices(of).for_each(|(name, io)| known(&[name], Some(value(io))));
            }
            Value::Operations => {
                for (name, io) in devices(of) {
                    let (major, minor) = (io.major.to_string(), io.minor.to_string());
                    known(&[name, &major, &minor, "Read"], Some(io.read_bytes));
                    known(&[name, &major, &minor, "Write"], Some(io.written_bytes));
                }
            }
            Value::HugePages(value) => {
                of.stats.hugepages.iter().for_each(|pages| known(&[&pages.size], value(pages)));
            }
            Value::Interface(_) => {}
        }
    }

    /// The same for a pod.
    pub(crate) fn of_pod(&self, of: &PodSample, mut put: impl FnMut(&[&str], u64)) {
        let Value::Interface(value) = self.value else { return };
        for interface in &of.interfaces {
            if let Some(value) = value(interface) {
                put(&[&interface.name], value);
            }
        }
    }
}

fn devices(of: &ContainerSample) -> impl Iterator<Item = (&str, &DeviceIo)> {
    of.devices.iter().map(|name| &**name).zip(&of.stats.devices)
}
