//! The door of every integration test.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::{Daemon, Options};

/// Runs a test with a daemon of its own, then removes what pods it left and holds that nothing else stayed.
pub fn peapod(test: impl AsyncFnOnce(&Daemon)) {
    peapod_with(&Options::new(), test);
}

/// The same with a daemon of another configuration.
///
/// # Panics
/// When the test does, after everything is cleaned up and the end of the daemon's log is shown.
pub fn peapod_with(options: &Options, test: impl AsyncFnOnce(&Daemon)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut daemon = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            // Kept outside, so that a panic leaves something to clean up and to show.
            let daemon = daemon.insert(Daemon::start(options).await);
            test(daemon).await;
            daemon.finish().await;
        });
    }));
    if let Err(panic) = outcome {
        if let Some(daemon) = &daemon {
            eprintln!("--- the end of the daemon's log:\n{}\n---", daemon.log_tail(40));
        }
        resume_unwind(panic);
    }
}

/// Runs a test once with each OCI runtime as the default handler: crun and runc, or those that PEAPOD_TEST_RUNTIMES
/// names.
///
/// # Panics
/// When the test does.
pub fn on_each_runtime(test: impl AsyncFnMut(&Daemon)) {
    on_each_runtime_with(&Options::new(), test);
}

/// The same with daemons of another configuration.
///
/// # Panics
/// When the test does.
pub fn on_each_runtime_with(options: &Options, mut test: impl AsyncFnMut(&Daemon)) {
    let chosen = std::env::var("PEAPOD_TEST_RUNTIMES").unwrap_or_else(|_| "crun runc".to_owned());
    let handlers: Vec<&str> =
        ["crun", "runc"].into_iter().filter(|name| chosen.split(' ').any(|c| c == *name)).collect();
    assert!(!handlers.is_empty(), "PEAPOD_TEST_RUNTIMES={chosen}: crun, runc, or both");
    for handler in handlers {
        eprintln!("with {handler}:");
        peapod_with(&options.clone().handler(handler), async |daemon| test(daemon).await);
    }
}
