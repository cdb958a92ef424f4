//! What pods may not leave behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cgroups;
use crate::test_env::TestEnv;
use crate::wait::{default_timeout, wait_for};

/// Waits until nothing of any pod is left: the kernel takes namespaces and links apart a little after their last user.
///
/// # Panics
/// When something stays, naming all of it.
pub(crate) async fn none(env: &TestEnv) {
    let start = std::time::Instant::now();
    loop {
        let found = find(env);
        if found.is_empty() {
            return;
        }
        assert!(start.elapsed() < default_timeout() / 2, "left behind:\n  {}", found.join("\n  "));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The same once the daemon has ended: nothing works for it any more.
///
/// # Panics
/// When something stays, naming all of it.
pub(crate) async fn none_after_the_end(env: &TestEnv) {
    let gone = async || shims(&env.shims_cgroup()).is_empty();
    wait_for("the ends of all processes in the shims' group", gone).await;
    none(env).await;
}

fn find(env: &TestEnv) -> Vec<String> {
    let mut found = processes(env);
    found.extend(mounts(env).into_iter().map(|path| format!("mount {}", path.display())));
    found.extend(cgroups(env).into_iter().map(|path| format!("cgroup {}", path.display())));
    found.extend(ports(env));
    found.extend(rules(env));
    found.extend(records(env));
    found.extend(layers(env));
    let runtimes = entries(&env.run_root().join("runtimes"));
    let mut folders = vec![
        env.netns_dir(),
        env.run_root().join("pods"),
        env.run_root().join("s"),
        env.state_root().join("containers"),
    ];
    folders.extend(runtimes);
    for folder in folders {
        found.extend(entries(&folder).into_iter().map(|path| format!("file {}", path.display())));
    }
    found
}

/// Shims of this daemon (their command line names the run root). Containers' processes show up by their cgroups.
fn processes(env: &TestEnv) -> Vec<String> {
    let pods = env.run_root().join("pods");
    entries(Path::new("/proc"))
        .into_iter()
        .filter_map(|path| {
            let line = fs::read_to_string(path.join("cmdline")).ok()?.replace('\0', " ");
            let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
            let doing = || format!("{}; {}", read("wchan"), read("stack").replace('\n', " "));
            line.contains(pods.to_str()?).then(|| format!("process {} {line}({})", path.display(), doing()))
        })
        .collect()
}

/// The processes that outlive the daemon.
pub(crate) fn shims(group: &str) -> Vec<i32> {
    let lists = cgroups::dirs(group).into_iter().filter_map(|dir| fs::read_to_string(dir.join("cgroup.procs")).ok());
    let lists: Vec<String> = lists.collect();
    lists.iter().flat_map(|list| list.lines()).filter_map(|line| line.parse().ok()).collect()
}

/// Everything mounted below the daemon's folder, except its two roots themselves: they outlive the daemon on purpose.
pub(crate) fn mounts(env: &TestEnv) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let roots = [env.run_root(), env.state_root()];
    text.lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|path| path.starts_with(env.dir()) && !roots.contains(path))
        .collect()
}

/// Cgroups of pods, containers and shims; not the two parents.
fn cgroups(env: &TestEnv) -> Vec<PathBuf> {
    parents(env).iter().flat_map(|parent| entries(parent)).filter(|path| path.is_dir()).collect()
}

/// The daemon's two parents in every hierarchy.
pub(crate) fn parents(env: &TestEnv) -> Vec<PathBuf> {
    [env.cgroup(), env.shims_cgroup()].iter().flat_map(|path| cgroups::dirs(path)).collect()
}

/// Host ends of pods' links: ports of the daemon's bridge.
fn ports(env: &TestEnv) -> Vec<String> {
    let folder = PathBuf::from(format!("/sys/class/net/{}/brif", env.bridge()));
    entries(&folder).into_iter().map(|path| format!("link {}", path.display())).collect()
}

/// Rules and set elements that name a pod's address.
fn rules(env: &TestEnv) -> Vec<String> {
    let subnet = format!("{}.", env.subnet());
    let names_pod = |line: &str| {
        line.match_indices(&subnet).any(|(at, _)| {
            let last: String = line[at + subnet.len()..].chars().take_while(char::is_ascii_digit).collect();
            // .0 is the range itself, .1 the bridge, .255 the broadcast address.
            !matches!(last.as_str(), "0" | "1" | "255")
        })
    };
    let text: String = tables(env).iter().map(|table| nft(&format!("list table {table}"))).collect();
    text.lines().filter(|line| names_pod(line)).map(|line| format!("rule {}", line.trim())).collect()
}

/// The daemon's tables, as `family name`. Listing all rules of the node would take a second once it has a hundred
/// tables.
pub(crate) fn tables(env: &TestEnv) -> Vec<String> {
    let text = nft("list tables");
    let all = text.lines().filter_map(|line| line.strip_prefix("table "));
    all.filter(|table| table.split(['_', '-', ' ']).any(|word| word == env.bridge())).map(str::to_owned).collect()
}

pub(crate) fn nft(arguments: &str) -> String {
    let output = Command::new("nft").args(arguments.split(' ')).output().expect("nft is not installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Rows about pods in the daemon's databases.
fn records(env: &TestEnv) -> Vec<String> {
    let mut found = Vec::new();
    let tables = [
        ("state.db", "pods"),
        ("state.db", "containers"),
        ("state.db", "network_attachments"),
        ("state.db", "network_cni"),
    ];
    for (file, table) in tables.into_iter().chain([("image.db", "leases")]) {
        let count: i64 = ask(env, file, &format!("SELECT count(*) FROM {table}")).first().copied().unwrap_or(0);
        if count != 0 {
            found.push(format!("{count} records in {file}, {table}"));
        }
    }
    found
}

/// Half-made layers, and those that no record knows. What came of a blob stays on purpose.
fn layers(env: &TestEnv) -> Vec<String> {
    let known: Vec<String> = ask(env, "image.db", "SELECT short FROM layers");
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let mut found = entries(&env.state_root().join("ingest"));
    found.retain(|path| path.extension().is_none_or(|extension| extension != "part"));
    let unknown = |path: &PathBuf| name(path) != "empty" && !known.contains(&name(path));
    found.extend(entries(&env.state_root().join("layers")).into_iter().filter(unknown));
    found.into_iter().map(|path| format!("layer {}", path.display())).collect()
}

/// The first column of what a query finds.
fn ask<T: rusqlite::types::FromSql>(env: &TestEnv, file: &str, query: &str) -> Vec<T> {
    let path = env.state_root().join(file);
    let db = rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    db.busy_timeout(default_timeout()).unwrap();
    let mut statement = db.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
