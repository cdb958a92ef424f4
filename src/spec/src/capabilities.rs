//! Sets of capabilities: the default one, what the client adds and drops, what the node can give.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, LinuxCapabilities};

use crate::SpecError;
use crate::container::{Capabilities, ContainerSecurity};
use crate::note::Note;
use peapod_text::Sample;

/// All capabilities; the place in the list is the kernel's number.
const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// What a container has when nobody says anything: enough for a distribution's packages and for servers on low ports,
/// nothing that reaches beyond the container's own files, processes and sockets. Images of the field rely on this set.
const DEFAULT: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// A set of capabilities, as the kernel's bit mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// All that are known here.
    pub const fn all() -> Self {
        Self((1 << ALL.len()) - 1)
    }

    /// From a bit mask as in `/proc/self/status`; unknown bits are dropped.
    pub const fn from_mask(mask: u64) -> Self {
        Self(mask & Self::all().0)
    }

    /// The set of a container for which nothing was asked.
    pub fn container_default() -> Self {
        DEFAULT.into_iter().collect()
    }

    /// Whether it is in the set.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & bit(capability) != 0
    }

    /// Names with `CAP_`, in the kernel's order.
    pub fn names(self) -> Vec<String> {
        self.iter().map(|capability| format!("CAP_{capability}")).collect()
    }

    /// In the kernel's order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        ALL.into_iter().filter(move |capability| self.contains(*capability))
    }

    const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<T: IntoIterator<Item = Capability>>(iter: T) -> Self {
        Self(iter.into_iter().fold(0, |mask, capability| mask | bit(capability)))
    }
}

/// Zero for one that the table lacks, which is none.
fn bit(capability: Capability) -> u64 {
    ALL.iter().position(|known| *known == capability).map_or(0, |number| 1 << number)
}

/// What a container's process gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Bounding, effective and permitted.
    pub(crate) main: CapabilitySet,
    /// Kept over exec by a user other than root.
    pub(crate) ambient: CapabilitySet,
}

/// Applies the request to the default set and leaves out what the node can't give.
pub(crate) fn granted(
    security: &ContainerSecurity,
    node: CapabilitySet,
    notes: &mut Vec<Note>,
) -> Result<Granted, SpecError> {
    let (wanted, ambient) = wanted(security, notes)?;
    let missing = wanted.without(node);
    if missing != CapabilitySet::default() {
        notes.push(Note::Capabilities(missing.names()));
    }
    let main = wanted.intersection(node);
    Ok(Granted { main, ambient: ambient.intersection(main) })
}

/// `ALL` counts before single names, so "drop ALL, add X" leaves X and "add ALL, drop X" all but X.
/// What no kernel has is refused where it should be added; dropped it is already.
fn wanted(security: &ContainerSecurity, notes: &mut Vec<Note>) -> Result<(CapabilitySet, CapabilitySet), SpecError> {
    let Capabilities { add, drop, add_ambient } = &security.capabilities;
    let refuse = |name: &str| Err(SpecError::UnknownCapability(name.to_owned()));
    let (add_all, add) = parse(add, refuse)?;
    let (ambient_all, ambient) = parse(add_ambient, refuse)?;
    let mut unknown = Vec::new();
    let (drop_all, drop) = parse(drop, |name| {
        unknown.push(name.to_owned());
        Ok(())
    })?;
    if !unknown.is_empty() {
        notes.push(Note::UnknownDrop(Sample::of(unknown.iter().map(String::as_str))));
    }
    let ambient = if ambient_all { CapabilitySet::all() } else { ambient };
    if security.privileged {
        return Ok((CapabilitySet::all(), ambient));
    }
    let start = match (add_all, drop_all) {
        (_, true) => CapabilitySet::default(),
        (true, false) => CapabilitySet::all(),
        (false, false) => CapabilitySet::container_default(),
    };
    let main = start.union(add).union(ambient).without(drop);
    Ok((main, ambient))
}

/// Whether `ALL` is among the names, and the other names as a set.
fn parse(
    names: &[String],
    mut unknown: impl FnMut(&str) -> Result<(), SpecError>,
) -> Result<(bool, CapabilitySet), SpecError> {
    let mut all = false;
    let mut set = CapabilitySet::default();
    for name in names {
        let short = name.strip_prefix("CAP_").unwrap_or(name);
        if short == "ALL" {
            all = true;
            continue;
        }
        match short.parse::<Capability>() {
            Ok(capability) => set = set.union([capability].into_iter().collect()),
            Err(_) => unknown(name)?,
        }
    }
    Ok((all, set))
}

/// As config.json wants it. Inheritable capabilities are only given as far as ambient ones need them: more would let
/// any program with inheritable file capabilities raise its own.
pub(crate) fn to_oci(granted: Granted) -> LinuxCapabilities {
    let main: HashSet<_> = granted.main.iter().collect();
    let ambient: HashSet<_> = granted.ambient.iter().collect();
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(main.clone()))
        .set_effective(Some(main.clone()))
        .set_permitted(Some(main))
        .set_inheritable(Some(ambient.clone()))
        .set_ambient(Some(ambient));
    capabilities
}
