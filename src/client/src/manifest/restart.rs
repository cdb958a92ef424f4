//! Which exits of a container are followed by a new start.

/// Which exits of a container are followed by a new start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// What follows certain exit codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestartRule {
    pub(crate) action: RestartAction,
    /// Those that it is for, or all but those.
    pub(crate) codes: Vec<i32>,
    pub(crate) is_for_codes: bool,
}

/// Who is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartAction {
    Restart,
    /// The whole pod, from its first init container.
    RestartAllContainers,
}

impl RestartRule {
    /// Whether it is for this exit code.
    pub(crate) fn fits(&self, code: i32) -> bool {
        self.codes.contains(&code) == self.is_for_codes
    }
}
