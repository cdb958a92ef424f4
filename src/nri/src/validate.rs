//! What the node's configuration, and pods, say about adjustments: which plugins there must be, and what none may
//! change. Pure.

use std::collections::BTreeSet;

use peapod_text::excerpt;

use crate::adjust::Merge;
use crate::api::{Field, PodSandbox, security_profile::ProfileType};
use crate::name::PluginName;

/// By which a pod names plugins that its containers need, as a list in YAML.
pub const REQUIRED_ANNOTATION: &str = "required-plugins.noderesource.dev";

/// `[nri]`: plugins that there must be, and what none may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Names, without indices, of plugins without which no pod and no container is made.
    pub required: Vec<String>,
    /// The annotation by which a pod does without those; none if empty.
    pub tolerate_missing_annotation: String,
    /// What no plugin may change.
    pub reject: BTreeSet<Rejected>,
}

/// Something that plugins may not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejected {
    /// Hooks: programs of the node.
    Hooks,
    /// Namespaces.
    Namespaces,
    /// Kernel parameters.
    Sysctls,
    /// The system call filter of a container that has asked for the runtime's.
    SeccompDefault,
    /// That of one that has asked for none.
    SeccompUnconfined,
    /// That of one that has asked for a file of the node.
    SeccompLocalhost,
}

impl Rejected {
    const ALL: [Self; 6] = [
        Self::Hooks,
        Self::Namespaces,
        Self::Sysctls,
        Self::SeccompDefault,
        Self::SeccompUnconfined,
        Self::SeccompLocalhost,
    ];

    /// As it stands in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::Namespaces => "namespaces",
            Self::Sysctls => "sysctls",
            Self::SeccompDefault => "seccomp-default",
            Self::SeccompUnconfined => "seccomp-unconfined",
            Self::SeccompLocalhost => "seccomp-localhost",
        }
    }
}

impl std::str::FromStr for Rejected {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|rejected| rejected.name() == name).ok_or(())
    }
}

/// Why something can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error(
        "plugin {0} is required and not connected: wait until it is, or see nri.required_plugins and the pod's annotations"
    )]
    Missing(String),
    #[error("annotation {key} is {}, which is no {wanted}", excerpt(value))]
    Annotation { key: String, value: String, wanted: &'static str },
    #[error("{plugins} changed what nri.reject forbids: {what}")]
    Forbidden { plugins: String, what: &'static str },
}

impl Rules {
    /// Whether all plugins are there that a pod, or a container of it, needs.
    pub(crate) fn check_required<'a>(
        &self,
        pod: &PodSandbox,
        container: Option<&str>,
        there: &(impl Iterator<Item = &'a PluginName> + Clone),
    ) -> Result<(), RuleError> {
        let of_pod = required_by(pod, container)?;
        let tolerated = !self.required.is_empty() && self.tolerates_missing(pod, container)?;
        let of_node = if tolerated { &[] } else { self.required.as_slice() };
        let missing = of_node.iter().chain(&of_pod).find(|name| !there.clone().any(|plugin| plugin.name() == **name));
        missing.map_or(Ok(()), |name| Err(RuleError::Missing(name.clone())))
    }

    fn tolerates_missing(&self, pod: &PodSandbox, container: Option<&str>) -> Result<bool, RuleError> {
        let key = &self.tolerate_missing_annotation;
        if key.is_empty() {
            return Ok(false);
        }
        match effective(pod, key, container) {
            None => Ok(false),
            Some("true" | "True" | "TRUE" | "1" | "t" | "T") => Ok(true),
            Some("false" | "False" | "FALSE" | "0" | "f" | "F") => Ok(false),
            Some(value) => Err(RuleError::Annotation {
                key: key.clone(),
                value: value.to_owned(),
                wanted: "\"true\" or \"false\"",
            }),
        }
    }

    /// Whether nothing was changed that must not be.
    pub(crate) fn check(&self, merge: &Merge) -> Result<(), RuleError> {
        let container = merge.container();
        let owner = |field| merge.owners.of_field(&container.id, field);
        let first = |field| merge.owners.of_entries(&container.id, field).first().map(|(_, plugin)| *plugin);
        let profile = container.linux.seccomp_profile.as_ref();
        let filter = match profile.map(|profile| profile.profile_type.enum_value_or_default()) {
            None | Some(ProfileType::UNCONFINED) => Rejected::SeccompUnconfined,
            Some(ProfileType::RUNTIME_DEFAULT) => Rejected::SeccompDefault,
            Some(ProfileType::LOCALHOST) => Rejected::SeccompLocalhost,
        };
        let changed = [
            (Rejected::Hooks, owner(Field::OciHooks)),
            (filter, owner(Field::SeccompPolicy)),
            (Rejected::Namespaces, first(Field::Namespace)),
            (Rejected::Sysctls, first(Field::Sysctl)),
        ];
        for (what, plugins) in changed {
            if let Some(plugins) = plugins.filter(|_| self.reject.contains(&what)) {
                return Err(RuleError::Forbidden { plugins: plugins.to_owned(), what: what.name() });
            }
        }
        Ok(())
    }
}

/// What a pod says of all its containers, or of one.
fn effective<'a>(pod: &'a PodSandbox, key: &str, container: Option<&str>) -> Option<&'a str> {
    let of_container = container.map(|name| format!("{key}/container.{name}"));
    let of_container = of_container.and_then(|key| pod.annotations.get(&key));
    of_container
        .or_else(|| pod.annotations.get(&format!("{key}/pod")))
        .or_else(|| pod.annotations.get(key))
        .map(String::as_str)
}

