//! Network configurations as CNI defines them: a list of plugins that are called one after the other.

use crate::bounds::{CONFLIST_BYTES, CONFLIST_FILES, CONFLIST_PLUGINS, PLUGIN_MESSAGE};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A JSON object whose keys are the plugin's business but for a few.
pub(crate) type Object = Map<String, Value>;

/// Versions of the specification that are spoken, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Version {
    #[serde(rename = "0.3.0")]
    V0_3_0,
    #[serde(rename = "0.3.1")]
    V0_3_1,
    #[serde(rename = "0.4.0")]
    V0_4_0,
    #[serde(rename = "1.0.0")]
    V1_0_0,
    #[serde(rename = "1.1.0")]
    V1_1_0,
}

impl Version {
    const ALL: [(&'static str, Self); 5] = [
        ("0.3.0", Self::V0_3_0),
        ("0.3.1", Self::V0_3_1),
        ("0.4.0", Self::V0_4_0),
        ("1.0.0", Self::V1_0_0),
        ("1.1.0", Self::V1_1_0),
    ];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, version)| *version)
    }

    pub(crate) fn text(self) -> &'static str {
        Self::ALL.iter().find(|(_, version)| *version == self).map_or("", |(name, _)| name)
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file can't be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// No configuration is that long.
    #[error("is longer than {CONFLIST_BYTES} bytes")]
    Long,
    /// No JSON, or a value of the wrong kind.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Nobody can speak it.
    #[error("has cniVersion '{0}'; 0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0 are supported")]
    Version(String),
    /// The network's name becomes part of file names.
    #[error("has the name '{0}'; use the characters a-z A-Z 0-9 _ - . and begin with a letter or digit")]
    Name(String),
    /// Nothing to call.
    #[error("has no plugins")]
    NoPlugins,
    /// Each would be a process for each pod.
    #[error("has {0} plugins; at most {CONFLIST_PLUGINS} are allowed")]
    ManyPlugins(usize),
    /// The folder has no end.
    #[error("has more than {CONFLIST_FILES} entries: keep other files elsewhere")]
    ManyFiles,
    /// Not a file any more.
    #[error("is no file")]
    NoFile,
    /// A plugin is the name of a program, not a path.
    #[error("has a plugin of type '{0}'; it should be the name of a program")]
    Plugin(String),
}

/// A checked configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Conflist {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) check: bool,
    pub(crate) gc: bool,
    pub(crate) plugins: Vec<Object>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenConflist {
    #[serde(default)]
    name: String,
    cni_version: Option<String>,
    #[serde(default)]
    cni_versions: Vec<String>,
    #[serde(default)]
    disable_check: Flag,
    #[serde(default, rename = "disableGC")]
    disable_gc: Flag,
    plugins: Option<Vec<Object>>,
}

/// Some write booleans as text.
#[derive(Clone, Default, Deserialize)]
#[serde(untagged)]
enum Flag {
    #[default]
    Absent,
    Plain(bool),
    Text(String),
}

impl Flag {
    fn is_set(&self) -> bool {
        match self {
            Self::Absent => false,
            Self::Plain(flag) => *flag,
            Self::Text(text) => text == "true",
        }
    }
}

