//! Tests of the whole crate: one fixture, one way to golden files, and the real runtimes.

mod adjust;
mod capabilities;
mod confinement;
mod edits;
mod errors;
mod exec;
pub(crate) mod fixture;
mod fuzz;
mod golden;
mod kept;
mod localhost;
mod resources;
mod runtimes;
mod seccomp;
mod selinux;
mod user;
