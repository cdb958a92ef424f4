//! Adding and dropping.

use super::fixture::{Case, words};
use crate::container::Capabilities;
use crate::{CapabilitySet, Note};

/// The bounding set that follows from added and dropped names, without what is in the default set and unchanged.
fn check(add: &str, drop: &str, wanted: impl Fn(CapabilitySet) -> bool) {
    let mut case = Case::new();
    case.container.security.capabilities = Capabilities { add: words(add), drop: words(drop), add_ambient: Vec::new() };
    let config = case.config().unwrap().config;
    let capabilities = config.spec.process().as_ref().unwrap().capabilities().as_ref().unwrap().clone();
    let bounding: CapabilitySet = capabilities.bounding().iter().flatten().copied().collect();
    assert!(wanted(bounding), "add {add:?}, drop {drop:?}: {:?}", bounding.names());
    assert_eq!(capabilities.bounding(), capabilities.effective());
    assert_eq!(capabilities.bounding(), capabilities.permitted());
    assert!(capabilities.inheritable().as_ref().unwrap().is_empty());
}

fn set(names: &str) -> CapabilitySet {
    words(names).iter().map(|name| name.parse().unwrap()).collect()
}

#[test]
fn all_counts_before_names() {
    check("", "", |set| set == CapabilitySet::container_default());
    check("CAP_NET_ADMIN", "CAP_NET_RAW", |set| set.names().len() == 14);
    check("ALL", "", |set| set == CapabilitySet::all());
    check("", "ALL", |set| set == CapabilitySet::default());
    check("CAP_CHOWN", "ALL", |got| got == set("CHOWN"));
    check("ALL", "CAP_SYS_ADMIN", |got| got.names().len() == 40 && !got.names().contains(&"CAP_SYS_ADMIN".to_owned()));
    check("ALL CAP_CHOWN", "ALL", |got| got == set("CHOWN"));
    check("CAP_CHOWN", "CAP_CHOWN", |got| !got.names().contains(&"CAP_CHOWN".to_owned()));
}

#[test]
fn masks_are_the_kernels() {
    assert_eq!(CapabilitySet::from_mask(1 << 24 | 1 << 63).names(), words("CAP_SYS_RESOURCE"));
    assert_eq!(CapabilitySet::from_mask(1 << 40 | 1).names(), words("CAP_CHOWN CAP_CHECKPOINT_RESTORE"));
    // As an unprivileged Docker or containerd container shows it in /proc/self/status.
    assert_eq!(CapabilitySet::container_default(), CapabilitySet::from_mask(0xa804_25fb));
}

#[test]
fn what_the_node_lacks_is_left_out_and_said() {
    let mut case = Case::new();
    case.node.capabilities = !(1 << 24);
    case.container.security.capabilities.add = words("ALL");
    assert_eq!(case.config().unwrap().notes, [Note::Capabilities(words("CAP_SYS_RESOURCE"))]);
    case.container.security.capabilities.drop = words("CAP_SYS_RESOURCE");
    assert_eq!(case.config().unwrap().notes, []);
}
