//! Files of devices, damaged in every way.

use crate::CdiName;
use crate::file::{CdiFile, Format};

const SEED: &str = r#"{"cdiVersion":"1.1.0","kind":"vendor.com/gpu","annotations":{"a":"b"},"containerEdits":{"env":["A=1"]},
"devices":[{"name":"0","containerEdits":{"deviceNodes":[{"path":"/dev/x","hostPath":"/dev/y","type":"c","major":1,"minor":3,
"fileMode":432,"permissions":"rw","uid":1,"gid":2}],"hooks":[{"hookName":"poststop","path":"/bin/true","timeout":1}],
"mounts":[{"hostPath":"/a","containerPath":"/b","options":["ro","rbind"]}],"additionalGids":[1]}}]}"#;
const YAML: &str = "cdiVersion: 0.6.0\nkind: v.com/c\ndevices:\n- name: d\n  containerEdits: &e\n    env: [A=1]\n- name: x\n  containerEdits: *e\n";

#[test]
fn files() {
    peapod_fuzz::target!("files")
        .seeds([SEED, YAML])
        .tokens(["null", "[[[[", "{\"a\":", "-1", "1e400", "&a", "*a", "<<: ", "\0", "\"containerEdits\":", "\u{e4}"])
        .check(|input| {
            for format in [Format::Json, Format::Yaml] {
                let Ok(file) = CdiFile::parse(input, format) else { continue };
                // What is read can be asked for.
                for device in file.devices.keys() {
                    let name = format!("{}={device}", file.kind);
                    assert_eq!(CdiName::parse(&name).unwrap().to_string(), name);
                }
            }
        });
}
