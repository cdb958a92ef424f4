//! A file of devices: from its bytes to what it says, checked. Pure.

use std::collections::BTreeMap;

use crate::bounds::{FILE_BYTES, VALUES};
use crate::check;
use crate::edits::{CdiEdits, RawFile};
use crate::problem::FileProblem;

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CdiFile {
    /// `vendor.com/class`.
    pub(crate) kind: String,
    /// For a container that gets any of the devices; once, and before the devices' own.
    pub(crate) common: CdiEdits,
    /// By name.
    pub(crate) devices: BTreeMap<String, CdiEdits>,
}

/// In which way a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

impl Format {
    /// By the end of the file's name; `None`: it is no file of devices.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "json" => Some(Self::Json),
            // The specification's own library reads `yaml` alone; nobody means anything else by `yml`.
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

impl CdiFile {
    /// Reads a file's content.
    pub(crate) fn parse(bytes: &[u8], format: Format) -> Result<Self, FileProblem> {
        let raw = match format {
            Format::Json => serde_json::from_slice(bytes).map_err(|error| FileProblem::syntax(&error.to_string()))?,
            Format::Yaml => yaml(bytes)?,
        };
        check::check(&raw).map_err(|why| FileProblem::invalid(&why))?;
        let RawFile { kind, devices, container_edits, .. } = raw;
        let devices = devices.into_iter().map(|device| (device.name, device.container_edits)).collect();
        Ok(Self { kind, common: container_edits, devices })
    }
}

fn yaml(bytes: &[u8]) -> Result<RawFile, FileProblem> {
    let text = std::str::from_utf8(bytes).map_err(|error| FileProblem::syntax(&error.to_string()))?;
    let most = usize::try_from(FILE_BYTES).unwrap_or(usize::MAX).saturating_mul(2);
    let budget = serde_saphyr::budget! { max_nodes: VALUES, max_total_scalar_bytes: most };
    // Modes are written as in C, `0660`; Go reads them so.
    let options = serde_saphyr::options! { legacy_octal_numbers: true, budget: budget };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let said = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
        let said = said.lines().next().unwrap_or_default();
        match error.location() {
            Some(place) if !said.contains("line ") => FileProblem::syntax(&format!("line {}: {said}", place.line())),
            _ => FileProblem::syntax(said),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<CdiFile, String> {
        CdiFile::parse(text.as_bytes(), Format::Json).map_err(|problem| problem.to_string())
    }

    /// A file of that version with one device `d`, whose edits are these, and with these fields more.
    fn file(version: &str, edits: &str, more: &str) -> Result<CdiFile, String> {
        json(&format!(
            r#"{{"cdiVersion": "{version}", "kind": "vendor.com/c"{more},
                 "devices": [{{"name": "d", "containerEdits": {edits}}}]}}"#
        ))
    }

