//! `peapod completions` and `peapod man`: what other programs want to know of the commands.

use std::path::Path;

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;

/// A shell's completions.
pub(crate) fn completions(mut command: Command, shell: Shell) -> String {
    let (name, mut text) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut command, name, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A page for each command.
pub(crate) fn man(command: Command, dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    clap_mangen::generate_to(command, dir).with_context(|| format!("cannot write into {}", dir.display()))
}
