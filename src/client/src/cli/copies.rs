//! Arguments of `peapod cp`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

/// Arguments of `peapod cp`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "One of both is in a container; its image needs `tar`. A place of this node with a colon in its \
name is written with ./ or / in front. As cp does, it copies into a folder that is there already. Files belong to who \
runs peapod, or to who runs tar in the container. Links that could lead out of what is copied, devices and other \
special files are left out, and named."
)]
pub struct CpArgs {
    /// What to copy: a file or a folder; `-` is a tar archive from standard input.
    #[arg(value_name = "[POD[:CONTAINER]:]FROM")]
    pub from: CopyPlace,
    /// Where to: `-` is a tar archive to standard output.
    #[arg(value_name = "[POD[:CONTAINER]:]TO")]
    pub to: CopyPlace,
    /// The container. Default: the only one, or the first that was started.
    #[arg(short, long)]
    pub container: Option<String>,
}

/// Where something is copied from, or to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyPlace {
    /// Standard input or output, as a tar archive.
    Stream,
    /// On this node.
    Local(PathBuf),
    /// In a container.
    Inside {
        /// The pod: name, `namespace/name`, or the start of the id.
        pod: String,
        /// The container's name, where it stands there.
        container: Option<String>,
        /// The path, relative to the container's working directory if it is not absolute.
        path: String,
    },
}

impl FromStr for CopyPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stream);
        }
        let (pod, rest) = match text.split_once(':') {
            Some((pod, rest)) if !text.starts_with(['.', '/']) => (pod, rest),
            _ if text.is_empty() => return Err("a place has a name".to_owned()),
            _ => return Ok(Self::Local(text.into())),
        };
        let (container, path) = match rest.split_once(':') {
            Some((container, path)) if !container.is_empty() && !container.contains('/') => (Some(container), path),
            _ => (None, rest),
        };
        if pod.is_empty() || path.is_empty() {
            return Err("write POD:PATH or POD:CONTAINER:PATH; a path of this node with a colon begins with ./".into());
        }
        Ok(Self::Inside { pod: pod.to_owned(), container: container.map(str::to_owned), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let inside = |pod: &str, container: Option<&str>, path: &str| CopyPlace::Inside {
            pod: pod.into(),
            container: container.map(str::to_owned),
            path: path.into(),
        };
        for (text, expected) in [
            ("-", CopyPlace::Stream),
            ("file", CopyPlace::Local("file".into())),
            ("./web:x", CopyPlace::Local("./web:x".into())),
            ("/a:b", CopyPlace::Local("/a:b".into())),
            ("web:/etc", inside("web", None, "/etc")),
            ("ns/web:main:/etc", inside("ns/web", Some("main"), "/etc")),
            ("web:a", inside("web", None, "a")),
            ("web:/a:b", inside("web", None, "/a:b")),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", ":", "web:", ":/etc", "web:main:"] {
            assert!(text.parse::<CopyPlace>().is_err(), "{text}");
        }
    }
}
