//! The streaming server as a process, with tests in the roles of daemon, shims and clients.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by it")]
#![allow(clippy::print_stdout, reason = "what was measured")]

mod commands;
mod confined;
mod forwards;
mod hostile;
mod lives;
mod requests;
mod socket;
mod spdy;
mod speed;
mod stage;
mod wire;