/// The plugins that a pod's annotation names: a list as `[a, b]`, or with a hyphen before each on lines of their own.
fn required_by(pod: &PodSandbox, container: Option<&str>) -> Result<Vec<String>, RuleError> {
    let Some(value) = effective(pod, REQUIRED_ANNOTATION, container) else { return Ok(Vec::new()) };
    let wrong = || RuleError::Annotation {
        key: REQUIRED_ANNOTATION.to_owned(),
        value: value.to_owned(),
        wanted: "list of plugins' names",
    };
    let text = value.trim();
    let names: Vec<&str> = match text.strip_prefix('[') {
        Some(rest) => {
            let inside = rest.strip_suffix(']').ok_or_else(wrong)?.trim();
            let inside = inside.strip_suffix(',').unwrap_or(inside);
            if inside.is_empty() { Vec::new() } else { inside.split(',').collect() }
        }
        None => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(|line| line.strip_prefix('-').ok_or_else(wrong)).collect::<Result<_, _>>()?
        }
    };
    let unquoted = |name: &str| {
        let name = name.trim();
        let quoted = |mark: char| name.strip_prefix(mark)?.strip_suffix(mark);
        quoted('"').or_else(|| quoted('\'')).unwrap_or(name).to_owned()
    };
    let names: Vec<String> = names.into_iter().map(unquoted).collect();
    let is_name = |name: &String| PluginName::new("00", name).is_ok();
    if names.iter().all(is_name) { Ok(names) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ContainerAdjustment, CreateContainerResponse, Hook, Hooks};

    fn pod(annotations: &[(&str, &str)]) -> PodSandbox {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        PodSandbox { annotations, ..PodSandbox::default() }
    }

    #[test]
    fn required_plugins_are_those_of_the_node_and_of_the_pod() {
        let there = [PluginName::of_file("10-here").unwrap()];
        let rules = |required: &[&str]| Rules {
            required: required.iter().map(|name| (*name).to_owned()).collect(),
            tolerate_missing_annotation: "tolerate".to_owned(),
            ..Rules::default()
        };
        let check = |rules: &Rules, pod: &PodSandbox| rules.check_required(pod, Some("c"), &there.iter());
        assert_eq!(check(&rules(&["here"]), &pod(&[])), Ok(()));
        let missing = check(&rules(&["here", "gone"]), &pod(&[])).unwrap_err();
        assert!(missing.to_string().starts_with("plugin gone is required and not connected"));
        for (key, value, tolerated) in
            [("tolerate", "true", true), ("tolerate/container.c", "1", true), ("tolerate/container.d", "1", false)]
        {
            assert_eq!(check(&rules(&["gone"]), &pod(&[(key, value)])).is_ok(), tolerated, "{key}");
        }
        assert!(matches!(check(&rules(&["gone"]), &pod(&[("tolerate", "yes")])), Err(RuleError::Annotation { .. })));
        for (value, fits) in [
            ("[here]", true),
            ("[\"here\", ]", true),
            ("- here\n", true),
            ("[]", true),
            ("[here, gone]", false),
            ("- here\n- 'gone'", false),
            ("here", false),
            ("[here", false),
            ("[a b]", false),
        ] {
            assert_eq!(check(&rules(&[]), &pod(&[(REQUIRED_ANNOTATION, value)])).is_ok(), fits, "{value}");
        }
        let own = [(REQUIRED_ANNOTATION, "[gone]"), ("required-plugins.noderesource.dev/container.c", "[here]")];
        assert_eq!(check(&rules(&[]), &pod(&own)), Ok(()));
    }

    #[test]
    fn what_is_forbidden_is_refused_with_who_did_it() {
        let mut merge = Merge::of(crate::api::Container::new());
        let hooks = Hooks { poststop: vec![Hook::new()], ..Hooks::default() };
        let adjust = ContainerAdjustment { hooks: Some(hooks).into(), ..ContainerAdjustment::default() };
        let response = CreateContainerResponse { adjust: Some(adjust).into(), ..CreateContainerResponse::default() };
        merge.add(&response, &PluginName::of_file("10-a").unwrap()).unwrap();
        assert_eq!(Rules::default().check(&merge), Ok(()));
        let error = Rules { reject: [Rejected::Hooks].into(), ..Rules::default() }.check(&merge).unwrap_err();
        assert_eq!(error.to_string(), "10-a changed what nri.reject forbids: hooks");
    }
}
