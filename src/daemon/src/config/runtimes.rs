//! `[runtimes]`: the node's handlers, as the configuration names them and as they are found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use peapod_cgroup::check_delegation;
use peapod_pod::{Grouping, HandlerOrigin, HandlerTable, LeftOutProgram, OciRuntime};

use super::find;
use super::section::Section;

/// OCI runtimes that are offered where they are found: the handler's name, as RuntimeClasses have it, and the
/// program's.
const KNOWN: [(&str, &str); 7] = [
    ("crun", "crun"),
    ("runc", "runc"),
    ("youki", "youki"),
    ("runsc", GVISOR),
    ("crun-wasm", "crun-wasm"),
    ("nvidia", "nvidia-container-runtime"),
    ("nvidia-cdi", "nvidia-container-runtime.cdi"),
];

/// gVisor's program.
const GVISOR: &str = "runsc";

/// Arguments that runtimes get from peapod.
const OWN: [&str; 4] = ["--root", "--log", "--log-format", "--systemd-cgroup"];

/// Programs that others offer as handlers: what they are for, and what to do here.
const SHIMS: [(&str, &str); 9] = [
    ("kata-runtime", KATA),
    ("containerd-shim-kata-v2", KATA),
    ("containerd-shim-runsc-v1", "it drives runsc for containerd: here it is runsc itself that a handler names"),
    ("containerd-shim-spin-v2", WASM),
    ("containerd-shim-wasmtime-v1", WASM),
    ("containerd-shim-wasmedge-v1", WASM),
    ("containerd-shim-wasmer-v1", WASM),
    ("containerd-shim-slight-v1", WASM),
    ("containerd-shim-wws-v1", WASM),
];
const KATA: &str = "Kata has no OCI command line since 2.0, and peapod starts no shims of others: run such pods with \
                    containerd";
const WASM: &str = "peapod starts no shims of others: WebAssembly runs here by crun-wasm";

/// The default's name and all handlers by theirs. `cgroup_root` is where control groups are mounted.
pub(super) fn read(mut section: Section<'_>, (run_root, cgroup_root): (&Path, &Path)) -> (String, HandlerTable) {
    let state = run_root.join("runtimes");
    let discover = section.flag("discover", true, Ok);
    let mut table = if discover { found(&state) } else { HandlerTable::default() };
    let wanted = section.text("default", String::new(), |text| Ok(text.to_owned()));
    for (name, handler) in section.section("handlers").named() {
        let known = table.by_name.get(&name).map(|runtime: &OciRuntime| runtime.path.clone());
        if let Some(runtime) = configured(handler, &name, known, (&state, cgroup_root)) {
            table.by_name.insert(name, runtime);
        }
    }
    let default = choose(&wanted, &table).unwrap_or_else(|reason| {
        section.problem("default", reason);
        String::new()
    });
    section.finish();
    (default, table)
}

/// What there is on the node. Only looks at files.
fn found(state: &Path) -> HandlerTable {
    let mut table = HandlerTable::default();
    for (name, program) in KNOWN {
        let Some(path) = find::program(program) else { continue };
        if let Err(reason) = find::is_roots_alone(&path) {
            table.left_out.push(LeftOutProgram { path, reason: format!("{reason}: mend that, or configure it") });
            continue;
        }
        let (root, grouping) = (state.join(name), grouping(&path));
        let (origin, arguments) = (HandlerOrigin::Found, Vec::new());
        let runtime = OciRuntime { path, root, origin, grouping, cgroup_writable: false, arguments };
        table.by_name.insert(name.to_owned(), runtime);
    }
    for (program, reason) in SHIMS {
        table.left_out.extend(find::program(program).map(|path| LeftOutProgram { path, reason: reason.to_owned() }));
    }
    table
}

fn configured(
    mut handler: Section<'_>,
    name: &str,
    known: Option<PathBuf>,
    (state, cgroup_root): (&Path, &Path),
) -> Option<OciRuntime> {
    if !is_handler_name(name) {
        handler.problem("", "a handler's name has 1 to 63 of the characters a-z, 0-9, `-` and `.`");
    }
    let path = handler.text("path", known, |text| find::executable(text).map(Some));
    let root = handler.path("root", state.join(name));
    let usual = path.as_deref().map_or(Grouping::Namespaces, grouping);
    let grouping = match handler.flag("root_container", usual == Grouping::RootContainer, Ok) {
        true => Grouping::RootContainer,
        false => Grouping::Namespaces,
    };
    let cgroup_writable = handler.flag("cgroup_writable", false, |wanted| match (wanted, grouping) {
        (false, _) => Ok(false),
        (true, Grouping::RootContainer) => {
            Err("is nothing for a runtime with a root container: its sandbox has control groups of its own".to_owned())
        }
        (true, Grouping::Namespaces) => check_delegation(cgroup_root).map(|()| true).map_err(|error| error.to_string()),
    });
    let arguments = handler.texts("arguments", Vec::new(), argument);
    let origin = HandlerOrigin::Configured;
    let runtime = path.map(|path| OciRuntime { path, root, origin, grouping, cgroup_writable, arguments });
    if runtime.is_none() {
        handler.problem("path", "is needed: the absolute path of an OCI runtime");
    }
    handler.finish();
    runtime
}

