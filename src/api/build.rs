//! Generates the messages and services of `proto/cri.proto` and `proto/peapod.proto`, without protoc.

use std::path::Path;

/// `FieldDescriptorProto.Type.TYPE_BYTES`, of `google/protobuf/descriptor.proto`.
const BYTES: i32 = 12;

/// Answers that a server gives encoded: on the wire, and for clients, there is no difference.
const ENCODED: [&str; 2] = ["ListContainersResponse", "ListPodSandboxResponse"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../../proto");
    let mut files = protox::compile(["cri.proto", "peapod.proto"], ["../../proto"])?;
    // Metrics of a node are made as bytes at once (`src/lib.rs`). On the wire there is no difference.
    let messages = files.file.iter_mut().flat_map(|file| &mut file.message_type);
    for field in messages.flat_map(|message| &mut message.field) {
        if field.type_name() == ".runtime.v1.PodSandboxMetrics" {
            (field.r#type, field.type_name) = (Some(BYTES), None);
        }
    }
    tonic_prost_build::configure()
        .build_transport(false)
        .build_server(false)
        .bytes(".runtime.v1.KeyValue.value")
        .bytes(".runtime.v1.ListPodSandboxMetricsResponse")
        .bytes(".runtime.v1.StreamPodSandboxMetricsResponse")
        // Labels and annotations come out in one order, always.
        .btree_map(".")
        .skip_debug([".runtime.v1.AuthConfig", ".peapod.v1.CheckImageRequest"])
        .compile_fds(files.clone())?;
    // Servers of the same messages.
    let folder = Path::new(&std::env::var("OUT_DIR")?).join("servers");
    std::fs::create_dir_all(&folder)?;
    let servers = tonic_prost_build::configure()
        .build_transport(false)
        .build_client(false)
        .extern_path(".runtime.v1", "crate::v1")
        .extern_path(".peapod.v1", "crate::own")
        .out_dir(folder);
    let encoded = |name| (format!(".runtime.v1.{name}"), format!("crate::Encoded<crate::v1::{name}>"));
    ENCODED
        .map(encoded)
        .into_iter()
        .fold(servers, |servers, (name, path)| servers.extern_path(name, path))
        .compile_fds(files)?;
    Ok(())
}
