//! The real daemon, shim, OCI runtimes, registry and network, driven over CRI as a kubelet would. `make test-integration`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step ends the test")]

mod accounts;
mod any_moment;
mod apparmor;
mod attributes;
mod bad_input;
mod budget;
mod cgroups;
mod client;
mod cni;
mod configuration;
mod containers;
mod disk_full;
mod edge;
mod exec;
mod exits;
mod faults;
mod formats;
mod image_volumes;
mod images;
mod info;
mod lifecycle;
mod lists;
mod load;
mod logs;
mod network;
mod odd_requests;
mod overriding;
mod panics;
mod poisoned;
mod private;
mod reboot;
mod registries;
mod resources;
mod restart;
mod retries;
mod sealed;
mod security;
mod sharing;
mod shims;
mod status;
mod trees;
mod turns;
mod upgrade;
mod wiped;
