//! Which shims this daemon drives: those of its own protocol, of earlier ones that it knows, and later ones that still
//! serve it.

use peapod_shim_protocol::extension::HelloResponse;
use peapod_shim_protocol::{OLDEST_SHIM, PROTOCOL};

/// A shim that this daemon can't drive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Foreign {
    /// It is older than what is known here.
    #[error("a shim of peapod {version} with protocol {speaks}, and this one drives {OLDEST_SHIM} to {PROTOCOL}")]
    TooOld {
        /// The shim's.
        version: String,
        /// The shim's.
        speaks: u32,
    },
    /// It is newer and serves later masters alone.
    #[error("a shim of peapod {version}, which serves protocol {serves} and later, and this one speaks {PROTOCOL}")]
    TooNew {
        /// The shim's.
        version: String,
        /// The oldest that it serves.
        serves: u32,
    },
}

/// Whether a shim that says this can be driven.
pub(crate) fn check(hello: &HelloResponse) -> Result<(), Foreign> {
    let version = || hello.version.clone();
    if hello.protocol < OLDEST_SHIM {
        return Err(Foreign::TooOld { version: version(), speaks: hello.protocol });
    }
    if hello.oldest_master > PROTOCOL {
        return Err(Foreign::TooNew { version: version(), serves: hello.oldest_master });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(protocol: u32, oldest_master: u32) -> HelloResponse {
        HelloResponse { protocol, oldest_master, version: "9.9".to_owned(), ..HelloResponse::default() }
    }

    #[test]
    fn drives_what_it_knows_and_what_serves_it() {
        for known in [says(1, 0), says(PROTOCOL, 1), says(PROTOCOL + 5, 1), says(PROTOCOL + 5, PROTOCOL)] {
            assert_eq!(check(&known), Ok(()), "{known:?}");
        }
        let old = check(&says(0, 0)).unwrap_err().to_string();
        assert!(old.contains("9.9") && old.contains("protocol 0"), "{old}");
        let new = check(&says(PROTOCOL + 1, PROTOCOL + 1)).unwrap_err().to_string();
        assert!(new.contains("9.9") && new.contains(&format!("speaks {PROTOCOL}")), "{new}");
    }
}
