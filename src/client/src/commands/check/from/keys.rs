//! Keys of another runtime's configuration, and what becomes of each. Pure.

use super::super::report::CheckReport;

/// A key that is set, with its whole name and its value as TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    pub(super) value: String,
    /// False, nothing, zero: what most keys mean by default.
    pub(super) is_off: bool,
}

/// What is known of keys that fit a pattern: parts between dots, `*` for any and at the end for all that follows.
pub(super) struct KnownKey {
    pub(super) pattern: &'static str,
    pub(super) fate: Fate,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// peapod has it under this key.
    Is(&'static str),
    /// It has no meaning here, for this reason.
    Needless(&'static str),
    /// peapod does not have it; a way out. What is switched off does not count.
    Missing(&'static str),
    /// A snapshotter or driver: overlay's is what peapod does.
    Overlay,
    /// A shim: that of runc runs OCI runtimes, as peapod's does.
    ShimOfRuntime,
    /// The kind of a runtime: OCI's is what peapod runs.
    OciRuntime,
    /// Further files.
    Files,
}

/// All keys of a document, tables by tables.
pub(super) fn keys(document: &toml::Table) -> Vec<ForeignKey> {
    let mut found = Vec::new();
    collect("", document, &mut found);
    found
}

fn collect(prefix: &str, table: &toml::Table, found: &mut Vec<ForeignKey>) {
    for (name, value) in table {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => collect(&name, inner, found),
            value => {
                let shown = if is_secret(&name) { "(not shown)".to_owned() } else { value.to_string() };
                found.push(ForeignKey { name, value: shown, is_off: is_off(value) });
            }
        }
    }
}

/// Reports are sent to others: what opens a registry does not belong there.
fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 6] = ["password", "token", "auth", "secret", "header", "credential"];
    let name = name.to_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

fn is_off(value: &toml::Value) -> bool {
    match value {
        toml::Value::Boolean(value) => !value,
        toml::Value::String(text) => text.is_empty(),
        toml::Value::Array(items) => items.is_empty(),
        toml::Value::Integer(number) => *number == 0,
        _ => false,
    }
}

/// Whether a name fits a pattern.
fn fits(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('.').peekable(), name.split('.'));
    while let Some(part) = patterns.next() {
        let Some(other) = names.next() else { return false };
        let is_last = patterns.peek().is_none();
        match part.strip_suffix('*') {
            Some(begin) if is_last => return other.starts_with(begin),
            Some(begin) if other.starts_with(begin) => {}
            Some(_) => return false,
            None if part == other => {}
            None => return false,
        }
    }
    names.next().is_none()
}

/// Says what becomes of a key, by the first pattern that its name fits.
pub(super) fn tell(shown: &str, name: &str, key: &ForeignKey, known: &[KnownKey], report: &mut CheckReport) {
    let Some(KnownKey { fate, .. }) = known.iter().find(|known| fits(known.pattern, name)) else {
        return report.notice(shown, format!("{}: not known to this check; peapod does not read it", key.value), None);
    };
    let value = key.value.trim_matches('"');
    match *fate {
        Fate::Is(own) => report.works(shown, format!("{}: here it is {own}", key.value)),
        Fate::Needless(reason) => report.notice(shown, format!("{}: without effect; {reason}", key.value), None),
        Fate::Missing(_) if key.is_off => report.works(shown, format!("{}: the same", key.value)),
        Fate::Missing(way_out) => report.fails(shown, format!("{}: peapod does not have it", key.value), way_out),
        Fate::Overlay if matches!(value, "overlay" | "overlayfs" | "") => {
            report.works(shown, format!("{}: the same", key.value));
        }
        Fate::Overlay => {
            let way_out = "images are pulled and unpacked as a whole, for overlay alone";
            report.fails(shown, format!("{}: peapod does not have it", key.value), way_out);
        }
        Fate::ShimOfRuntime if matches!(value, "io.containerd.runc.v2" | "") => {
            report.works(shown, format!("{}: here it is runtimes.handlers.NAME.path, the OCI runtime", key.value));
        }
        Fate::ShimOfRuntime => {
            let way_out =
                "peapod runs OCI runtimes: name one in runtimes.handlers.NAME.path, such as runsc or kata-runtime's";
            report.fails(shown, format!("{}: shims of others are not started", key.value), way_out);
        }
        Fate::OciRuntime if matches!(value, "oci" | "") => report.works(shown, format!("{}: the same", key.value)),
        Fate::OciRuntime => {
            let way_out = "peapod runs OCI runtimes: name one in runtimes.handlers.NAME.path";
            report.fails(shown, format!("{}: peapod does not have it", key.value), way_out);
        }
        Fate::Files => report.notice(shown, format!("{}: look at these files too", key.value), None),
    }
}

#[cfg(test)]
mod tests {
    use super::{fits, keys};

    #[test]
    fn secrets_are_not_shown() {
        let text = "[registry.configs.h.auth]\npassword = 'x1'\nusername = 'x2'\n[registry.headers]\nX = ['x3']\n\
                    [registry]\nconfig_path = 'y'\n";
        let all = keys(&toml::from_str(text).unwrap());
        assert!(all.len() == 4 && all.iter().all(|key| !key.value.contains('x')), "{all:?}");
        assert!(all.iter().any(|key| key.value.contains('y')));
    }

    #[test]
    fn patterns_fit_parts_and_ends() {
        for (pattern, name) in [
            ("a.b", "a.b"),
            ("a.*", "a.b"),
            ("a.*", "a.b.c"),
            ("a.*.c", "a.b.c"),
            ("a.b_*", "a.b_c"),
            ("registry.mirrors.*", "registry.mirrors.docker.io.endpoint"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a.b", "a"), ("a", "a.b"), ("a.*.c", "a.b.d"), ("a.*", "a"), ("a.b_*", "a.c_b")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
