//! Errors of requests about pods and containers.

use std::path::PathBuf;
use std::time::Duration;

use peapod_text::{chain, excerpt};

/// Why a request was refused or failed. One variant per way in which a caller goes on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No such pod or container.
    #[error("{what} {} not found", excerpt(id))]
    NotFound {
        /// `pod sandbox` or `container`.
        what: &'static str,
        /// As asked for.
        id: String,
    },
    /// The name is taken by a finished operation whose result is in use, or by another request.
    #[error("{what} {name} already exists as {id}: remove it first or use another attempt")]
    AlreadyExists {
        /// `pod sandbox` or `container`.
        what: &'static str,
        /// The name that is taken.
        name: String,
        /// Who has it.
        id: String,
    },
    /// The name is being made by a request with other content.
    #[error(
        "{what} {name} is being made by another request with different content: wait for it or use another attempt"
    )]
    Busy {
        /// `pod sandbox` or `container`.
        what: &'static str,
        /// The name that is taken.
        name: String,
    },
    /// Not in a state that allows it.
    #[error("{what} {id} is {state}, but {need}")]
    Precondition {
        /// `pod sandbox` or `container`.
        what: &'static str,
        /// Which one.
        id: String,
        /// What it is.
        state: String,
        /// What it would have to be.
        need: &'static str,
    },
    /// The request can't be met on this node; found by looking at the node, the image or the configuration.
    #[error("{field}: {reason}")]
    Invalid {
        /// The request's field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An image that is to be mounted is not here, or has not what is to be seen of it. The kubelet knows the first
    /// word.
    #[error("ImageVolumeMountFailed: {field}: {reason}")]
    ImageVolume {
        /// The request's field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The image isn't here.
    #[error("image {} is not present: pull it first", excerpt(.0))]
    ImageNotFound(String),
    /// Still going on; a retry joins it.
    #[error("{what} is still going on after {:.1} s, {stage}: a retry waits for the same operation", elapsed.as_secs_f64())]
    StillRunning {
        /// The operation.
        what: &'static str,
        /// What it waits for.
        stage: String,
        /// Since its start.
        elapsed: Duration,
    },
    /// A command in a container took longer than allowed; it was killed.
    #[error("command timed out after {:.1} s and was killed", .0.as_secs_f64())]
    ExecTimeout(Duration),
    /// The OCI runtime's words.
    #[error("{0}")]
    Runtime(String),
    /// This node, or the OCI runtime, has no such thing.
    #[error("{what} can't be had here: {reason}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// Why, and what helps.
        reason: String,
    },
    /// A checkpoint did not come to its end in its time.
    #[error(
        "the checkpoint was not written within {:.1} s and is taken back, the container runs on: allow it more time",
        .0.as_secs_f64()
    )]
    CheckpointTimeout(Duration),
    /// A disk is full: nothing was begun.
    #[error(
        "no space left on the disk of {}: {free} KiB are free, {need} KiB are needed: remove images or files there",
        path.display()
    )]
    DiskFull {
        /// The folder on that disk.
        path: PathBuf,
        /// KiB that are free.
        free: u64,
        /// KiB that there must be.
        need: u64,
    },
    /// Lists could not be answered any more.
    #[error(
        "{what} needs {need} bytes in lists of all pods and containers, but {used} of {limit} are taken{biggest}: \
         remove pods, or shorten labels and annotations"
    )]
    ListFull {
        /// What was asked for.
        what: String,
        /// Bytes that it needs.
        need: u64,
        /// Bytes that there are.
        limit: u64,
        /// Bytes that are taken.
        used: u64,
        /// What takes most of them, with a comma before it; empty if that is nothing yet.
        biggest: String,
    },
    /// Too many commands write much at the same time; this one was killed.
    #[error(
        "the command was killed: it has written much, and other commands whose output is being kept left no room for it \
         within {} s: try again, or let it write less", .0.as_secs()
    )]
    OutputBusy(Duration),
    /// A step failed.
    #[error("{step}: {reason}")]
    Failed {
        /// What was tried.
        step: String,
        /// What went wrong.
        reason: String,
    },
    /// The pod was stopped or removed while this went on.
    #[error("{what} {id} was stopped meanwhile")]
    Overridden {
        /// `pod sandbox` or `container`.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// A defect of peapod's: what was asked for may have happened or not.
    #[error("{what} met a defect of peapod's (its log says more): the pod is taken up from its record, try again")]
    Defect {
        /// The operation.
        what: &'static str,
    },
    /// The daemon is ending.
    #[error("the daemon is shutting down: try again in a moment")]
    ShuttingDown,
}

impl Error {
    /// A step that failed, with the words of its error and of that error's causes.
    pub(crate) fn failed(step: impl Into<String>, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed { step: step.into(), reason: chain(error) }
    }

    /// No such container.
    pub(crate) fn no_container(id: impl Into<String>) -> Self {
        Self::NotFound { what: "container", id: id.into() }
    }

    /// No such pod.
    pub(crate) fn no_pod(id: impl Into<String>) -> Self {
        Self::NotFound { what: "pod sandbox", id: id.into() }
    }
}

/// Why pods could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The records could not be read.
    #[error("can't read the records of pods")]
    Store(#[from] peapod_store::StoreError),
    /// The node lacks something.
    #[error("{step}")]
    Node {
        /// What was tried.
        step: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The cgroup hierarchy is unusable.
    #[error("cgroups are unusable: {0}")]
    Cgroup(String),
}
