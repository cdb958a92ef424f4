//! The harness of the integration tests: one private daemon per test, fluent pods and containers, and a check that
//! nothing is left behind.
//!
//! ```no_run
//! use peapod_tests::peapod;
//!
//! peapod(async |daemon| {
//!     let pod = daemon.pod("web").run().await;
//!     let shell = pod.container("main").sh("echo hello").start().await;
//!     assert_eq!(shell.wait_exit().await.exit_code, 0);
//!     assert_eq!(shell.stdout(), "hello\n");
//! });
//! ```
//!
//! It speaks CRI to the built binaries, as a kubelet would, and knows nothing of their insides. Where they are it
//! learns from the environment (`scripts/env.sh`); it never builds. It runs in a node (`tests/node.sh`), beside a
//! registry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a harness reports to a person, and a failed step ends the test"
)]

pub mod cgroups;
mod cleanup;
mod client;
mod container;
mod crictl;
mod daemon;
mod dialogue;
pub mod documents;
mod faulty;
mod images;
mod insist;
mod leaks;
mod log;
mod metrics;
mod node;
mod options;
mod peapod;
mod pod;
mod ports;
mod programs;
mod run;
mod said;
mod samples;
mod test_env;
mod wait;

pub use client::Client;
pub use container::{Container, ContainerBuilder, Output};
pub use daemon::Daemon;
pub use dialogue::Dialogue;
pub use faulty::{Fault, FaultyRuntime};
pub use images::{METADATA, SHELL, WEB, archived, derived, fixture};
pub use insist::insist;
pub use log::Line;
pub use metrics::pod_metrics;
pub use node::{kill, pids, processes};
pub use options::Options;
pub use peapod_api::v1;
pub use pod::{Pod, PodBuilder};
pub use ports::free_port;
pub use programs::Programs;
pub use run::{on_each_runtime, on_each_runtime_with, peapod, peapod_with};
pub use said::{Said, client, done, end, ended, said};
pub use samples::Samples;
pub use wait::{at_most, default_timeout, wait_for, wait_some};
