//! Tests of the whole room: one fixture, one door for golden files, and the real runtimes.

mod capabilities;
mod confinement;
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
mod user;
