//! Pods that nobody watches: `peapod run -d`, `apply`, `--watch`, `down`, and what is left when the process dies that
//! looks after them.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_tests::{Daemon, Programs, SHELL, client, done, ended, fixture, peapod, wait_for};
use serde_json::Value;
use tokio::process::Command;

/// A manifest of a pod that says a word and stays.
fn manifest(daemon: &Daemon, name: &str, word: &str) -> String {
    let path = daemon.path(format!("{name}.yaml"));
    save(&path, &text(name, word));
    path.to_string_lossy().into_owned()
}

fn text(name: &str, word: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {{name: main, image: '{}', command: [sh, -c, 'echo {word}; exec sleep 1000']}}\n",
        fixture(SHELL)
    )
}

/// As editors do it.
fn save(path: &Path, text: &str) {
    let own = path.with_extension("new");
    fs::write(&own, text).unwrap();
    fs::rename(own, path).unwrap();
}

async fn listed(daemon: &Daemon) -> Vec<Value> {
    serde_json::from_str(&done(daemon, &["ps", "-o", "json"]).await).unwrap()
}

async fn pod(daemon: &Daemon, name: &str) -> Option<Value> {
    listed(daemon).await.into_iter().find(|pod| pod["name"] == name)
}

fn pid(pod: &Value) -> i32 {
    i32::try_from(pod["run"]["pid"].as_i64().unwrap()).unwrap()
}

fn assert_nothing_kept(daemon: &Daemon) {
    assert_eq!(fs::read_dir(daemon.path("run-dir")).unwrap().count(), 0);
}

#[test]
fn what_has_changed_is_replaced_and_the_rest_left() {
    peapod(async |daemon| {
        let (a, b) = (manifest(daemon, "a", "one"), manifest(daemon, "b", "one"));
        let (code, _, err) = client(daemon, &["run", "-d", &a, &b]).await;
        assert!(code == 0 && err.contains("a: pod default/a is up"), "{code}: {err}");
        wait_for("its words", async || done(daemon, &["logs", "a", "b", "--no-prefix"]).await == "one\none\n").await;
        let (before, other) = (pod(daemon, "a").await.unwrap(), pod(daemon, "b").await.unwrap());
        assert_eq!((&before["run"]["lives"], &before["run"]["detached"]), (&true.into(), &true.into()), "{before}");
        assert_eq!(before["run"]["file"], a.as_str());
        assert!(done(daemon, &["ps"]).await.contains(before["run"]["id"].as_str().unwrap()));

        let same = done(daemon, &["apply", &a, &b]).await;
        assert_eq!(same, "default/a unchanged\ndefault/b unchanged\n");
        manifest(daemon, "b", "two");
        assert_eq!(done(daemon, &["apply", &b]).await, "default/a unchanged\ndefault/b replaced\n");
        wait_for("its words", async || done(daemon, &["logs", "b", "--no-prefix"]).await == "two\n").await;
        assert_eq!(pod(daemon, "a").await.unwrap()["id"], before["id"]);
        assert_ne!(pod(daemon, "b").await.unwrap()["id"], other["id"]);
        // With a mistake all stays.
        save(Path::new(&b), "kind: Pod\nspec: {nonsense: 1}\n");
        let (code, out, _) = client(daemon, &["apply", &b]).await;
        assert!(code != 0 && !out.contains("replaced"), "{out}");
        assert_eq!(listed(daemon).await.len(), 2);

        manifest(daemon, "b", "two");
        done(daemon, &["down", &a]).await;
        assert_eq!(listed(daemon).await.len(), 1);
        let pid = pid(&other);
        assert_eq!(done(daemon, &["down", &a, &b]).await, "default/b\n");
        wait_for("it ends", async || !Path::new(&format!("/proc/{pid}")).exists()).await;
        assert_nothing_kept(daemon);
    });
}

/// A Pod with files and a variable, and what it has them from.
fn with_objects(file: &str, variable: &str, more: &str) -> String {
    let script = "echo $V; while ! grep -q blue /c/k; do sleep 0.1; done; echo seen; exec sleep 1000";
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: file}}\ndata: {{k: {file}}}\n---
apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: variable}}\ndata: {{k: {variable}}}\n{more}---
apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  terminationGracePeriodSeconds: 1
  securityContext: {{runAsUser: 1000, fsGroup: 2000}}
  volumes: [{{name: c, configMap: {{name: file, defaultMode: 0440}}}}]
  containers:
  - name: main
    image: '{}'
    command: [sh, -c, '{script}']
    env: [{{name: V, valueFrom: {{configMapKeyRef: {{name: variable, key: k}}}}}}]
    volumeMounts: [{{name: c, mountPath: /c}}]\n",
        fixture(SHELL)
    )
}

