//! Names of images, and when they are pulled.

use super::builder::Builder;

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// When an image is pulled, if nothing else is said: `latest` always.
pub(super) fn pull_policy(b: &mut Builder<'_>, path: &str, given: Option<&str>, latest: bool) -> PullPolicy {
    let default = if latest { PullPolicy::Always } else { PullPolicy::IfNotPresent };
    b.one_of(
        path,
        given,
        default,
        &[("Always", PullPolicy::Always), ("IfNotPresent", PullPolicy::IfNotPresent), ("Never", PullPolicy::Never)],
    )
}

/// An image's name with a tag or digest, and whether the tag is `latest`.
pub(super) fn with_tag(image: &str) -> (String, bool) {
    let last = image.rsplit('/').next().unwrap_or(image);
    if image.contains('@') {
        (image.to_owned(), false)
    } else if let Some((_, tag)) = last.rsplit_once(':') {
        (image.to_owned(), tag == "latest")
    } else {
        (format!("{image}:latest"), true)
    }
}
