//! The images of the local registry (tests/images).

use crate::Programs;

/// busybox with a shell.
pub const SHELL: &str = "peapod/shell:1";
/// nginx on port 80.
pub const WEB: &str = "peapod/web:1";
/// Owners, modes, links, devices and extended attributes under /meta.
pub const METADATA: &str = "peapod/test-metadata:1";

/// The full reference of an image of the local registry; what names a registry already is left alone.
#[must_use]
pub fn fixture(name: &str) -> String {
    if name.starts_with("peapod/") { format!("{}/{name}", Programs::get().registry) } else { name.to_owned() }
}

/// Pushes an image with the layers of `base` and these fields in the `config` of its configuration; answers its name. A
/// test makes its images under tags of its own.
///
/// # Panics
/// When the registry refuses.
#[must_use]
pub fn derived(base: &str, tag: &str, config: &serde_json::Value) -> String {
    use std::io::Write;
    let (repository, of) = base.split_once(':').expect("a tag");
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("images/derive.py");
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.arg("-B").arg(script).args([Programs::get().registry.as_str(), repository, of, tag]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("python3");
    child.stdin.take().expect("stdin").write_all(config.to_string().as_bytes()).expect("its input");
    assert!(child.wait().expect("its end").success(), "{repository}:{tag} can't be made");
    format!("{repository}:{tag}")
}

/// Makes an archive, or with the form `folder` a folder, of an image of the local registry, under a name of the test's
/// choice; see tests/images/archive.py.
///
/// # Panics
/// When the registry refuses.
pub fn archived(image: &str, name: &str, form: &str, file: &std::path::Path) {
    let (repository, tag) = image.split_once(':').expect("a tag");
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("images/archive.py");
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.arg("-B").arg(script).args([Programs::get().registry.as_str(), repository, tag, name, form]).arg(file);
    assert!(command.status().expect("python3").success(), "{image} can't be put into an archive");
}