#[test]
fn a_config_map_is_applied_to_files_in_place_and_to_variables_with_a_new_pod() {
    peapod(async |daemon| {
        let path = daemon.path("a.yaml");
        let file = path.to_string_lossy().into_owned();
        save(&path, &with_objects("red", "one", ""));
        done(daemon, &["run", "-d", &file]).await;
        let logs = async || done(daemon, &["logs", "a", "--no-prefix"]).await;
        wait_for("its words", async || logs().await == "one\n").await;
        let before = pod(daemon, "a").await.unwrap();
        save(&path, &with_objects("blue", "one", ""));
        assert_eq!(done(daemon, &["apply", &file]).await, "default/a updated; its pods go on, and get the new files\n");
        // Another user than root reads it, by its group.
        wait_for("the container sees it", async || logs().await == "one\nseen\n").await;
        assert_eq!(pod(daemon, "a").await.unwrap()["id"], before["id"]);
        save(&path, &with_objects("blue", "two", "immutable: true\n"));
        assert_eq!(done(daemon, &["apply", &file]).await, "default/a replaced\n");
        wait_for("its words", async || logs().await == "two\nseen\n").await;
        assert_ne!(pod(daemon, "a").await.unwrap()["id"], before["id"]);
        save(&path, &with_objects("blue", "three", "immutable: true\n"));
        let (code, out, err) = client(daemon, &["apply", &file]).await;
        assert!(code == 1 && err.contains("ConfigMap default/variable is immutable"), "{code}: {out}{err}");
        assert_eq!(done(daemon, &["down", &file]).await, "default/a\n");
    });
}

/// A folder with all kinds: what they refer to, what ends, what stays, and what is many.
#[test]
fn all_kinds_of_a_folder_run_and_change_together() {
    peapod(async |daemon| {
        let folder = daemon.path("app");
        fs::create_dir(&folder).unwrap();
        let put = |name: &str, text: &str| save(&folder.join(format!("{name}.yaml")), text);
        let spec = |indent: &str, rest: &str, script: &str| {
            format!(
                "{indent}terminationGracePeriodSeconds: 1\n{rest}{indent}containers:\n{indent}- {{name: main, image: '{}', envFrom: [{{configMapRef: {{name: words}}}}], command: [sh, -c, '{script}']}}\n",
                fixture(SHELL)
            )
        };
        let deployment = |replicas: u32| {
            format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: many}}\nspec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: many}}}}\n  template:\n    metadata: {{labels: {{app: many}}}}\n    spec:\n{}",
                spec("      ", "", "echo $WORD; exec sleep 1000")
            )
        };
        let job = spec("      ", "      restartPolicy: Never\n", "echo job $WORD");
        put(
            "job",
            &format!("apiVersion: batch/v1\nkind: Job\nmetadata: {{name: once}}\nspec:\n  template:\n    spec:\n{job}"),
        );
        put("words", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: words}\ndata: {WORD: hello}\n");
        let pod = spec("  ", "", "echo $WORD; exec sleep 1000");
        put("web", &format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n{pod}"));
        put("many", &deployment(2));

        let folder = folder.to_string_lossy().into_owned();
        let (code, _, err) = client(daemon, &["run", "-d", &folder]).await;
        assert!(code == 0 && err.contains("job default/once, deployment default/many"), "{code}: {err}");
        let names = async || {
            let mut names: Vec<String> =
                listed(daemon).await.iter().map(|pod| pod["name"].as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        // What has ended is not listed, and tells what it did.
        wait_for("the job is over", async || names().await.len() == 3).await;
        let before = names().await;
        assert!(before[0].starts_with("many-") && before[1].starts_with("many-") && before[2] == "web", "{before:?}");
        wait_for("their words", async || {
            let said = done(daemon, &["logs", "--no-prefix", &folder]).await;
            let times = |line: &str| said.lines().filter(|said| *said == line).count();
            (times("hello"), times("job hello"), said.lines().count()) == (3, 1, 4)
        })
        .await;

        fs::remove_file(daemon.path("app/web.yaml")).unwrap();
        fs::remove_file(daemon.path("app/job.yaml")).unwrap();
        put("many", &deployment(3));
        let out = done(daemon, &["apply", &folder]).await;
        assert!(out.contains("deployment default/many changed\n") && out.contains("default/web removed\n"), "{out}");
        let after = names().await;
        assert!(after.len() == 3 && before[..2].iter().all(|name| after.contains(name)), "{before:?} {after:?}");
        done(daemon, &["down", &folder]).await;
        assert!(daemon.pods().await.is_empty());
        assert_nothing_kept(daemon);
    });
}

