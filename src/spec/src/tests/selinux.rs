//! Who gets which SELinux label.

use super::fixture::Case;
use crate::container::{Propagation, SelinuxOptions};
use crate::{Categories, NoLabelPart, Note, SelinuxContexts, SpecError};

const POLICY: &str =
    "process = \"system_u:system_r:container_t:s0\"\nfile = \"system_u:object_r:container_file_t:s0\"\n";

fn options(user: &str, role: &str, type_: &str, level: &str) -> Option<SelinuxOptions> {
    let [user, role, type_, level] = [user, role, type_, level].map(str::to_owned);
    Some(SelinuxOptions { user, role, type_, level })
}

/// Labels of process and mounts on a node with that policy, of a pod that has a pair of categories.
fn labels(contexts: &SelinuxContexts, change: impl FnOnce(&mut Case)) -> Option<(String, String)> {
    let mut case = Case::new();
    case.node.selinux = Some(contexts.clone());
    case.categories = Some(Categories::nth(0));
    change(&mut case);
    let json = case.json();
    let text = |at: &str| json.pointer(at).and_then(|value| value.as_str()).map(str::to_owned);
    text("/process/selinuxLabel").zip(text("/linux/mountLabel"))
}

fn pair(process: &str, files: &str) -> Option<(String, String)> {
    Some((process.to_owned(), files.to_owned()))
}

#[test]
fn containers_of_a_pod_have_its_categories() {
    let policy = SelinuxContexts::parse(POLICY).unwrap();
    let usual = pair("system_u:system_r:container_t:s0:c0,c1", "system_u:object_r:container_file_t:s0:c0,c1");
    assert_eq!(labels(&policy, |_| {}), usual);
    // Who asks for a part gets that, and the rest as all have it.
    let asked = labels(&policy, |case| case.container.security.selinux = options("", "", "spc_t", ""));
    assert_eq!(asked, pair("system_u:system_r:spc_t:s0:c0,c1", "system_u:object_r:container_file_t:s0:c0,c1"));
    let all = labels(&policy, |case| case.container.security.selinux = options("u", "r", "t", "s0:c7"));
    assert_eq!(all, pair("u:r:t:s0:c7", "u:object_r:container_file_t:s0:c7"));
    // The pod's own level is that of its containers, and so are its other parts where they say nothing.
    let of_pod = labels(&policy, |case| case.pod.security.selinux = options("", "", "t", "s0:c8,c9"));
    assert_eq!(of_pod, pair("system_u:system_r:t:s0:c8,c9", "system_u:object_r:container_file_t:s0:c8,c9"));
    let both = labels(&policy, |case| {
        case.pod.security.selinux = options("", "", "t", "s0:c8,c9");
        case.container.security.selinux = options("", "", "mine_t", "");
    });
    assert_eq!(both, pair("system_u:system_r:mine_t:s0:c8,c9", "system_u:object_r:container_file_t:s0:c8,c9"));
    assert_eq!(labels(&policy, |case| case.container.security.privileged = true), None);
    let privileged = labels(&policy, |case| {
        case.container.security.privileged = true;
        case.container.security.selinux = options("", "", "t", "");
    });
    assert_eq!(privileged, None);
    let files = policy.of_pod_files(&Case::new().pod, Some(Categories::nth(0))).unwrap();
    assert_eq!(files.map(|files| files.to_string()), usual.map(|(_, files)| files));
}

#[test]
fn where_the_policy_has_none_or_none_is_wanted_only_who_asks_has_a_label() {
    let policy = SelinuxContexts::parse(POLICY).unwrap().only_asked();
    for contexts in [SelinuxContexts::without_policy(), SelinuxContexts::without_policy().only_asked(), policy.clone()]
    {
        assert_eq!(labels(&contexts, |_| {}), None);
        let files = contexts.of_pod_files(&Case::new().pod, Some(Categories::nth(0))).unwrap();
        // Of a policy that may not know the names no pod is made worse than it was.
        let known = (contexts == policy).then(|| "system_u:object_r:container_file_t:s0:c0,c1".to_owned());
        assert_eq!(files.map(|label| label.to_string()), known);
        // It asks for a part, which its pod knows nothing of: the rest is the pod's, and so are the categories.
        let part = labels(&contexts, |case| case.container.security.selinux = options("", "", "spc_t", ""));
        let files = "system_u:object_r:container_file_t:s0:c0,c1";
        assert_eq!(part, pair("system_u:system_r:spc_t:s0:c0,c1", files));
        let asked = labels(&contexts, |case| case.container.security.selinux = options("", "", "", "s0:c3,c4"));
        assert_eq!(
            asked,
            pair("system_u:system_r:container_t:s0:c3,c4", "system_u:object_r:container_file_t:s0:c3,c4")
        );
    }
}

/// A label is an option of mounts, in which these would begin further ones.
#[test]
fn no_label_is_made_of_what_could_be_more_than_one() {
    let policy = SelinuxContexts::parse(POLICY).unwrap();
    for sign in ["\"", "\\", "=", " ", "\n", "\0", "/", "ä"] {
        let text = format!("s0:c1{sign},upperdir");
        for bad in [
            options(&text, "", "", ""),
            options("", &text, "", ""),
            options("", "", &text, ""),
            options("", "", "", &text),
        ] {
            let part = bad.as_ref().unwrap();
            assert_eq!(part.check(), Err(NoLabelPart(text.clone())));
            // Also where an older record has it.
            let mut case = Case::new();
            case.node.selinux = Some(policy.clone());
            case.container.security.selinux.clone_from(&bad);
            assert_eq!(case.config().map(drop), Err(SpecError::SelinuxOptions(NoLabelPart(text.clone()))));
            let mut case = Case::new();
            case.pod.security.selinux.clone_from(&bad);
            assert_eq!(policy.of_pod_files(&case.pod, None), Err(NoLabelPart(text.clone())));
        }
    }
    // Only levels have these.
    for (user, type_) in [("a:b", ""), ("", "a,b")] {
        assert!(options(user, "", type_, "").unwrap().check().is_err());
    }
    assert!(options("", "", "", &"c".repeat(2000)).unwrap().check().is_err());
    let usual = options("system_u", "system_r", "my-type.x_t", "s0-s0:c0.c1023").unwrap();
    assert_eq!(usual.check(), Ok(()));
}

#[test]
fn without_selinux_labels_are_said_to_have_no_effect() {
    let mut case = Case::new();
    case.mount("/data", Propagation::Private).selinux_relabel = true;
    assert_eq!(case.config().unwrap().notes, []);
    case.container.security.selinux = options("", "", "t", "");
    let configured = case.config().unwrap();
    assert_eq!(configured.notes, [Note::SelinuxOff]);
    assert_eq!(configured.config.mount_label(), None);
}

#[test]
fn what_is_to_be_relabelled_is_the_containers() {
    let relabel = |source: &str, privileged| {
        let mut case = Case::new();
        case.node.selinux = SelinuxContexts::parse(POLICY);
        case.container.security.privileged = privileged;
        case.mount("/data", Propagation::Private).selinux_relabel = true;
        case.mounts[0].source = source.into();
        case.config().map(|configured| configured.notes)
    };
    assert_eq!(relabel("/data/x", false), Ok(Vec::new()));
    for source in ["/", "/etc", "/usr/lib/systemd", "/home/alice"] {
        assert_eq!(relabel(source, false), Err(SpecError::SelinuxRelabel(source.into())), "{source}");
    }
    // Said, and never passed over.
    assert_eq!(relabel("/data/x", true), Ok(vec![Note::Relabel]));
}
