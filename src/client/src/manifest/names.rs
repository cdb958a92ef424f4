//! What Kubernetes takes as a name.

/// Names of containers, volumes, namespaces and hosts: at most 63 of a-z, 0-9 and inner dashes.
pub(super) fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_dashed(text)
}

/// Names of pods: such names with dots between them, 253 bytes in all.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dashed)
}

fn is_dashed(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|byte| plain(byte) || *byte == b'-')
}

/// Names of variables: anything that can be written, but no `=`.
pub(super) fn is_variable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'=')
}

/// Keys of ConfigMaps and Secrets.
pub(super) fn is_key(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(plain) && text != "." && !text.starts_with("..")
}

/// A path inside of a folder: relative, and nowhere upwards.
pub(super) fn is_inner_path(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('/') && !text.split('/').any(|part| part == "..")
}

/// A path inside of a folder without empty parts and `.`, as a kubelet writes it.
pub(super) fn cleaned_path(text: &str) -> String {
    text.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_kubernetes_takes() {
        for good in ["a", "web-1", "0a", &"x".repeat(63)] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "é", "a/b", &"x".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
        assert!(is_subdomain("web.example") && !is_subdomain("web..x") && !is_subdomain(""));
        assert!(is_key(".x") && is_key("a-b_C.d") && !is_key("..x") && !is_key("a/b") && !is_key("."));
        assert!(is_inner_path("a/..b/c") && !is_inner_path("/a") && !is_inner_path("a/../b") && !is_inner_path(""));
        let cleaned = ["a", "./k", "a//b/", "./.", "a/./b"].map(cleaned_path);
        assert_eq!(cleaned, ["a", "k", "a/b", "", "a/b"]);
        assert!(is_variable("A_b.c") && !is_variable("A=b") && !is_variable(""));
    }
}
