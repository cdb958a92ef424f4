//! What was asked for and is not given, because the node can't: worth one line in the log, never a failed container.

use std::fmt;

use crate::container::APPARMOR_DEFAULT;
use crate::ulimit::Ulimit;
use peapod_text::Sample;

/// One difference between what was asked for and what the container gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// Capabilities that this process does not have itself.
    Capabilities(Vec<String>),
    /// An `oom_score_adj` below the daemon's own.
    OomScoreAdj {
        /// Asked for.
        wanted: i32,
        /// Given.
        given: i32,
    },
    /// A hard limit above what the node can give.
    Ulimit {
        /// As the configuration has it.
        wanted: Ulimit,
        /// The hard limit that is given.
        given: u64,
    },
    /// Files of cgroup v2 on a node with v1.
    Unified(Vec<String>),
    /// A limit on huge pages that the node does not have or can't limit.
    Hugepages(String),
    /// A swap limit where swap can't be limited.
    Swap,
    /// Lines of the image's environment without `=` or with NUL.
    ImageEnv(Sample),
    /// Capabilities to drop that no kernel known here has.
    UnknownDrop(Sample),
    /// A stop signal of the image that is none.
    StopSignal(String),
    /// Where a read-only volume of the client has no place for them, a container goes without the pod's files.
    PodFile(&'static str),
    /// A volume that is to have the container's SELinux label, where the container has none.
    Relabel,
    /// An SELinux label on a node without SELinux.
    SelinuxOff,
    /// The default AppArmor profile, on a node where it could not be loaded.
    Apparmor,
    /// Volumes that the image declares where no container can have any.
    Volumes(Sample),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capabilities(names) => {
                write!(f, "capabilities that peapod itself lacks are left out: {}", names.join(", "))
            }
            Self::OomScoreAdj { wanted, given } => {
                write!(f, "oom_score_adj {wanted} is below peapod's own and needs CAP_SYS_RESOURCE; {given} is set")
            }
            Self::Ulimit { wanted, given } => {
                write!(
                    f,
                    "the limit {wanted} of the configuration is above what this node can give (peapod's own without \
                     CAP_SYS_RESOURCE, fs.nr_open with it); {given} is set"
                )
            }
            Self::Unified(files) => {
                write!(f, "cgroup v2 settings are ignored on cgroup v1: {}", files.join(", "))
            }
            Self::Hugepages(size) => {
                write!(f, "the limit on {size} pages is ignored: this node has no hugetlb controller for them")
            }
            Self::Swap => write!(f, "the swap limit is ignored: this node does not account swap"),
            Self::ImageEnv(lines) => {
                write!(f, "lines of the image's environment that name no variable are ignored: {lines}")
            }
            Self::Relabel => {
                write!(
                    f,
                    "volumes keep their SELinux labels although selinux_relabel is set: their containers have no label \
                     of their own (privileged, or no selinux_options where the policy has none for containers)"
                )
            }
            Self::SelinuxOff => {
                write!(f, "selinux_options have no effect: SELinux is not on on this node")
            }
            Self::Apparmor => {
                write!(
                    f,
                    "containers have no AppArmor profile: {APPARMOR_DEFAULT} is not loaded \
                     (is apparmor_parser installed?)"
                )
            }
            Self::UnknownDrop(names) => write!(f, "capabilities that no kernel has can't be dropped: {names}"),
            Self::StopSignal(text) => {
                write!(f, "the image's stop signal {text} is none: SIGTERM is sent")
            }
            Self::PodFile(path) => {
                write!(f, "a read-only volume above {path} has no such file: the container goes without the pod's")
            }
            Self::Volumes(paths) => {
                write!(f, "volumes of the image are ignored that can't be folders of a container: {paths}")
            }
        }
    }
}
