//! The command line, as containerd defines it for shims: `-namespace N -id ID -bundle DIR [action]`; and for `delete`
//! our own `-cgroup PATH`, once for each group that is known to be the pod's. `-bundle DIR map-owners` is ours, too.

use std::ffi::OsString;
use std::path::PathBuf;

/// What a shim is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ShimCommand {
    /// Serve on the listening socket that is standard input.
    Serve,
    /// Clean up after a shim that died.
    Delete,
    /// containerd's way to start a shim.
    Start,
    /// Try whether what is in the bundle can be seen with the owners of a user namespace.
    MapOwners,
    /// Print the version.
    Version,
}

/// The command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    /// Of containers, as the master has recorded them: what the bundle says may be lost.
    pub(crate) cgroups: Vec<String>,
    pub(crate) action: ShimCommand,
}

/// Why a command line makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgsError {
    #[error("unknown argument {0:?}")]
    Unknown(String),
    #[error("{0} needs a value")]
    NoValue(String),
    #[error("-{0} is missing")]
    Missing(&'static str),
}

impl Args {
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, ArgsError> {
        let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
        let (mut id, mut bundle, mut cgroups, mut action) = (None, None, Vec::new(), ShimCommand::Serve);
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix('-') else {
                action = match argument.as_str() {
                    "delete" => ShimCommand::Delete,
                    "start" => ShimCommand::Start,
                    "map-owners" => ShimCommand::MapOwners,
                    _ => return Err(ArgsError::Unknown(argument)),
                };
                continue;
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (flag.to_owned(), None),
            };
            let mut value =
                || inline.clone().or_else(|| arguments.next()).ok_or_else(|| ArgsError::NoValue(argument.clone()));
            match name.as_str() {
                "id" => id = Some(value()?),
                "bundle" => bundle = Some(PathBuf::from(value()?)),
                "cgroup" => cgroups.push(value()?),
                // What containerd says besides and this shim has no use for.
                "namespace" | "address" | "publish-binary" | "socket" => drop(value()?),
                "debug" => {}
                "v" | "version" => action = ShimCommand::Version,
                _ => return Err(ArgsError::Unknown(argument)),
            }
        }
        if matches!(action, ShimCommand::Version | ShimCommand::Start | ShimCommand::MapOwners) {
            return Ok(Self { id: id.unwrap_or_default(), bundle: bundle.unwrap_or_default(), cgroups, action });
        }
        Ok(Self {
            id: id.filter(|id| !id.is_empty()).ok_or(ArgsError::Missing("id"))?,
            bundle: bundle.ok_or(ArgsError::Missing("bundle"))?,
            cgroups,
            action,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, ArgsError> {
        Args::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn reads_both_ways_of_writing_a_flag() {
        let wanted = |action| Args { id: "p1".into(), bundle: "/run/p1".into(), cgroups: Vec::new(), action };
        assert_eq!(parse("-namespace peapod -id p1 -bundle /run/p1"), Ok(wanted(ShimCommand::Serve)));
        assert_eq!(parse("--namespace=peapod -id=p1 --bundle=/run/p1 -debug delete"), Ok(wanted(ShimCommand::Delete)));
        let groups = parse("-id p1 -bundle /run/p1 -cgroup /a/b --cgroup=/c delete").map(|args| args.cgroups);
        assert_eq!(groups, Ok(vec!["/a/b".to_owned(), "/c".to_owned()]));
        assert_eq!(parse("-bundle /b map-owners").map(|args| args.action), Ok(ShimCommand::MapOwners));
        assert_eq!(parse("-id p1 -frob"), Err(ArgsError::Unknown("-frob".into())));
        assert_eq!(parse("-id"), Err(ArgsError::NoValue("-id".into())));
        assert_eq!(parse("-id p1"), Err(ArgsError::Missing("bundle")));
        assert_eq!(parse("-id p1 -bundle /b frob"), Err(ArgsError::Unknown("frob".into())));
        assert_eq!(parse("-v").map(|args| args.action), Ok(ShimCommand::Version));
    }
}