/// One that comes before each of a runtime's commands. The shim notes it in a line of a file.
fn argument(text: &str) -> Result<String, String> {
    let name = text.split('=').next().unwrap_or_default();
    if !text.starts_with("--") || text.chars().any(char::is_control) {
        return Err("should begin with `--`; a value follows behind a `=`".to_owned());
    }
    match OWN.contains(&name) {
        true => Err(format!("{name} is what peapod says itself")),
        false => Ok(text.to_owned()),
    }
}

/// How a runtime of that name keeps a pod's containers together.
fn grouping(path: &Path) -> Grouping {
    match path.file_name().is_some_and(|name| name == GVISOR) {
        true => Grouping::RootContainer,
        false => Grouping::Namespaces,
    }
}

/// The handler that the empty name means.
fn choose(wanted: &str, table: &HandlerTable) -> Result<String, String> {
    let HandlerTable { by_name, left_out } = table;
    let names = || by_name.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    if !wanted.is_empty() {
        return match by_name.contains_key(wanted) {
            true => Ok(wanted.to_owned()),
            false => Err(format!("{wanted:?} is no handler; there are: {}", names())),
        };
    }
    ["crun", "runc"]
        .into_iter()
        .find(|name| by_name.contains_key(*name))
        .or_else(|| a_configured_one(by_name))
        .or_else(|| by_name.keys().next().map(String::as_str))
        .map(str::to_owned)
        .ok_or_else(|| {
            let left_out = left_out
                .iter()
                .map(|LeftOutProgram { path, reason }| format!("; {} is left out: {reason}", path.display()));
            let missing = "no OCI runtime found: install crun or runc, or set runtimes.handlers.NAME.path";
            std::iter::once(missing.to_owned()).chain(left_out).collect()
        })
}

fn a_configured_one(by_name: &BTreeMap<String, OciRuntime>) -> Option<&str> {
    let mut all = by_name.iter();
    all.find(|(_, runtime)| runtime.origin == HandlerOrigin::Configured).map(|(name, _)| name.as_str())
}

/// As Kubernetes allows in a RuntimeClass.
fn is_handler_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(handlers: &[(&str, HandlerOrigin)]) -> HandlerTable {
        let runtime = |origin| OciRuntime {
            path: "/x".into(),
            root: "/r".into(),
            origin,
            grouping: Grouping::Namespaces,
            cgroup_writable: false,
            arguments: Vec::new(),
        };
        let by_name = handlers.iter().map(|&(name, origin)| (name.to_owned(), runtime(origin))).collect();
        let left_out = vec![LeftOutProgram { path: "/home/me/runc".into(), reason: "why".to_owned() }];
        HandlerTable { by_name, left_out }
    }

    #[test]
    fn the_default_is_chosen() {
        use HandlerOrigin::{Configured, Found};
        for (handlers, chosen) in [
            (&[("crun", Found), ("runc", Configured)][..], "crun"),
            (&[("nvidia", Found), ("runc", Found)], "runc"),
            (&[("nvidia", Found), ("own", Configured)], "own"),
            (&[("youki", Found)], "youki"),
        ] {
            assert_eq!(choose("", &table(handlers)).as_deref(), Ok(chosen));
        }
        assert_eq!(choose("youki", &table(&[("crun", Found), ("youki", Found)])).as_deref(), Ok("youki"));
        let none = choose("", &table(&[])).unwrap_err();
        assert!(none.contains("install crun or runc") && none.contains("/home/me/runc is left out: why"), "{none}");
    }

    #[test]
    fn arguments_are_not_those_of_peapod() {
        assert_eq!(argument("--network=host").as_deref(), Ok("--network=host"));
        for wrong in ["network=host", "--root=/x", "--root", "--log=/x", "--systemd-cgroup", "--a=\n", ""] {
            assert!(argument(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_runtime_is_grouped_by_its_name() {
        assert_eq!(grouping(Path::new("/usr/bin/runsc")), Grouping::RootContainer);
        assert_eq!(grouping(Path::new("/usr/bin/runc")), Grouping::Namespaces);
        for (name, program) in KNOWN {
            assert!(is_handler_name(name) && !program.contains('/'));
        }
    }
}