#[test]
fn it_comes_back_with_what_became_of_the_pods() {
    peapod(async |daemon| {
        let spec = |name: &str, rest: &str| {
            let path = daemon.path(format!("{name}.yaml"));
            let image = fixture(SHELL);
            let text = format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  - {{name: main, image: '{image}', {rest}}}\n"
            );
            fs::write(&path, text).unwrap();
            path.to_string_lossy().into_owned()
        };
        let missing = spec("missing", "imagePullPolicy: Never");
        let (code, _, err) = client(daemon, &["run", "-d", &missing]).await;
        assert!(code == 125 && err.contains("is not on this node"), "{code}: {err}");
        let broken = spec("broken", "command: [/no/such]");
        let (code, _, err) = client(daemon, &["run", "-d", &broken]).await;
        assert!(code == 125 && err.contains("/no/such"), "{code}: {err}");
        // From standard input.
        let good = fs::File::open(manifest(daemon, "input", "word")).unwrap();
        let mut command = daemon.client(&["run", "-d", "-"]);
        command.stdin(good);
        let (code, _, err) = ended(command).await;
        assert_eq!(code, 0, "{err}");
        wait_for("its word", async || done(daemon, &["logs", "input", "--no-prefix"]).await == "word\n").await;
        done(daemon, &["down", "--all"]).await;
        assert!(daemon.pods().await.is_empty());
        assert_nothing_kept(daemon);
    });
}

#[test]
fn a_run_that_was_killed_is_seen_and_cleaned_up() {
    peapod(async |daemon| {
        let file = manifest(daemon, "lost", "one");
        done(daemon, &["run", "-d", &file]).await;
        let before = pod(daemon, "lost").await.unwrap();
        kill(Pid::from_raw(pid(&before)), Signal::SIGKILL).unwrap();
        wait_for("that is seen", async || done(daemon, &["ps"]).await.contains("(killed)")).await;
        // Applied once more, it gets somebody who looks after it.
        done(daemon, &["apply", &file]).await;
        let after = pod(daemon, "lost").await.unwrap();
        assert!(after["id"] != before["id"] && after["run"]["lives"] == true, "{after}");
        kill(Pid::from_raw(pid(&after)), Signal::SIGKILL).unwrap();
        wait_for("that is seen", async || done(daemon, &["ps"]).await.contains("(killed)")).await;
        assert_eq!(done(daemon, &["down", &file]).await, "default/lost\n");
        assert!(daemon.pods().await.is_empty());
        assert_nothing_kept(daemon);
    });
}

#[test]
fn what_a_kubelets_pod_says_of_itself_leads_no_command_to_a_process_or_a_folder() {
    peapod(async |daemon| {
        // As one that could write there keeps the record of a run that lives, and what looks like a pod's folder.
        let base = daemon.path("volume");
        let (run, dir) = (base.join("runs/ab"), base.join("claimed"));
        for folder in [&run, &dir.join("logs")] {
            fs::create_dir_all(folder).unwrap();
        }
        let facts = run.join("run.json");
        let script = format!(
            "echo '{{\"pid\":'$$'}}' >{facts}; exec 9<{facts}; flock 9; exec sleep 1000",
            facts = facts.display()
        );
        let mut victim = Command::new("sh").args(["-c", &script]).kill_on_drop(true).spawn().unwrap();
        let is_held = async || {
            let tried = Command::new("flock").args(["-n".as_ref(), facts.as_os_str(), "true".as_ref()]).status().await;
            facts.exists() && !tried.unwrap().success()
        };
        wait_for("its record is held", is_held).await;
        let claims = |config: &mut peapod_api::v1::PodSandboxConfig| {
            config.metadata.as_mut().unwrap().uid = "claimed".to_owned();
            for (key, value) in [
                ("kubernetes.io/config.source", "api".to_owned()),
                ("peapod.run/dir", dir.display().to_string()),
                ("peapod.run/id", "ab".to_owned()),
                ("peapod.run/file", daemon.path("claimed.yaml").display().to_string()),
            ] {
                config.annotations.insert(key.to_owned(), value);
            }
        };
        daemon.pod("evil").config(claims).run().await;
        let file = manifest(daemon, "claimed", "word");
        assert_eq!(done(daemon, &["down", "--all"]).await, "");
        assert_eq!(done(daemon, &["down", &file]).await, "");
        assert_eq!(listed(daemon).await[0]["run"], Value::Null);
        // By its name it is stopped and removed as any other.
        assert_eq!(done(daemon, &["down", "evil"]).await, "default/evil\n");
        assert!(victim.try_wait().unwrap().is_none() && facts.exists() && dir.join("logs").exists());
        victim.kill().await.unwrap();
    });
}

