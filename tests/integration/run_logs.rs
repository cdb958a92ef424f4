//! Logs of containers that write much, under `peapod run`.

use std::fs;
use std::process::Stdio;

use peapod_tests::{Daemon, SHELL, done, fixture, peapod, wait_for};

/// More than a file of a log has, with what stands before each line.
const LINES: usize = 250_000;

/// The files of the one container's log.
fn files(daemon: &Daemon) -> usize {
    let pods = fs::read_dir(daemon.path("run-dir")).into_iter().flatten().flatten();
    pods.filter_map(|pod| fs::read_dir(pod.path().join("logs/main")).ok()).map(Iterator::count).sum()
}

fn assert_whole(what: &str, text: &str, first: usize) {
    let last = 2 * LINES;
    assert_eq!(text.lines().count(), last - first + 2, "{what}");
    let wrong = text.lines().zip(first..=last).find(|(line, number)| *line != number.to_string());
    assert!(wrong.is_none() && text.ends_with("\nend\n"), "{what}: {wrong:?}");
}

#[test]
fn a_log_that_grows_is_rotated_and_read_as_one() {
    peapod(async |daemon| {
        let script = format!(
            "seq 1 {LINES}; until [ -e /go ]; do sleep 0.1; done; seq {} {}; echo end; exec sleep 1000",
            LINES + 1,
            2 * LINES
        );
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: much}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
             containers:\n  - {{name: main, image: '{}', command: [sh, -c, '{script}']}}\n",
            fixture(SHELL)
        );
        let manifest = daemon.path("much.yaml");
        fs::write(&manifest, text).unwrap();
        let manifest = manifest.to_string_lossy().into_owned();
        done(daemon, &["run", "-d", &manifest]).await;
        let mut follow = daemon.client(&["logs", "-f", "much", "--no-prefix"]);
        let follow = tokio::spawn(follow.stdout(Stdio::piped()).spawn().unwrap().wait_with_output());
        wait_for("the first rotation", async || files(daemon) == 2).await;
        done(daemon, &["exec", "much", "--", "touch", "/go"]).await;
        wait_for("the second one", async || files(daemon) == 3).await;
        let logs = async |more: &[&str]| done(daemon, &[&["logs", "much", "--no-prefix"], more].concat()).await;
        wait_for("the end", async || logs(&["--tail", "1"]).await == "end\n").await;
        assert_whole("logs", &logs(&[]).await, 1);
        assert_whole("logs --tail", &logs(&["--tail", &(LINES + 11).to_string()]).await, LINES - 9);
        done(daemon, &["down", &manifest]).await;
        let followed = follow.await.unwrap().unwrap();
        assert_whole("logs -f", &String::from_utf8(followed.stdout).unwrap(), 1);
    });
}
