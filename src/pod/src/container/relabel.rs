//! Volumes that get the SELinux label of the container that mounts them.

use std::path::Path;
use std::time::Instant;

use peapod_spec::Config;
use peapod_spec::container::ContainerMount;
use peapod_sys::{Labelled, NotLabelled, Unseen, label_tree};
use peapod_text::excerpt;

use crate::bounds::{RELABEL_ENTRIES, RELABEL_TIME};
use crate::error::Error;

/// Where the kernel has a file's label.
const ATTRIBUTE: &str = "security.selinux";

/// Labels the sources that are to be labelled, where the container has a label; which of the node's folders those may
/// be, its configuration has looked at, and `own` are peapod's. What has the label is left alone, so that another call
/// goes on where one ended whose time was over.
pub(super) fn volumes(
    config: &Config,
    mounts: &[ContainerMount],
    own: [&Path; 2],
    until: Instant,
) -> Result<(), Error> {
    let Some(label) = config.mount_label() else { return Ok(()) };
    let wanted = |(index, _): &(usize, &Path)| mounts.get(*index).is_some_and(|mount| mount.selinux_relabel);
    let sources: Vec<_> = config.sources(mounts).into_iter().filter(wanted).collect();
    for (index, source) in &sources {
        not_ours(*index, source, own)?;
    }
    let mut budget = RelabelBudget { until, entries: RELABEL_ENTRIES };
    sources.into_iter().try_for_each(|(index, source)| relabel(index, source, (ATTRIBUTE, label), &mut budget))
}

/// Layers and records serve all pods.
fn not_ours(index: usize, source: &Path, own: [&Path; 2]) -> Result<(), Error> {
    if own.iter().any(|root| source.starts_with(root) || root.starts_with(source)) {
        let reason = format!("{} has files of peapod's own, which can't have a container's label", excerpt(source));
        return Err(Error::Invalid { field: field(index), reason });
    }
    Ok(())
}

/// For all volumes of a container together: of what has the label only the time for looking at it.
struct RelabelBudget {
    until: Instant,
    entries: u64,
}

fn relabel(index: usize, source: &Path, label: (&str, &str), budget: &mut RelabelBudget) -> Result<(), Error> {
    let ((name, value), RelabelBudget { until, entries }) = (label, budget);
    let (most, mut labelled) = (*entries, 0);
    let outcome = label_tree(source, name, value.as_bytes(), |set| {
        labelled = set;
        set < most && Instant::now() < *until
    });
    *entries = most.saturating_sub(labelled);
    let failed = |reason: String| Error::Failed {
        step: format!("give {} the container's SELinux label", excerpt(source)),
        reason,
    };
    let by_mount = "mount it with a label (mount option context=)";
    match outcome {
        // As on NFS: all of it has the label of its mount.
        Ok(Labelled::Whole | Labelled::Unsupported) => Ok(()),
        Ok(Labelled::Part(Unseen::TimeIsUp)) if *entries == 0 => Err(Error::Invalid {
            field: field(index),
            reason: format!(
                "{} has, with the volumes before it, more than {RELABEL_ENTRIES} files without the container's label: \
                 give it that on the node (`chcon -R {value}`), or {by_mount}",
                excerpt(source)
            ),
        }),
        Ok(Labelled::Part(Unseen::TimeIsUp)) => {
            Err(failed(format!("not done within {} s; another call goes on with the rest", RELABEL_TIME.as_secs())))
        }
        Ok(Labelled::Part(Unseen::Moved)) => {
            Err(failed("somebody moved a folder in it meanwhile; another call goes on with the rest".to_owned()))
        }
        Ok(Labelled::Part(Unseen::Unreadable(path, errno))) => {
            Err(failed(format!("{} can't be listed: {errno}", excerpt(&path))))
        }
        Err(NotLabelled { path, source: error }) => match error.kind() {
            // The kernel knows no such label.
            std::io::ErrorKind::InvalidInput => Err(Error::Invalid {
                field: "linux.security_context.selinux_options".to_owned(),
                reason: format!("the node's SELinux policy has no label {value}, which {} should get", excerpt(&path)),
            }),
            std::io::ErrorKind::ReadOnlyFilesystem => Err(failed(format!("{}: {error}: {by_mount}", excerpt(&path)))),
            _ => Err(failed(format!("{}: {error}", excerpt(&path)))),
        },
    }
}

fn field(index: usize) -> String {
    format!("mounts[{index}].selinux_relabel")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What every file system here takes from everybody.
    const OWN: &str = "user.peapod";

    #[test]
    fn too_many_files_and_too_little_time_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let label = |entries, time| {
            let mut budget = RelabelBudget { until: Instant::now() + time, entries };
            relabel(3, dir.path(), (OWN, "label"), &mut budget).map_err(|error| error.to_string())
        };
        // One file, and then there is no more to give.
        let few = label(1, RELABEL_TIME).unwrap_err();
        assert!(few.contains("mounts[3].selinux_relabel") && few.contains("chcon"), "{few}");
        let late = label(RELABEL_ENTRIES, Duration::ZERO).unwrap_err();
        assert!(late.contains("another call goes on"), "{late}");
        // The rest, two files; what has the label takes nothing.
        label(3, RELABEL_TIME).unwrap();
        label(0, Duration::ZERO).unwrap();
        let gone = relabel(
            0,
            &dir.path().join("gone"),
            (OWN, "label"),
            &mut RelabelBudget { until: Instant::now(), entries: 1 },
        );
        assert!(gone.unwrap_err().to_string().contains("gone"));
        // As the kernel says of a label that the policy does not have: a name that no attribute has.
        let mut budget = RelabelBudget { until: Instant::now() + RELABEL_TIME, entries: RELABEL_ENTRIES };
        let unknown = relabel(0, dir.path(), ("user.", "u:o:none_t:s0"), &mut budget).unwrap_err();
        assert!(unknown.to_string().contains("policy has no label u:o:none_t:s0"), "{unknown}");
    }

    #[test]
    fn peapods_own_files_keep_their_labels() {
        let own = ["/var/lib/elsewhere", "/run/elsewhere"].map(Path::new);
        for bad in ["/var/lib/elsewhere", "/var/lib/elsewhere/layers/1", "/run", "/"] {
            let refused = not_ours(1, Path::new(bad), own).unwrap_err().to_string();
            assert!(refused.contains("mounts[1].selinux_relabel") && refused.contains("peapod's own"), "{refused}");
        }
        not_ours(1, Path::new("/var/lib/elsewhere-too"), own).unwrap();
    }
}
