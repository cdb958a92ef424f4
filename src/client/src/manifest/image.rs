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

/// Whether this can be the name or the id of an image. What a registry makes of its tag or digest is said by that.
pub(super) fn is_image(text: &str) -> bool {
    let name = text.split('@').next().unwrap_or_default();
    let (folders, last) = name.rsplit_once('/').unwrap_or(("", name));
    let repository = last.split(':').next().unwrap_or_default();
    let is_part = |part: &str| {
        let is_fit =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
        !part.is_empty() && part.bytes().all(is_fit)
    };
    // The first of several may be a host, with a port or as an address.
    let mut folders = folders.split('/').filter(|_| name.contains('/'));
    let host = folders.next().is_none_or(|host| !host.is_empty() && host.bytes().all(is_of_host));
    host && folders.all(is_part) && is_part(repository) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'[' | b']')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        for good in [
            "busybox",
            "busybox:1",
            "library/busybox:1.36-Musl",
            "docker.io/library/busybox@sha256:00",
            "localhost:5000/a/b_c__d:TAG",
            "[::1]:5000/a",
            "EXAMPLE.com/a.b-c",
            "sha256:0123456789abcdef",
            "0123456789ab",
        ] {
            assert!(is_image(good), "{good}");
        }
        for bad in
            ["", " busybox", "Foo Bar", "Busybox", "a/B", "a b", "a:1\n", "/a", "a/", "a//b", ":1", "@sha256:00", "ä"]
        {
            assert!(!is_image(bad), "{bad}");
        }
    }
}
