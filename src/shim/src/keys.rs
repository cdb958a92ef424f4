//! The kernel's keys. An OCI runtime makes a keyring for each container as root, and any container of the node's root
//! user that has no filter of system calls can use up all the keys that root may have. Then nothing would start on the
//! node: the runtime is told to make none, and the container gets the shim's, which is its pod's alone.

use crate::bounds::{KEY_BYTES_LEFT, KEYS_LEFT};

/// Whether root may have too few further keys for another keyring. Not on a kernel without keys.
pub(crate) fn are_spent() -> bool {
    std::fs::read_to_string("/proc/key-users").is_ok_and(|users| is_spent(&users, 0))
}

/// A line is "user: references keys/instantiated keys/most bytes/most".
fn is_spent(users: &str, user: u32) -> bool {
    let of_user = |line: &str| line.trim_start().strip_prefix(&format!("{user}:")).map(str::to_owned);
    let Some(line) = users.lines().find_map(of_user) else { return false };
    let left = |nth| {
        let (used, most) = line.split_ascii_whitespace().nth(nth)?.split_once('/')?;
        most.parse::<u64>().ok()?.checked_sub(used.parse().ok()?).or(Some(0))
    };
    left(2).is_some_and(|keys| keys < KEYS_LEFT) || left(3).is_some_and(|bytes| bytes < KEY_BYTES_LEFT)
}

#[cfg(test)]
mod tests {
    use super::is_spent;

    #[test]
    fn knows_when_there_are_too_few() {
        let users = |keys: &str, bytes: &str| {
            format!("   10:     9 9/9 200/200 20000/20000\n    0:    31 30/30 {keys} {bytes}\n")
        };
        for (keys, bytes, spent) in [
            ("28/1000000", "494/25000000", false),
            ("999990/1000000", "494/25000000", true),
            ("1000000/1000000", "494/25000000", true),
            ("28/1000000", "24999000/25000000", true),
            ("300/200", "1/1000000", true),
            ("?", "494/25000000", false),
        ] {
            assert_eq!(is_spent(&users(keys, bytes), 0), spent, "{keys} {bytes}");
        }
        assert!(is_spent(&users("28/1000000", "494/25000000"), 10));
        assert!(!is_spent("", 0) && !is_spent("    0: torn", 0));
    }

    #[test]
    fn reads_the_kernels_file() {
        let users = std::fs::read_to_string("/proc/key-users").unwrap();
        let fields = |line: &str| line.split_ascii_whitespace().skip(3).all(|field| field.split('/').count() == 2);
        assert!(users.lines().all(|line| line.split_ascii_whitespace().count() == 5 && fields(line)), "{users}");
    }
}
