//! SELinux labels of a container.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::container::ContainerSecurity;
use crate::pod::PodSpec;
use crate::selinux_options::{NoLabelPart, is_level, is_name};

/// Categories that policies of Linux distributions have.
const CATEGORIES: u16 = 1024;

/// A label, `user:role:type:level`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelinuxContext {
    user: String,
    role: String,
    type_: String,
    level: String,
}

/// It is no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no label such as system_u:system_r:container_t:s0")]
pub struct NoLabel;

impl FromStr for SelinuxContext {
    type Err = NoLabel;

    fn from_str(text: &str) -> Result<Self, NoLabel> {
        let mut parts = text.splitn(4, ':').map(str::to_owned);
        let mut part = || parts.next();
        let (Some(user), Some(role), Some(type_), Some(level)) = (part(), part(), part(), part()) else {
            return Err(NoLabel);
        };
        let is_label = [&user, &role, &type_].into_iter().all(|part| is_name(part)) && is_level(&level);
        if is_label { Ok(Self { user, role, type_, level }) } else { Err(NoLabel) }
    }
}

impl fmt::Display for SelinuxContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, role, type_, level } = self;
        write!(f, "{user}:{role}:{type_}:{level}")
    }
}

/// What the node's policy has for containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelinuxContexts {
    process: SelinuxContext,
    files: SelinuxContext,
    given: LabelsGiven,
}

/// Which containers have labels, but for privileged ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LabelsGiven {
    /// All.
    All,
    /// Those that ask for one, or whose pod does.
    Asked,
    /// The same, and the policy may not even know the names here.
    Guessed,
}

impl SelinuxContexts {
    /// Out of the policy's file `lxc_contexts`. `None`: it has none that can be used.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value = |wanted: &str| {
            let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
            let mut values = lines.filter_map(|line| line.split_once('='));
            let (_, value) = values.find(|(key, _)| key.trim() == wanted)?;
            value.trim().trim_matches('"').parse().ok()
        };
        Some(Self { process: value("process")?, files: value("file")?, given: LabelsGiven::All })
    }

    /// Of a policy that says nothing of containers: only those that ask for a label have one.
    #[must_use]
    pub fn without_policy() -> Self {
        let label = |role: &str, type_: &str| SelinuxContext {
            user: "system_u".to_owned(),
            role: role.to_owned(),
            type_: type_.to_owned(),
            level: "s0".to_owned(),
        };
        Self {
            process: label("system_r", "container_t"),
            files: label("object_r", "container_file_t"),
            given: LabelsGiven::Guessed,
        }
    }

    /// The same, but only for containers that ask for one.
    #[must_use]
    pub fn only_asked(self) -> Self {
        let given = if self.given == LabelsGiven::All { LabelsGiven::Asked } else { self.given };
        Self { given, ..self }
    }

    /// The label of files that all containers of the pod share. A pod that asks for nothing may have containers that
    /// do, of which it knows nothing yet: without a label they could not read these.
    ///
    /// # Errors
    /// What the pod asks for is no label.
    pub fn of_pod_files(
        &self,
        pod: &PodSpec,
        categories: Option<Categories>,
    ) -> Result<Option<SelinuxContext>, NoLabelPart> {
        let asked = pod.security.selinux.as_ref();
        if asked.is_none() && self.given == LabelsGiven::Guessed {
            return Ok(None);
        }
        let mut files = self.files.clone();
        if let Some(asked) = asked {
            asked.check()?;
            set(&mut files.user, &asked.user);
        }
        set(&mut files.level, &pod_level(pod, categories).unwrap_or_default());
        Ok(Some(files))
    }

    /// What the container asks for, else the pod, completed with what the policy has for all, and with the pod's level.
    /// Nothing for a privileged container; and where the policy says nothing of containers, nothing without a wish.
    pub(crate) fn of_container(
        &self,
        pod: &PodSpec,
        security: &ContainerSecurity,
        categories: Option<Categories>,
    ) -> Result<Option<Labels>, NoLabelPart> {
        let asked = security.selinux.as_ref().or(pod.security.selinux.as_ref());
        if security.privileged || (asked.is_none() && self.given != LabelsGiven::All) {
            return Ok(None);
        }
        for options in [security.selinux.as_ref(), pod.security.selinux.as_ref()].into_iter().flatten() {
            options.check()?;
        }
        let Self { mut process, mut files, .. } = self.clone();
        if let Some(level) = pod_level(pod, categories) {
            (process.level, files.level) = (level.clone(), level);
        }
        if let Some(asked) = asked {
            set(&mut process.user, &asked.user);
            set(&mut process.role, &asked.role);
            set(&mut process.type_, &asked.type_);
            set(&mut process.level, &asked.level);
            set(&mut files.user, &asked.user);
            set(&mut files.level, &asked.level);
        }
        Ok(Some(Labels { process: process.to_string(), mounts: files.to_string() }))
    }
}