impl Conflist {
    /// Reads a list of plugins, or the configuration of one plugin as a list of one.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ConfigurationError> {
        let whole: Object = serde_json::from_slice(text)?;
        let written: WrittenConflist = serde_json::from_value(Value::Object(whole.clone()))?;
        let version = written
            .cni_versions
            .iter()
            .filter_map(|text| Version::parse(text))
            .chain(written.cni_version.as_deref().and_then(Version::parse))
            .max()
            .ok_or_else(|| ConfigurationError::Version(excerpt(&written.cni_version.clone().unwrap_or_default())))?;
        let begins = written.name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !begins || written.name.len() > 128 || !written.name.chars().all(allowed) {
            return Err(ConfigurationError::Name(excerpt(&written.name)));
        }
        let plugins = written.plugins.unwrap_or_else(|| vec![whole]);
        if plugins.is_empty() {
            return Err(ConfigurationError::NoPlugins);
        }
        if plugins.len() > CONFLIST_PLUGINS {
            return Err(ConfigurationError::ManyPlugins(plugins.len()));
        }
        for plugin in &plugins {
            let kind = kind(plugin);
            if kind.is_empty() || kind.starts_with('.') || kind.contains(['/', '\0']) {
                return Err(ConfigurationError::Plugin(excerpt(kind)));
            }
        }
        Ok(Self {
            name: written.name,
            version,
            check: version >= Version::V0_4_0 && !written.disable_check.is_set(),
            gc: version >= Version::V1_1_0 && !written.disable_gc.is_set(),
            plugins,
        })
    }

    /// A list that calls nobody.
    pub(crate) fn empty() -> Self {
        Self { name: String::new(), version: Version::V1_0_0, check: false, gc: false, plugins: Vec::new() }
    }

    /// What a plugin is to read: its own part, with what the list and the request add.
    pub(crate) fn input(&self, plugin: &Object, capabilities: &Object, previous: Option<&Value>) -> Object {
        let mut input = plugin.clone();
        input.insert("cniVersion".to_owned(), self.version.text().into());
        input.insert("name".to_owned(), self.name.clone().into());
        let declared = input.remove("capabilities");
        let wanted = |name: &str| declared.as_ref().is_some_and(|all| all.get(name) == Some(&Value::Bool(true)));
        let given: Object = capabilities
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !given.is_empty() {
            input.insert("runtimeConfig".to_owned(), given.into());
        }
        if let Some(previous) = previous {
            input.insert("prevResult".to_owned(), previous.clone());
        }
        input
    }

    /// Whether any plugin takes this capability.
    pub(crate) fn takes(&self, capability: &str) -> bool {
        self.plugins
            .iter()
            .any(|plugin| plugin.get("capabilities").and_then(|all| all.get(capability)) == Some(&Value::Bool(true)))
    }
}

/// What somebody else wrote, fit for one line of a message.
pub(crate) fn excerpt(text: &str) -> String {
    let plain = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(PLUGIN_MESSAGE).collect()
}

/// The program of a plugin.
pub(crate) fn kind(plugin: &Object) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_and_flags() {
        let list = |text: &str| Conflist::parse(text.as_bytes());
        let one = list(r#"{"cniVersion":"0.3.1","name":"a","type":"bridge"}"#).unwrap();
        assert_eq!((one.version, one.check, one.gc, one.plugins.len()), (Version::V0_3_1, false, false, 1));
        let new = list(
            r#"{"cniVersion":"0.4.0","cniVersions":["1.0.0","1.1.0","9.0.0"],"name":"a","disableCheck":"true","plugins":[{"type":"x"}]}"#,
        );
        let new = new.unwrap();
        assert_eq!((new.version, new.check, new.gc), (Version::V1_1_0, false, true));
        for wrong in [
            "{",
            r#"{"name":"a","type":"x"}"#,
            r#"{"cniVersion":"0.2.0","name":"a","type":"x"}"#,
            r#"{"cniVersion":"1.0.0","name":"a/b","type":"x"}"#,
            r#"{"cniVersion":"1.0.0","name":"a","plugins":[]}"#,
            r#"{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"../x"}]}"#,
        ] {
            list(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_plugin_reads_what_it_declared() {
        let list = Conflist::parse(
            br#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"x","capabilities":{"mac":true,"dns":false},"own":1}]}"#,
        )
        .unwrap();
        let given = json!({"mac": "02:00:00:00:00:01", "dns": {}, "bandwidth": {}});
        let input = list.input(&list.plugins[0], given.as_object().unwrap(), Some(&json!({"ips": []})));
        let expected = json!({"type": "x", "own": 1, "cniVersion": "1.0.0", "name": "n",
            "runtimeConfig": {"mac": "02:00:00:00:00:01"}, "prevResult": {"ips": []}});
        assert_eq!(Value::Object(input), expected);
    }
}
