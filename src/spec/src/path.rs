//! Paths in normal form.

use std::path::{Component, Path, PathBuf};

/// The path inside of a root, by its letters alone, as other runtimes of the field do it: no `.`, `..`, double or last
/// slash; `..` at the root stays there; a relative path begins at the root. Symbolic links are not looked at.
pub fn normal_path(path: impl AsRef<Path>) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for part in path.as_ref().components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::normal_path;

    #[test]
    fn a_path_has_one_form() {
        for (text, normal) in [
            ("/data/../x", "/x"),
            ("/a//b/./c/", "/a/b/c"),
            ("/../../etc", "/etc"),
            ("/a/../..", "/"),
            ("srv", "/srv"),
            ("", "/"),
            ("../x/..", "/"),
            ("/a/...", "/a/..."),
        ] {
            // `PathBuf` compares components; here the letters count.
            assert_eq!(normal_path(text).to_str(), Some(normal), "{text}");
        }
    }
}
