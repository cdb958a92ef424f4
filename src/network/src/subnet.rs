//! Ranges of addresses, written `10.93.0.0/16` or `fd93::/64`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses: the network's own address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    network: IpAddr,
    prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// Not of the form address/length.
    #[error("'{text}' is no subnet: write it as address/length, such as 10.93.0.0/16 or fd93::/64")]
    Syntax {
        /// What was written.
        text: String,
    },
    /// Bits behind the prefix are set.
    #[error("'{text}' names an address inside a subnet: write the subnet itself, {network}/{prefix}")]
    HostBits {
        /// What was written.
        text: String,
        /// The network the address lies in.
        network: IpAddr,
        /// The prefix length.
        prefix: u8,
    },
}

impl Subnet {
    pub(crate) const LOOPBACK_V4: Self = Self { network: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };
    pub(crate) const LOOPBACK_V6: Self = Self { network: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 };
    pub(crate) const LINK_LOCAL_V6: Self =
        Self { network: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), prefix: 10 };
    pub(crate) const MULTICAST_V4: Self = Self { network: IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), prefix: 4 };
    pub(crate) const MULTICAST_V6: Self =
        Self { network: IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), prefix: 8 };

    /// The network's own address, all bits behind the prefix zero.
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// How many leading bits all addresses of the range share.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether this is a range of IPv4 addresses.
    pub fn is_v4(&self) -> bool {
        self.network.is_ipv4()
    }

    /// Whether `address` lies in this range.
    pub fn contains(&self, address: IpAddr) -> bool {
        mask(address, self.prefix).is_some_and(|network| network == self.network)
    }

    /// How many host numbers can be used, from 1 on: without the network's own address and, in IPv4, the broadcast.
    pub(crate) fn hosts(&self) -> u32 {
        let (bits, reserved) = match self.network {
            IpAddr::V4(_) => (32 - u32::from(self.prefix), 2),
            IpAddr::V6(_) => (128 - u32::from(self.prefix), 1),
        };
        match bits {
            0 => 0,
            1..=31 => (1u32 << bits).saturating_sub(reserved),
            _ => u32::MAX - 1,
        }
    }

    /// The first address, which is the bridge's and the pods' gateway.
    pub(crate) fn gateway(&self) -> IpAddr {
        self.host(1)
    }

    /// The address with this number, counted from the network's own (0).
    pub(crate) fn host(&self, number: u32) -> IpAddr {
        match self.network {
            IpAddr::V4(network) => IpAddr::V4(Ipv4Addr::from(u32::from(network) | number)),
            IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from(u128::from(network) | u128::from(number))),
        }
    }
}

fn mask(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let behind = 32u32.checked_sub(u32::from(prefix))?;
            let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
            Some(IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask)))
        }
        IpAddr::V6(v6) => {
            let behind = 128u32.checked_sub(u32::from(prefix))?;
            let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
            Some(IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask)))
        }
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let syntax = || SubnetError::Syntax { text: text.to_owned() };
        let (address, prefix) = text.split_once('/').ok_or_else(syntax)?;
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        let prefix: u8 = prefix.parse().map_err(|_| syntax())?;
        let network = mask(address, prefix).ok_or_else(syntax)?;
        if network != address {
            return Err(SubnetError::HostBits { text: text.to_owned(), network, prefix });
        }
        Ok(Self { network, prefix })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for text in ["10.93.0.0/16", "0.0.0.0/0", "10.0.0.4/30", "fd93::/64", "::/0", "10.1.2.3/32"] {
            assert_eq!(text.parse::<Subnet>().unwrap().to_string(), text);
        }
        for text in ["", "10.93.0.0", "10.93.0.0/33", "10.93.0.0/-1", "fd93::/129", "x/8", "10.93.0.0/16/2"] {
            assert!(matches!(text.parse::<Subnet>(), Err(SubnetError::Syntax { .. })), "{text}");
        }
        let error = "10.93.0.1/16".parse::<Subnet>().unwrap_err();
        assert!(error.to_string().ends_with("write the subnet itself, 10.93.0.0/16"), "{error}");
    }

    #[test]
    fn counts_hosts() {
        let hosts = |text: &str| text.parse::<Subnet>().unwrap().hosts();
        assert_eq!(hosts("10.0.0.0/30"), 2);
        assert_eq!(hosts("10.0.0.0/31"), 0);
        assert_eq!(hosts("10.0.0.0/32"), 0);
        assert_eq!(hosts("10.93.0.0/16"), 65534);
        assert_eq!(hosts("fd93::/64"), u32::MAX - 1);
        assert_eq!(hosts("fd93::/120"), 255);
        let subnet: Subnet = "10.93.0.0/16".parse().unwrap();
        assert_eq!(subnet.host(258).to_string(), "10.93.1.2");
        assert!(subnet.contains("10.93.255.255".parse().unwrap()));
        assert!(!subnet.contains("10.94.0.0".parse().unwrap()));
        assert!(!subnet.contains("::1".parse().unwrap()));
    }
}
