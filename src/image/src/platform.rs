//! Which images this machine can run, and how well. Pure but for [`Platform::host`], which asks the processor.

use crate::bounds::DESCRIPTOR_TEXT;
use crate::lenient::{Field, Shape, Text};
use serde::de::{IgnoredAny, MapAccess};
use std::fmt;

/// What kind of processor and system an image is for, as its index or its configuration says it. Empty is unsaid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImagePlatform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    pub(crate) variant: String,
}

/// What this machine runs, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Platform {
    /// Architecture and variant.
    pub(crate) runs: Vec<(String, String)>,
}

/// An image for it is taken where nothing better is offered: it does not say for what it is.
const UNSAID: usize = usize::MAX;

impl Platform {
    /// This machine's.
    pub(crate) fn host() -> Self {
        let runs: &[(&str, &str)] = match std::env::consts::ARCH {
            "x86_64" => return Self::amd64(level()),
            "aarch64" => &[("arm64", "v8"), ("arm", "v8"), ("arm", "v7"), ("arm", "v6"), ("arm", "v5")],
            "arm" => &[("arm", "v7"), ("arm", "v6"), ("arm", "v5")],
            "x86" => &[("386", "")],
            "powerpc64" => &[("ppc64le", "")],
            other => &[(other, "")],
        };
        Self::of(runs)
    }

    /// Another machine's, such as `linux/arm64` or `linux/arm/v7`; or what is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "write linux/ARCHITECTURE or linux/ARCHITECTURE/VARIANT, for example linux/arm64".to_owned();
        let mut parts = text.split('/');
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_plain = [os, architecture, variant].into_iter().flatten().all(|part| is_plain(part) || part == "x86_64");
        if !is_plain || parts.next().is_some() || text.len() > DESCRIPTOR_TEXT {
            return Err(wrong());
        }
        let (Some(os), Some(architecture)) = (os, architecture) else { return Err(wrong()) };
        let target = ImagePlatform::normalised(os, architecture, variant.unwrap_or_default());
        if target.os != "linux" {
            return Err(wrong());
        }
        let variant = target.known_variant();
        if target.architecture == "amd64" {
            let level = variant.strip_prefix('v').and_then(|level| level.parse().ok()).filter(|level| *level <= 4);
            return level.map(Self::amd64).ok_or_else(wrong);
        }
        Ok(Self { runs: vec![(target.architecture.clone(), variant.to_owned())] })
    }

    fn of(runs: &[(&str, &str)]) -> Self {
        let owned = |(architecture, variant): &(&str, &str)| ((*architecture).to_owned(), (*variant).to_owned());
        Self { runs: runs.iter().map(owned).collect() }
    }

    /// An amd64 processor of that level of instructions.
    pub(crate) fn amd64(level: usize) -> Self {
        let levels = ["v1", "v2", "v3", "v4"].into_iter().take(level).rev().map(|level| ("amd64", level));
        Self::of(&levels.chain([("386", "")]).collect::<Vec<_>>())
    }

    /// How well an image for `target` fits: 0 is best. `None` if it can't run here.
    pub(crate) fn rank(&self, target: &ImagePlatform) -> Option<usize> {
        if !target.is_linux() {
            return None;
        }
        if target.architecture.is_empty() {
            return Some(UNSAID);
        }
        let wanted = (target.architecture.as_str(), target.known_variant());
        let place = self.runs.iter().position(|(architecture, variant)| (&**architecture, &**variant) == wanted)?;
        // Beside a variant of the same worth, the one that says which it is comes first.
        Some(2 * place + usize::from(target.variant.is_empty()))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.runs.first().map(|(architecture, variant)| (architecture.as_str(), variant.as_str()));
        let (architecture, variant) = first.unwrap_or_default();
        let variant = if matches!((architecture, variant), ("amd64", "v1") | ("arm64", "v8")) { "" } else { variant };
        ImagePlatform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
            .fmt(f)
    }
}