#[test]
fn a_saved_manifest_replaces_its_pod_alone() {
    peapod(async |daemon| {
        let (a, b) = (manifest(daemon, "a", "one"), manifest(daemon, "b", "one"));
        let mut run = daemon.client_dialogue(&["run", "--watch", &a, &b]);
        wait_for("both run", async || listed(daemon).await.len() == 2).await;
        run.hear("| one").await;
        run.hear("| one").await;
        let (one, other) = (pod(daemon, "a").await.unwrap(), pod(daemon, "b").await.unwrap());
        // Gone for a moment, and with a mistake: what runs goes on.
        fs::remove_file(&b).unwrap();
        fs::write(&b, "kind: Pod\n").unwrap();
        save(Path::new(&b), &text("b", "two"));
        run.hear("b/main | two").await;
        assert_eq!(pod(daemon, "a").await.unwrap()["id"], one["id"]);
        assert_ne!(pod(daemon, "b").await.unwrap()["id"], other["id"]);
        kill(Pid::from_raw(pid(&one)), Signal::SIGTERM).unwrap();
        assert_eq!(run.end().await.0, 143);
        assert!(daemon.pods().await.is_empty());
        assert_nothing_kept(daemon);
    });
}

#[test]
fn of_two_runs_without_a_daemon_one_starts_it() {
    peapod(async |daemon| {
        daemon.end_gracefully().await;
        let files = ["a", "b"].map(|name| manifest(daemon, name, "word"));
        let (etc, log) = (daemon.path("etc"), daemon.path("log"));
        fs::create_dir_all(&etc).unwrap();
        fs::create_dir_all(&log).unwrap();
        fs::copy(daemon.path("config.toml"), etc.join("config.toml")).unwrap();
        // Where a daemon is by default; the folders of this one stand there, for these two alone.
        let script = format!(
            "mkdir -p /etc/peapod /run/peapod; rm -f /run/peapod.start; mount --bind {} /etc/peapod; mount --bind {} /run/peapod; mount --bind {} /var/log; \
             $PEAPOD run -d {} & $PEAPOD run -d {}; two=$?; wait $!; exit $((two + $?))",
            etc.display(),
            daemon.run_root().display(),
            log.display(),
            files[0],
            files[1],
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "bash", "-c", &script]).env("PEAPOD", &Programs::get().peapod);
        command.env("PEAPOD_RUN_DIR", daemon.path("run-dir")).env_remove("PEAPOD_ENDPOINT").kill_on_drop(true);
        let (code, _, err) = ended(command).await;
        assert_eq!(code, 0, "{err}");
        assert_eq!(err.matches("no daemon was there: started one").count(), 1, "{err}");
        assert!(fs::read_to_string(log.join("peapod.log")).unwrap().contains("INFO peapod_daemon"));
        assert_eq!(listed(daemon).await.len(), 2);
        done(daemon, &["down", "--all"]).await;
        let command_line = format!("{} serve --log-file /var/log/peapod.log", Programs::get().peapod.display());
        let started = peapod_tests::pids(&command_line);
        assert_eq!(started.len(), 1, "{started:?}");
        kill(Pid::from_raw(started[0]), Signal::SIGTERM).unwrap();
        wait_for("it ends", async || !Path::new(&format!("/proc/{}", started[0])).exists()).await;
        daemon.start_again().await;
    });
}
