//! Volumes that get the SELinux label of the container that mounts them.

use std::path::Path;
use std::time::Instant;

use peapod_spec::Config;
use peapod_spec::container::ContainerMount;
use peapod_sys::{Labelled, label_tree};
use peapod_text::excerpt;

use crate::bounds::{RELABEL_ENTRIES, RELABEL_TIME};
use crate::error::Error;

/// Where the kernel has a file's label.
const ATTRIBUTE: &str = "security.selinux";

/// Labels the sources that are to be labelled, where the container has a label; which those may be, its configuration
/// has looked at. What has the label is left alone, so that another call goes on where one ended whose time was over.
pub(super) fn volumes(config: &Config, mounts: &[ContainerMount]) -> Result<(), Error> {
    let Some(label) = config.mount_label() else { return Ok(()) };
    let mut budget = RelabelBudget { until: Instant::now() + RELABEL_TIME, entries: RELABEL_ENTRIES };
    for (index, source) in config.sources(mounts) {
        if mounts.get(index).is_some_and(|mount| mount.selinux_relabel) {
            relabel(index, source, (ATTRIBUTE, label), &mut budget)?;
        }
    }
    Ok(())
}

/// For all volumes of a container together.
struct RelabelBudget {
    until: Instant,
    entries: u64,
}

impl RelabelBudget {
    fn goes_on(&mut self) -> bool {
        self.entries = self.entries.saturating_sub(1);
        self.entries > 0 && Instant::now() < self.until
    }
}

fn relabel(index: usize, source: &Path, label: (&str, &str), budget: &mut RelabelBudget) -> Result<(), Error> {
    let (name, value) = label;
    match label_tree(source, name, value.as_bytes(), || budget.goes_on()) {
        // As on NFS: all of it has the label of its mount.
        Ok(Labelled::Whole | Labelled::Unsupported) => Ok(()),
        Ok(Labelled::Part) if budget.entries == 0 => Err(Error::Invalid {
            field: format!("mounts[{index}].selinux_relabel"),
            reason: format!(
                "{} has more than {RELABEL_ENTRIES} files: label it on the node (`chcon -R -t container_file_t`), or \
                 mount it with a label (mount option context=)",
                excerpt(source)
            ),
        }),
        Ok(Labelled::Part) => Err(Error::Failed {
            step: format!("give {} the container's SELinux label", excerpt(source)),
            reason: format!("not done within {} s; another call goes on with the rest", RELABEL_TIME.as_secs()),
        }),
        Err(error) => Err(Error::failed(format!("give {} the container's SELinux label", excerpt(source)), &error)),
    }
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
        let few = label(2, RELABEL_TIME).unwrap_err();
        assert!(few.contains("mounts[3].selinux_relabel") && few.contains("chcon"), "{few}");
        let late = label(RELABEL_ENTRIES, Duration::ZERO).unwrap_err();
        assert!(late.contains("another call goes on"), "{late}");
        label(RELABEL_ENTRIES, RELABEL_TIME).unwrap();
        let gone = relabel(
            0,
            &dir.path().join("gone"),
            (OWN, "label"),
            &mut RelabelBudget { until: Instant::now(), entries: 1 },
        );
        assert!(gone.unwrap_err().to_string().contains("gone"));
    }
}
