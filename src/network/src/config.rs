//! What the network is told, and what it makes of it.

use crate::cni::CniConfig;
use crate::subnet::Subnet;
use std::path::PathBuf;

/// The longest name that the kernel gives a link.
pub(crate) const LINK_NAME_MAX: usize = 15;

/// The settings as they are written.
#[derive(Clone, Debug)]
pub struct Config {
    /// The bridge's name, at most 15 bytes. The nftables table has the same name and the pods' links on the node have
    /// names derived from it, so daemons with different bridges do not meet.
    pub bridge: String,
    /// One IPv4 range, one IPv6 range, or one of each. The first address of each is the bridge's, the pods' gateway.
    pub subnets: Vec<Subnet>,
    /// Where network namespaces are pinned; made if it is not there.
    pub netns_dir: PathBuf,
    /// The largest packet in bytes; absent: that of the link which has the node's default route, else 1500.
    pub mtu: Option<u32>,
    /// Networks that plugins make.
    pub cni: CniConfig,
}

/// The settings can't be used as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The kernel or nftables would not take this name.
    #[error(
        "network.bridge '{name}': {what}; use 1 to {LINK_NAME_MAX} of the characters a-z A-Z 0-9 _ - . \
         and begin with a letter"
    )]
    Bridge {
        /// The name.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No range of addresses.
    #[error("network.subnets is empty: give one IPv4 range, one IPv6 range, or one of each")]
    NoSubnet,
    /// Two ranges of one family.
    #[error("network.subnets has {first} and {second} of the same family: one of each is allowed")]
    TwoSubnets {
        /// The first of them.
        first: Subnet,
        /// The second of them.
        second: Subnet,
    },
    /// A range without room for a pod.
    #[error("network.subnets: {subnet} has no room for a gateway and a pod: use a prefix of at most {longest}")]
    Small {
        /// The range.
        subnet: Subnet,
        /// The longest prefix that works.
        longest: u8,
    },
    /// A range that can't be given to pods.
    #[error("network.subnets: {subnet} is not for hosts (unspecified, loopback, link-local or multicast)")]
    Reserved {
        /// The range.
        subnet: Subnet,
    },
    /// A packet size that the kernel or the protocol refuses.
    #[error("network.mtu {mtu}: must be {least} to 65535")]
    Mtu {
        /// The size.
        mtu: u32,
        /// The smallest one allowed with these subnets.
        least: u32,
    },
    /// The directory of the pins is not absolute.
    #[error("network.netns_dir {}: must be an absolute path", path.display())]
    NetnsDir {
        /// The path.
        path: PathBuf,
    },
}

/// Checked settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) bridge: String,
    pub(crate) v4: Option<Subnet>,
    pub(crate) v6: Option<Subnet>,
    pub(crate) netns_dir: PathBuf,
    pub(crate) mtu: Option<u32>,
}

impl Config {
    /// Checks everything that can be checked without touching the system.
    ///
    /// # Errors
    /// All mistakes at once, never an empty list.
    pub fn check(&self) -> Result<(), Vec<ConfigError>> {
        let errors: Vec<ConfigError> = [self.check_bridge(), self.check_netns_dir(), self.check_mtu()]
            .into_iter()
            .flatten()
            .chain(self.check_subnets())
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    pub(crate) fn settings(self) -> Result<Settings, Vec<ConfigError>> {
        self.check()?;
        let v4 = self.subnets.iter().copied().find(Subnet::is_v4);
        let v6 = self.subnets.iter().copied().find(|subnet| !subnet.is_v4());
        Ok(Settings { bridge: self.bridge, v4, v6, netns_dir: self.netns_dir, mtu: self.mtu })
    }

    fn check_bridge(&self) -> Option<ConfigError> {
        let name = &self.bridge;
        let what = if name.is_empty() {
            "is empty"
        } else if name.len() > LINK_NAME_MAX {
            "is too long"
        } else if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            "does not begin with a letter"
        } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
            "has a character that is not allowed"
        } else {
            return None;
        };
        Some(ConfigError::Bridge { name: name.clone(), what })
    }

    fn check_netns_dir(&self) -> Option<ConfigError> {
        (!self.netns_dir.is_absolute()).then(|| ConfigError::NetnsDir { path: self.netns_dir.clone() })
    }

    fn check_mtu(&self) -> Option<ConfigError> {
        // The least that each protocol demands of a link.
        let least = if self.subnets.iter().any(|subnet| !subnet.is_v4()) { 1280 } else { 68 };
        self.mtu.filter(|mtu| !(least..=65535).contains(mtu)).map(|mtu| ConfigError::Mtu { mtu, least })
    }

    fn check_subnets(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        if self.subnets.is_empty() {
            errors.push(ConfigError::NoSubnet);
        }
        for (at, &subnet) in self.subnets.iter().enumerate() {
            if let Some(&first) = self.subnets.iter().take(at).find(|other| other.is_v4() == subnet.is_v4()) {
                errors.push(ConfigError::TwoSubnets { first, second: subnet });
            }
            let longest = if subnet.is_v4() { 30 } else { 126 };
            let network = subnet.network();
            if subnet.prefix() > longest {
                errors.push(ConfigError::Small { subnet, longest });
            }
            let link_local = match network {
                std::net::IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
                std::net::IpAddr::V6(v6) => v6.is_unicast_link_local(),
            };
            if network.is_unspecified() || network.is_loopback() || network.is_multicast() || link_local {
                errors.push(ConfigError::Reserved { subnet });
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bridge: &str, subnets: &[&str]) -> Config {
        Config {
            bridge: bridge.to_owned(),
            subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
            netns_dir: "/run/netns".into(),
            mtu: None,
            cni: CniConfig::default(),
        }
    }

    #[test]
    fn accepts_what_works() {
        for subnets in
            [&["10.93.0.0/16"][..], &["fd93::/64"], &["10.93.0.0/30", "fd93::/126"], &["fd93::/64", "10.0.0.0/8"]]
        {
            config("peapod0", subnets).check().unwrap();
        }
    }

    #[test]
    fn tells_all_mistakes_at_once() {
        let mut wrong = config("0123456789abcdef", &["10.0.0.0/31", "127.0.0.0/8"]);
        wrong.netns_dir = "netns".into();
        wrong.mtu = Some(67);
        let errors = wrong.check().unwrap_err();
        assert_eq!(errors.len(), 6, "{errors:?}");
        for (name, fine) in
            [("a", true), ("a/b", false), ("-a", false), ("a b", false), ("", false), ("br-x.1_2", true)]
        {
            assert_eq!(config(name, &["10.93.0.0/16"]).check().is_ok(), fine, "{name}");
        }
        let mut small = config("a", &["fd93::/64"]);
        small.mtu = Some(1279);
        assert_eq!(small.check().unwrap_err(), [ConfigError::Mtu { mtu: 1279, least: 1280 }]);
    }
}
