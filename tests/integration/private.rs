//! What is root's stays root's: other users of the node get at nothing of the daemon.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use peapod_tests::peapod;

/// For each path that it is told, what its user may do there.
const PROBE: &str = r#"
while read -r path; do
    may=
    [ -r "$path" ] && may=${may}r
    [ -w "$path" ] && may=${may}w
    [ -x "$path" ] && may=${may}x
    [ -z "$may" ] || echo "$may $path"
done"#;

#[test]
fn another_user_reads_nothing() {
    peapod(async |daemon| {
        let open = |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        // A test's own folder is closed; and the state root may be one that somebody made as folders usually are.
        open(&daemon.path(""));
        open(&daemon.state_root());
        let pod = daemon.pod("private").config(|config| config.hostname = "private".to_owned()).run().await;
        let container = pod
            .container("main")
            .env("PASSWORD", "secret")
            .sh("touch /tmp/made; chmod 4755 /tmp/made; echo up; exec sleep 1000")
            .start()
            .await;
        container.wait_log("up").await;

        let (state, run) = (daemon.state_root(), daemon.run_root());
        let mut paths = vec![container.log_file(), daemon.path("probe")];
        std::fs::write(daemon.path("probe"), "for all").unwrap();
        walk(&state, &mut paths);
        walk(&run, &mut paths);
        let bundle = run.join("pods").join(&pod.id).join("containers").join(&container.id);
        for path in [
            state.join("state.db"),
            state.join("image.db"),
            state.join("containers").join(&container.id).join("upper/tmp/made"),
            run.join("pods").join(&pod.id).join("shim.log"),
            bundle.join("config.json"),
            bundle.join("rootfs/bin/sh"),
            daemon.socket(),
        ] {
            assert!(paths.contains(&path), "{} is not looked at", path.display());
        }
        assert!(paths.iter().any(|path| path.parent() == Some(&run.join("s"))), "no shim's socket is looked at");

        let wanted = [
            format!("r {}", daemon.path("probe").display()),
            format!("rx {}", state.display()),
            format!("x {}", run.display()),
            // Pods in it are closed.
            format!("x {}", run.join("pods").display()),
        ];
        assert_eq!(probe(&paths), wanted, "what a stranger may do");
        let socket = std::fs::metadata(daemon.socket()).unwrap();
        assert_eq!((socket.mode() & 0o7777, socket.uid(), socket.gid()), (0o660, 0, 0));
    });
}

/// Everything below, as root sees it; what goes away meanwhile is left out.
fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return };
    if metadata.is_symlink() {
        return;
    }
    found.push(path.to_owned());
    if metadata.is_dir() {
        std::fs::read_dir(path).into_iter().flatten().flatten().for_each(|entry| walk(&entry.path(), found));
    }
}

/// What user 65534 may do, path by path, sorted.
fn probe(paths: &[PathBuf]) -> Vec<String> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", PROBE]).current_dir("/");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
