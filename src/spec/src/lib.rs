//! What a pod and a container were asked to be, and the OCI runtime configuration that follows from it.
//!
//! Pure: no file, clock, process or environment is touched here. What has to be known about the image or the node is
//! handed in.

pub mod container;
pub mod pod;
