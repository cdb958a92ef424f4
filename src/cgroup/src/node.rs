//! What the node counts for its groups beyond what their files always tell: asked once.

use std::fs;
use std::path::Path;

use crate::trees::{MountedTrees, UNIFIED};

/// Sizes of huge pages that groups count, as their files are called: `2MB`.
pub(crate) fn hugepages(trees: &MountedTrees) -> Vec<String> {
    let counted = if trees.v2 {
        let controllers = trees.trees.first().map(|tree| tree.dir.join("cgroup.controllers"));
        let controllers = controllers.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        controllers.split_ascii_whitespace().any(|name| name == "hugetlb")
    } else {
        trees.tree("hugetlb").is_some()
    };
    if !counted {
        return Vec::new();
    }
    let folders = fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let mut sizes: Vec<String> =
        folders.filter_map(|folder| size(folder.file_name().to_str()?.strip_prefix("hugepages-")?)).collect();
    sizes.sort();
    sizes
}

/// The name of `2048kB` in the files of groups: `2MB`.
fn size(kib: &str) -> Option<String> {
    let kib: u64 = kib.strip_suffix("kB")?.parse().ok()?;
    Some(match kib {
        kib if kib >= 1 << 20 => format!("{}GB", kib >> 20),
        kib if kib >= 1 << 10 => format!("{}MB", kib >> 10),
        kib => format!("{kib}KB"),
    })
}

/// Whether groups tell what they wait for: the kernel does and was not told to stop, and there is a cgroup2 tree.
pub(crate) fn has_pressure(trees: &MountedTrees) -> bool {
    let tree = if trees.v2 { "" } else { UNIFIED };
    trees.tree(tree).is_some() && fs::read(Path::new("/proc/pressure/cpu")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_called_as_the_kernel_calls_them() {
        let names = ["64kB", "2048kB", "1048576kB", "16777216kB"].map(|kib| size(kib).unwrap());
        assert_eq!(names, ["64KB", "2MB", "1GB", "16GB"]);
        assert_eq!(size("huge"), None);
    }
}