/// Two categories, which a pod has alone on its node: of its containers nobody else can read files or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Categories(u16, u16);

impl Categories {
    /// How many pairs there are.
    pub const PAIRS: u32 = CATEGORIES as u32 * (CATEGORIES as u32 - 1) / 2;

    /// One of all pairs, by a number of which only the rest modulo [`Self::PAIRS`] counts.
    #[must_use]
    pub fn nth(number: u32) -> Self {
        let (mut left, mut first) = (number % Self::PAIRS, 0);
        while left >= u32::from(CATEGORIES - 1 - first) {
            left -= u32::from(CATEGORIES - 1 - first);
            first += 1;
        }
        Self(first, first + 1 + u16::try_from(left).unwrap_or_default())
    }

    /// Out of a level such as `s0:c1,c2`; `None` if that has not exactly two.
    #[must_use]
    pub fn of_level(level: &str) -> Option<Self> {
        let category = |text: &str| text.strip_prefix('c')?.parse().ok().filter(|number| *number < CATEGORIES);
        let (first, second) = level.strip_prefix("s0:")?.split_once(',')?;
        let (first, second): (u16, u16) = (category(first)?, category(second)?);
        (first != second).then(|| Self(first.min(second), first.max(second)))
    }
}

/// As a level.
impl fmt::Display for Categories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s0:c{},c{}", self.0, self.1)
    }
}

/// One label for the process, one for the files it makes.
pub(crate) struct Labels {
    pub(crate) process: String,
    pub(crate) mounts: String,
}

/// The level that the containers of a pod have in common.
fn pod_level(pod: &PodSpec, categories: Option<Categories>) -> Option<String> {
    let asked = pod.security.selinux.as_ref().map(|asked| asked.level.clone()).filter(|level| !level.is_empty());
    asked.or_else(|| categories.map(|pair| pair.to_string()))
}

/// What is empty says nothing.
fn set(part: &mut String, wanted: &str) {
    if !wanted.is_empty() {
        wanted.clone_into(part);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// As Fedora's policy has it.
    const FILE: &str = "process = \"system_u:system_r:container_t:s0\"\ncontent = \"system_u:object_r:virt_var_lib_t:s0\"\n\
        # file = \"wrong\"\nfile = \"system_u:object_r:container_file_t:s0\"\nro_file=\"system_u:object_r:container_ro_file_t:s0\"\n";

    #[test]
    fn the_policys_file() {
        let contexts = SelinuxContexts::parse(FILE).unwrap();
        assert_eq!(contexts.process.to_string(), "system_u:system_r:container_t:s0");
        assert_eq!(contexts.files.to_string(), "system_u:object_r:container_file_t:s0");
        for text in [
            "",
            "process = \"a:b:c:s0\"",
            "file = \"a:b:c:s0\"\nprocess = \"a:b:c\"",
            "process=\"a:b c:d:s0\"\nfile=\"a:b:c:d\"",
        ] {
            assert_eq!(SelinuxContexts::parse(text), None, "{text}");
        }
        let long = format!("process=\"{}:b:c:s0\"\nfile=\"a:b:c:s0\"", "a".repeat(2000));
        assert_eq!(SelinuxContexts::parse(&long), None);
    }

    #[test]
    fn every_pair_is_another_one() {
        let all: HashSet<_> = (0..Categories::PAIRS).map(Categories::nth).collect();
        assert_eq!(all.len(), Categories::PAIRS as usize);
        assert!(all.iter().all(|Categories(first, second)| first < second && *second < CATEGORIES));
        assert_eq!(Categories::nth(Categories::PAIRS), Categories::nth(0));
        assert_eq!(Categories::nth(0).to_string(), "s0:c0,c1");
        assert_eq!(Categories::nth(Categories::PAIRS - 1).to_string(), "s0:c1022,c1023");
        for pair in all.into_iter().take(1000) {
            assert_eq!(Categories::of_level(&pair.to_string()), Some(pair));
        }
        assert_eq!(Categories::of_level("s0:c7,c3"), Categories::of_level("s0:c3,c7"));
        for level in ["s0", "s0:c1", "s0:c1,c1", "s0:c1,c1024", "s0:c1,c2,c3", "s1:c1,c2", "s0:c0.c1023", ""] {
            assert_eq!(Categories::of_level(level), None, "{level}");
        }
    }
}