/// The level of the x86-64 ABI that this processor has.
#[cfg(target_arch = "x86_64")]
fn level() -> usize {
    use std::is_x86_feature_detected as has;
    let second =
        has!("cmpxchg16b") && has!("popcnt") && has!("sse3") && has!("ssse3") && has!("sse4.1") && has!("sse4.2");
    let third = has!("avx")
        && has!("avx2")
        && has!("bmi1")
        && has!("bmi2")
        && has!("f16c")
        && has!("fma")
        && has!("lzcnt")
        && has!("movbe");
    let fourth = has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    match (second, third, fourth) {
        (false, ..) => 1,
        (true, false, _) => 2,
        (true, true, false) => 3,
        (true, true, true) => 4,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn level() -> usize {
    1
}

impl ImagePlatform {
    /// Whether it is for Linux, or does not say.
    pub(crate) fn is_linux(&self) -> bool {
        matches!(self.os.as_str(), "" | "linux")
    }

    /// The variant, or the one that is meant where none is said.
    fn known_variant(&self) -> &str {
        match (self.architecture.as_str(), self.variant.as_str()) {
            ("amd64", "") => "v1",
            ("arm64", "" | "8") => "v8",
            // One that says nothing runs on the least of them.
            ("arm", "") => "v5",
            ("arm", "8") => "v8",
            ("arm", "7") => "v7",
            ("arm", "6") => "v6",
            ("arm", "5") => "v5",
            ("386", _) => "",
            (_, variant) => variant,
        }
    }

    /// The usual names of what some tools call otherwise.
    pub(crate) fn normalised(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
        let (architecture, variant) = match architecture.as_str() {
            "x86_64" | "x86-64" => ("amd64", variant.as_str()),
            "aarch64" => ("arm64", variant.as_str()),
            "i386" | "i486" | "i586" | "i686" | "x86" => ("386", ""),
            "armhf" => ("arm", "v7"),
            "armel" => ("arm", "v6"),
            other => (other, variant.as_str()),
        };
        Self { os: os.to_ascii_lowercase(), architecture: architecture.to_owned(), variant: variant.to_owned() }
    }
}

impl fmt::Display for ImagePlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str| if text.is_empty() { "?".to_owned() } else { text.to_owned() };
        write!(f, "{}/{}", or(&self.os), or(&self.architecture))?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

impl Shape for ImagePlatform {
    const WHAT: &'static str = "a platform";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let [mut os, mut architecture, mut variant] = [const { Field::Absent }; 3];
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "os" => os = members.next_value::<Field<Text<DESCRIPTOR_TEXT>>>()?,
                "architecture" => architecture = members.next_value()?,
                "variant" => variant = members.next_value()?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        let plain = |field: Field<Text<DESCRIPTOR_TEXT>>| match field {
            Field::Absent => Some(String::new()),
            Field::Is(Text(text)) => Some(text),
            Field::Wrong | Field::Large => None,
        };
        Ok(match (plain(os), plain(architecture), plain(variant)) {
            (Some(os), Some(architecture), Some(variant)) => Field::Is(Self::normalised(&os, &architecture, &variant)),
            _ => Field::Wrong,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ImagePlatform, Platform};

    /// Which of these is taken; the first of equals.
    fn best<'t>(platform: &Platform, offered: &[&'t str]) -> Option<&'t str> {
        let rank = |text: &str| {
            let mut parts = text.split('/');
            let mut part = || parts.next().unwrap_or_default();
            platform.rank(&ImagePlatform::normalised(part(), part(), part()))
        };
        offered
            .iter()
            .copied()
            .filter_map(|text| Some((rank(text)?, text)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, text)| text)
    }

    #[test]
    fn the_best_that_runs_is_taken() {
        let v3 = Platform::amd64(3);
        let all = ["linux/arm64", "linux/386", "linux/amd64", "linux/amd64/v2", "linux/amd64/v3", "linux/amd64/v4"];
        assert_eq!(best(&v3, &all), Some("linux/amd64/v3"));
        assert_eq!(best(&Platform::amd64(4), &all), Some("linux/amd64/v4"));
        assert_eq!(best(&Platform::amd64(2), &all), Some("linux/amd64/v2"));
        assert_eq!(best(&Platform::amd64(1), &all), Some("linux/amd64"));
        assert_eq!(best(&Platform::amd64(1), &["linux/amd64/v2", "linux/386"]), Some("linux/386"));
        assert_eq!(best(&v3, &["linux/amd64/v4", "windows/amd64", "unknown/unknown", "darwin/amd64"]), None);
        assert_eq!(best(&v3, &["linux/amd64", "linux/amd64/v1"]), Some("linux/amd64/v1"));
        assert_eq!(best(&v3, &["Linux/x86_64"]), Some("Linux/x86_64"));
        assert_eq!(best(&v3, &["/amd64", "linux/386"]), Some("/amd64"));
        assert_eq!(best(&v3, &["linux/", "linux/386"]), Some("linux/386"), "what says nothing comes last");
        assert_eq!(best(&v3, &["linux/"]), Some("linux/"));

        let v6 = Platform::of(&[("arm", "v6"), ("arm", "v5")]);
        assert_eq!(best(&v6, &["linux/arm/v7", "linux/arm/v5", "linux/arm/v6"]), Some("linux/arm/v6"));
        assert_eq!(best(&v6, &["linux/arm/v7", "linux/armhf"]), None);
        assert_eq!(best(&v6, &["linux/arm", "linux/armel"]), Some("linux/armel"));
        let arm64 = Platform::of(&[("arm64", "v8"), ("arm", "v7")]);
        assert_eq!(best(&arm64, &["linux/arm/v7", "linux/arm64", "linux/arm64/v9"]), Some("linux/arm64"));
        assert_eq!(best(&arm64, &["linux/aarch64/v8"]), Some("linux/aarch64/v8"));
    }

    #[test]
    fn another_machine_is_asked_for_by_its_usual_name() {
        for (text, taken) in [
            ("linux/arm64", Some("linux/arm64")),
            ("linux/arm64/v8", Some("linux/arm64")),
            ("Linux/aarch64", Some("linux/arm64")),
            ("linux/arm/v7", Some("linux/arm/v7")),
            ("linux/amd64", Some("linux/amd64")),
            ("linux/amd64/v2", Some("linux/amd64/v2")),
            ("linux/s390x", Some("linux/s390x")),
        ] {
            let platform = Platform::parse(text).unwrap();
            assert_eq!(best(&platform, &["linux/riscv64", taken.unwrap()]), taken, "{text}");
        }
        assert_eq!(best(&Platform::parse("linux/arm64").unwrap(), &["linux/amd64"]), None);
        for wrong in ["", "linux", "arm64", "linux/", "windows/amd64", "linux/arm/v7/x", "linux/a b", "linux/amd64/v9"]
        {
            assert!(Platform::parse(wrong).unwrap_err().contains("linux/arm64"), "{wrong}");
        }
    }

    #[test]
    fn this_machine_runs_its_own() {
        let own = Platform::host();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            assert!(own.rank(&ImagePlatform::normalised("linux", architecture, "")).is_some(), "{own}");
            assert!(own.to_string().starts_with(&format!("linux/{architecture}")), "{own}");
        }
    }
}
