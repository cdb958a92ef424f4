//! SELinux on this node: whether it is on, what its policy has for containers, and which categories pods have.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::{Arc, Mutex};

use peapod_spec::pod::PodSpec;
use peapod_spec::{Categories, SelinuxContexts};
use peapod_sys::sync::lock;

use crate::bounds::SELINUX_FILE_BYTES;
use crate::config::SelinuxLabels;
use crate::error::Error;
use crate::read;

/// What the node has for containers, `None` where SELinux is off. `root` is the folder with the node's files, `/`.
pub(crate) fn look(root: &Path, labels: SelinuxLabels) -> Option<SelinuxContexts> {
    if !root.join("sys/fs/selinux/enforce").exists() {
        return None;
    }
    let contexts = contexts(root).unwrap_or_else(|reason| {
        tracing::warn!(reason, "SELinux is on, and only containers that ask for a label have one");
        SelinuxContexts::without_policy()
    });
    Some(match labels {
        SelinuxLabels::All => contexts,
        SelinuxLabels::Asked => contexts.only_asked(),
    })
}

/// Of the policy that the node boots with.
fn contexts(root: &Path) -> Result<SelinuxContexts, String> {
    let text = |path: &str| {
        let bytes = read::whole(&root.join(path), SELINUX_FILE_BYTES);
        let bytes = bytes.map_err(|error| format!("/{path}: {error}"))?;
        Ok::<_, String>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let config = text("etc/selinux/config")?;
    let policy = config.lines().find_map(|line| line.trim().strip_prefix("SELINUXTYPE=")).map(str::trim);
    let plain = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let policy = policy.filter(plain).filter(|name| !name.is_empty());
    let policy = policy.ok_or_else(|| "/etc/selinux/config names no policy".to_owned())?;
    let path = format!("etc/selinux/{policy}/contexts/lxc_contexts");
    SelinuxContexts::parse(&text(&path)?).ok_or_else(|| format!("/{path} has no labels for containers"))
}

/// Which categories are in use on the node.
#[derive(Debug, Default)]
pub(crate) struct CategoryPool(Mutex<HashMap<Categories, u32>>);

/// A pair that a pod has for its life.
#[derive(Debug)]
pub(crate) struct CategoryLease {
    pub(crate) pair: Categories,
    pool: Arc<CategoryPool>,
}

impl CategoryPool {
    /// A pair for a new pod on a node with SELinux: one that it asks for, which others may have too, or one that is
    /// free. A pod that asks for nothing may have containers that do.
    pub(crate) fn of_new(
        self: &Arc<Self>,
        contexts: Option<&SelinuxContexts>,
        spec: &PodSpec,
    ) -> Result<Option<CategoryLease>, Error> {
        if contexts.is_none() {
            return Ok(None);
        }
        let level = spec.security.selinux.as_ref().map(|asked| asked.level.as_str()).filter(|level| !level.is_empty());
        if let Some(level) = level {
            return Ok(Categories::of_level(level).map(|pair| self.take(pair)));
        }
        let mut number = [0; 4];
        let drawn = rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty());
        drawn.map_err(|error| Error::failed("choose the pod's SELinux categories", &error))?;
        Ok(Some(self.free(u32::from_ne_bytes(number))))
    }

    /// That pair, whoever has it.
    pub(crate) fn take(self: &Arc<Self>, pair: Categories) -> CategoryLease {
        *lock(&self.0).entry(pair).or_default() += 1;
        CategoryLease { pair, pool: Arc::clone(self) }
    }

    /// The first one from a place on that nobody has; that of the place if there is none.
    fn free(self: &Arc<Self>, from: u32) -> CategoryLease {
        let mut used = lock(&self.0);
        let mut all = (0..Categories::PAIRS).map(|step| Categories::nth(from.wrapping_add(step)));
        let pair = all.find(|pair| !used.contains_key(pair)).unwrap_or_else(|| Categories::nth(from));
        *used.entry(pair).or_default() += 1;
        CategoryLease { pair, pool: Arc::clone(self) }
    }
}

impl Drop for CategoryLease {
    fn drop(&mut self) {
        if let Entry::Occupied(mut users) = lock(&self.pool.0).entry(self.pair) {
            *users.get_mut() -= 1;
            if *users.get() == 0 {
                users.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use peapod_spec::container::SelinuxOptions;

    use super::*;
    use crate::samples::pod_spec;

    const CONTEXTS: &str =
        "process = \"system_u:system_r:container_t:s0\"\nfile = \"system_u:object_r:container_file_t:s0\"\n";

    #[test]
    fn the_node_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let put = |path: &str, text: &str| {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        };
        assert_eq!(look(root, SelinuxLabels::All), None);
        put("sys/fs/selinux/enforce", "1");
        assert_eq!(look(root, SelinuxLabels::All), Some(SelinuxContexts::without_policy()));
        put("etc/selinux/config", "# SELINUXTYPE=x\nSELINUX=enforcing\nSELINUXTYPE=targeted\n");
        assert!(contexts(root).unwrap_err().contains("/etc/selinux/targeted/contexts/lxc_contexts"));
        put("etc/selinux/targeted/contexts/lxc_contexts", "process = 1");
        assert!(contexts(root).unwrap_err().contains("has no labels"));
        put("etc/selinux/targeted/contexts/lxc_contexts", CONTEXTS);
        assert_eq!(look(root, SelinuxLabels::All), SelinuxContexts::parse(CONTEXTS));
        assert_eq!(look(root, SelinuxLabels::Asked), SelinuxContexts::parse(CONTEXTS).map(SelinuxContexts::only_asked));
        put("etc/selinux/config", "SELINUXTYPE=../x\n");
        assert!(contexts(root).unwrap_err().contains("names no policy"));
    }

    #[test]
    fn pods_have_pairs_of_their_own_as_long_as_they_live() {
        let pool = Arc::new(CategoryPool::default());
        let contexts = SelinuxContexts::parse(CONTEXTS);
        let of = |spec: &PodSpec| pool.of_new(contexts.as_ref(), spec).unwrap().map(|lease| lease.pair);
        let (first, next) = (pool.free(7), pool.free(7));
        assert_eq!((first.pair, next.pair), (Categories::nth(7), Categories::nth(8)));
        drop(first);
        assert_eq!(pool.free(7).pair, Categories::nth(7));
        let mut spec = pod_spec("one");
        assert!(of(&spec).is_some());
        // A recorded pod's, and one that a pod asks for, are taken too.
        let recorded = pool.take(Categories::nth(9));
        assert_eq!(pool.free(8).pair, Categories::nth(10));
        spec.security.selinux = Some(SelinuxOptions { level: recorded.pair.to_string(), ..Default::default() });
        let shared = pool.of_new(contexts.as_ref(), &spec).unwrap().unwrap();
        assert_eq!(shared.pair, recorded.pair);
        drop(recorded);
        assert_ne!(pool.free(9).pair, shared.pair);
        drop((shared, next));
        assert!(lock(&pool.0).is_empty());
        spec.security.selinux = Some(SelinuxOptions { level: "s0".to_owned(), ..Default::default() });
        assert_eq!(of(&spec), None);
        assert!(pool.of_new(None, &pod_spec("two")).unwrap().is_none());
        for asked in [SelinuxContexts::without_policy(), contexts.unwrap().only_asked()] {
            assert!(pool.of_new(Some(&asked), &pod_spec("two")).unwrap().is_some());
        }
    }
}
