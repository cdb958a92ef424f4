//! How a run was asked for, beside its files: who continues it does as it did.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

use crate::cli::RunArgs;

/// The options of a `peapod run` that its pods have, or what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RunOptions {
    /// Nobody watches it.
    pub(crate) detached: bool,
    /// Empty: what manifests say.
    pub(crate) runtime_handler: String,
    /// Empty: the runtime's own choice.
    pub(crate) cgroup_parent: String,
    /// Its pods stay when they have ended.
    pub(crate) keep: bool,
    /// Its files are read again when they are saved.
    pub(crate) watch: bool,
}

impl RunOptions {
    /// Those of a run that is about to begin.
    pub(crate) fn of(args: &RunArgs, detached: bool) -> Self {
        Self {
            detached,
            runtime_handler: args.runtime_handler.clone(),
            cgroup_parent: args.cgroup_parent.clone(),
            keep: args.keep,
            watch: args.watch,
        }
    }

    /// The words that say them, but for whether somebody watches.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let texts = [("--runtime-handler", &self.runtime_handler), ("--cgroup-parent", &self.cgroup_parent)];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(word, text)| format!("{word}={text}"));
        let flags = [("--keep", self.keep), ("--watch", self.watch)];
        let flags = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(word, _)| word.to_owned());
        texts.chain(flags).map(OsString::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    #[test]
    fn options_are_said_again_as_they_were() {
        let options = RunOptions {
            detached: true,
            runtime_handler: "gvisor".into(),
            cgroup_parent: "-x/special".into(),
            keep: true,
            watch: true,
        };
        for options in [options, RunOptions { detached: true, ..RunOptions::default() }] {
            let command = RunArgs::augment_args(clap::Command::new("run"));
            let words = ["run", "--detach"].map(OsString::from).into_iter().chain(options.words());
            let matches = command.try_get_matches_from(words.chain(["--".into(), "a.yaml".into()])).unwrap();
            assert_eq!(RunOptions::of(&RunArgs::from_arg_matches(&matches).unwrap(), true), options);
        }
    }
}
