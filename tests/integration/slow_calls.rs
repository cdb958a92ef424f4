//! A call that takes too long says what it waits for: what its own operation does at the moment.

use peapod_tests::{Fault, FaultyRuntime, Options, SHELL, peapod_with};
use tonic::{Code, Status};

/// Longer than what does not hang takes.
const LIMIT: &str = "timeouts.operation=\"5s\"";

fn says(late: Result<(), Status>, words: &str) {
    let late = late.expect_err("it hangs");
    assert_eq!(late.code(), Code::Unavailable, "{late}");
    assert!(late.message().contains("still going on"), "{late}");
    assert!(late.message().contains(words), "does not say `{words}`: {late}");
}

#[test]
fn a_call_that_takes_too_long_names_what_its_operation_waits_for() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = FaultyRuntime::new(tmp.path());
    peapod_with(&Options::new().set(runtime.setting()).set(LIMIT), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("slow").handler("faulty").run().await;
        let runs = pod.container("runs").sh("sleep 1000").start().await;
        let hangs = pod.container("hangs").sh("sleep 1000").create().await;
        runtime.on("create", Fault::Hang);
        runtime.on("update", Fault::Hang);
        let (started, updated) = tokio::join!(hangs.start(), runs.update(|limits| limits.cpu_shares = 100));
        says(started, "waiting for the OCI runtime faulty to create it");
        says(updated, "waiting for the OCI runtime faulty to change its limits");
        for command in ["create", "update"] {
            runtime.heal(command);
        }
        hangs.start().await.expect("a retry waits for the same start");
    });
}
