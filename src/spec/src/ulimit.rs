//! Resource limits of processes, setrlimit(2), as a configuration writes them.

use std::fmt;
use std::str::FromStr;

use oci_spec::runtime::PosixRlimitType;

/// All limits that Linux has: as they are written, as an OCI configuration has them, and the least that a process may
/// have. An OCI runtime takes the limits before it makes the container, and needs some of them itself.
const KINDS: [(&str, PosixRlimitType, u64); 16] = [
    ("as", PosixRlimitType::RlimitAs, 1 << 30),
    ("core", PosixRlimitType::RlimitCore, 0),
    ("cpu", PosixRlimitType::RlimitCpu, 60),
    ("data", PosixRlimitType::RlimitData, 64 << 20),
    ("fsize", PosixRlimitType::RlimitFsize, 1 << 20),
    ("locks", PosixRlimitType::RlimitLocks, 0),
    ("memlock", PosixRlimitType::RlimitMemlock, 0),
    ("msgqueue", PosixRlimitType::RlimitMsgqueue, 0),
    ("nice", PosixRlimitType::RlimitNice, 0),
    ("nofile", PosixRlimitType::RlimitNofile, 256),
    ("nproc", PosixRlimitType::RlimitNproc, 0),
    ("rss", PosixRlimitType::RlimitRss, 0),
    ("rtprio", PosixRlimitType::RlimitRtprio, 0),
    ("rttime", PosixRlimitType::RlimitRttime, 0),
    ("sigpending", PosixRlimitType::RlimitSigpending, 0),
    ("stack", PosixRlimitType::RlimitStack, 1 << 20),
];
/// The kernel's RLIM_INFINITY.
const UNLIMITED: u64 = u64::MAX;

/// Which resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UlimitKind(&'static str);

/// A resource limit, `nofile=1024:4096`: soft and hard, in the kernel's unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ulimit {
    kind: UlimitKind,
    soft: u64,
    hard: u64,
}

/// Resource limits, at most one of each kind.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Ulimits(Vec<Ulimit>);

/// As they are written.
impl fmt::Debug for Ulimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Two limits of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has more than one limit")]
pub struct UlimitTwice(pub UlimitKind);

impl UlimitKind {
    /// All that Linux has.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|(name, ..)| Self(name))
    }

    /// `nofile`, for example.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0
    }

    pub(crate) fn of_oci(self) -> PosixRlimitType {
        KINDS.iter().find(|(name, ..)| *name == self.0).map(|(_, oci, _)| *oci).unwrap_or_default()
    }
}

impl fmt::Display for UlimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Ulimit {
    pub(crate) fn kind(self) -> UlimitKind {
        self.kind
    }

    pub(crate) fn soft(self) -> u64 {
        self.soft
    }

    pub(crate) fn hard(self) -> u64 {
        self.hard
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.kind)?;
        for (value, end) in [(self.soft, ":"), (self.hard, "")] {
            if value == UNLIMITED { write!(f, "unlimited{end}")? } else { write!(f, "{value}{end}")? }
        }
        Ok(())
    }
}

/// As it is written.
impl fmt::Debug for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl FromStr for Ulimit {
    /// What would be right.
    type Err = String;

    /// `NAME=SOFT:HARD`, or `NAME=BOTH`; a value is a number, `unlimited` or -1.
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "is no limit such as \"nofile=1024:4096\" or \"memlock=unlimited\"".to_owned();
        let (name, values) = text.split_once('=').ok_or_else(wanted)?;
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("rlimit_").unwrap_or(&name);
        let Some((name, _, least)) = KINDS.iter().find(|(known, ..)| *known == name) else {
            let names: Vec<_> = UlimitKind::all().map(UlimitKind::name).collect();
            return Err(format!("names no limit; there are: {}", names.join(", ")));
        };
        let value = |text: &str| match text {
            "unlimited" | "-1" => Ok(UNLIMITED),
            digits => digits.parse().map_err(|_| wanted()),
        };
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let (soft, hard) = (value(soft)?, value(hard)?);
        if soft > hard {
            return Err("has a soft limit above the hard one".to_owned());
        }
        if soft < *least {
            return Err(format!("is below {least}, which the OCI runtime needs itself"));
        }
        Ok(Self { kind: UlimitKind(name), soft, hard })
    }
}

impl Ulimits {
    /// These, in their order.
    ///
    /// # Errors
    /// Two are of one kind.
    pub fn new(limits: Vec<Ulimit>) -> Result<Self, UlimitTwice> {
        let twice = limits.iter().enumerate().find(|(at, limit)| limits[..*at].iter().any(|l| l.kind == limit.kind));
        match twice {
            Some((_, limit)) => Err(UlimitTwice(limit.kind)),
            None => Ok(Self(limits)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Ulimit> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        for (text, shown) in [
            ("nofile=1024:4096", "nofile=1024:4096"),
            ("RLIMIT_NOFILE=1024", "nofile=1024:1024"),
            ("memlock=-1", "memlock=unlimited:unlimited"),
            ("stack=8388608:unlimited", "stack=8388608:unlimited"),
            ("core=0", "core=0:0"),
        ] {
            assert_eq!(text.parse::<Ulimit>().map(|limit| limit.to_string()).as_deref(), Ok(shown), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_what_would_be_right() {
        for (text, why) in [
            ("nofile", "is no limit such as"),
            ("nofile=", "is no limit such as"),
            ("nofile=1:2:3", "is no limit such as"),
            ("nofile=1k", "is no limit such as"),
            ("nofile=-2", "is no limit such as"),
            ("nofile=99999999999999999999", "is no limit such as"),
            ("files=3", "names no limit; there are: as, core"),
            ("=3", "names no limit"),
            ("nofile=4096:1024", "soft limit above"),
            ("nofile=unlimited:1024", "soft limit above"),
            ("nofile=3:4096", "is below 256"),
            ("as=1", "is below 1073741824"),
        ] {
            let refused = text.parse::<Ulimit>().unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn one_of_each_kind() {
        let limits = |texts: &[&str]| Ulimits::new(texts.iter().map(|text| text.parse().unwrap()).collect());
        assert_eq!(limits(&["core=0", "nofile=300"]).unwrap().iter().count(), 2);
        let twice = limits(&["core=0", "nofile=300", "rlimit_core=1"]).unwrap_err();
        assert_eq!(twice.to_string(), "core has more than one limit");
    }
}