    const FULL: &str = r#"{
        "env": ["A=1"],
        "deviceNodes": [{"path": "/dev/x", "hostPath": "/dev/y", "type": "c", "major": 1, "minor": 3, "fileMode": 432,
                         "permissions": "rw", "uid": 1, "gid": 2}],
        "netDevices": [{"hostInterfaceName": "eth7", "name": "net1"}],
        "hooks": [{"hookName": "createRuntime", "path": "/bin/true", "args": ["true"], "env": ["B=2"], "timeout": 3}],
        "mounts": [{"hostPath": "/a", "containerPath": "/b", "type": "bind", "options": ["ro", "rbind"]}],
        "intelRdt": {"closID": "gold", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=5", "schemata": ["MB:0=5"],
                     "enableMonitoring": true},
        "additionalGids": [7]}"#;

    #[test]
    fn both_ways_to_write_say_the_same() {
        let from_json = file("1.1.0", FULL, "").unwrap();
        let edits = &from_json.devices["d"];
        assert_eq!(edits.count(), 12);
        assert_eq!((edits.device_nodes[0].file_mode, edits.device_nodes[0].minor), (Some(0o660), 3));
        let yaml = format!(
            "---\n# of a driver\ncdiVersion: \"1.1.0\"\nkind: vendor.com/c\ncontainerEdits:\n  env: null\ndevices:\n- name: d\n  \
             containerEdits: {}\n",
            FULL.replace("432", "0660").replace('\n', " ")
        );
        assert_eq!(CdiFile::parse(yaml.as_bytes(), Format::Yaml).unwrap(), from_json);
    }

    #[test]
    fn each_version_has_its_fields() {
        let cases = [
            ("0.3.0", "0.4.0", r#"{"mounts": [{"hostPath": "/a", "containerPath": "/b", "type": "none"}]}"#, ""),
            ("0.4.0", "0.5.0", r#"{"deviceNodes": [{"path": "/dev/x", "hostPath": "/dev/y"}]}"#, ""),
            ("v0.5.0", "0.6.0", r#"{"env": ["A=1"]}"#, r#", "annotations": {"a": "b"}"#),
            ("0.6.0", "0.7.0", r#"{"additionalGIDs": [1]}"#, ""),
            ("0.6.0", "0.7.0", r#"{"intelRdt": {"closID": "gold"}}"#, ""),
            ("1.0.0", "1.1.0", r#"{"netDevices": [{"hostInterfaceName": "a", "name": "b"}]}"#, ""),
            ("0.8.0", "1.1.0", r#"{"intelRdt": {"enableMonitoring": true}}"#, ""),
        ];
        for (early, needed, edits, more) in cases {
            let said = file(early, edits, more).unwrap_err();
            assert!(said.contains(needed) && said.contains("needs"), "{edits}: {said}");
            file(needed, edits, more).unwrap();
            file("1.1.0", edits, more).unwrap();
        }
        for unknown in ["", "0.2.0", "1.2.0", "2", "0.3", "1.1.0-rc1"] {
            let said = file(unknown, r#"{"env": ["A=1"]}"#, "").unwrap_err();
            assert!(said.contains("none that peapod knows: 0.3.0, ") && said.ends_with("1.1.0"), "{said}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let cases = [
            (r#"{"env": ["=1"]}"#, "\"=1\" is not NAME=value"),
            (r#"{"env": ["A"]}"#, "\"A\" is not NAME=value"),
            (r#"{"env": ["A=\u0000"]}"#, "is not NAME=value"),
            (r#"{}"#, "empty"),
            (r#"{"deviceNodes": []}"#, "empty"),
            (r#"{"deviceNodes": [{"path": "dev/x"}]}"#, "no absolute path"),
            (r#"{"deviceNodes": [{"path": "/dev/x", "hostPath": "y"}]}"#, "hostPath \"y\" is no absolute path"),
            (r#"{"deviceNodes": [{"path": "/dev/x", "type": "d"}]}"#, "type \"d\""),
            (r#"{"deviceNodes": [{"path": "/dev/x", "permissions": "rwx"}]}"#, "permissions \"rwx\""),
            (r#"{"deviceNodes": [{"path": "/dev/x", "major": -1}]}"#, "major -1"),
            (r#"{"deviceNodes": [{"hostPath": "/dev/x"}]}"#, "path"),
            (r#"{"deviceNodes": [null]}"#, "null"),
            (r#"{"hooks": [{"hookName": "now", "path": "/bin/true"}]}"#, "hookName \"now\""),
            (r#"{"hooks": [{"hookName": "poststop", "path": "true"}]}"#, "no absolute path"),
            (r#"{"hooks": [{"hookName": "poststop", "path": "/bin/true", "timeout": 0}]}"#, "timeout 0"),
            (r#"{"hooks": [{"hookName": "poststop", "path": "/bin/true", "env": ["x"]}]}"#, "NAME=value"),
            (r#"{"mounts": [{"hostPath": "", "containerPath": "/b"}]}"#, "hostPath \"\""),
            (r#"{"mounts": [{"hostPath": "/a", "containerPath": "b"}]}"#, "containerPath \"b\""),
            (r#"{"mounts": [{"hostPath": "", "containerPath": "/b", "type": "tmpfs"}]}"#, "hostPath is empty"),
            (r#"{"intelRdt": {"closID": "../x"}}"#, "closID"),
            (r#"{"netDevices": [{"hostInterfaceName": "", "name": "b"}]}"#, "no name of a network device"),
            (
                r#"{"netDevices": [{"hostInterfaceName": "a", "name": "b"}, {"hostInterfaceName": "c", "name": "b"}]}"#,
                "two of one of these names",
            ),
            (r#"{"env": ["A=1"], "colour": "red"}"#, "unknown field `colour`"),
            (r#"{"additionalGids": [-1]}"#, "-1"),
        ];
        for (edits, part) in cases {
            let said = file("1.1.0", edits, "").unwrap_err();
            assert!(said.contains(part), "{edits}: {said}");
        }
        let said = file("1.1.0", r#"{"env": ["A=1"]}"#, r#", "color": 1"#).unwrap_err();
        assert!(said.contains("unknown field `color`"), "{said}");
        let twice = r#"{"cdiVersion": "0.5.0", "kind": "v/c", "devices": [{"name": "d", "containerEdits": {"env": ["A=1"]}},
            {"name": "d", "containerEdits": {"env": ["A=1"]}}]}"#;
        assert!(json(twice).unwrap_err().contains("two of this name"));
        assert!(json(r#"{"cdiVersion": "0.5.0", "kind": "v/c", "devices": []}"#).unwrap_err().contains("no devices"));
        assert!(json(r#"{"cdiVersion": "0.5.0", "kind": "v", "devices": []}"#).unwrap_err().starts_with("kind: "));
        assert!(json("").unwrap_err().contains("EOF"));
        let yaml = CdiFile::parse(b"cdiVersion: 0.5.0\nkind: v/c\ndevices: [\n", Format::Yaml).unwrap_err();
        assert!(yaml.to_string().contains("line "), "{yaml}");
    }

    #[test]
    fn aliases_cost_no_more_than_a_file() {
        let mut text = "cdiVersion: 0.5.0\nkind: v/c\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let above = vec![format!("*a{}", level - 1); 10].join(", ");
            text += &format!("a{level}: &a{level} [{above}]\n");
        }
        CdiFile::parse(text.as_bytes(), Format::Yaml).unwrap_err();
        let most = vec!["\"A=1\""; EDITS_AND_MORE].join(",");
        assert!(file("0.5.0", &format!("{{\"env\": [{most}]}}"), "").unwrap_err().contains("edits"));
    }

    const EDITS_AND_MORE: usize = crate::bounds::EDITS + 1;
}
