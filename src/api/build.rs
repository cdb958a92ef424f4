//! Generates the messages and services of `proto/cri.proto` and `proto/peapod.proto`, without protoc.

/// `FieldDescriptorProto.Type.TYPE_BYTES`, of `google/protobuf/descriptor.proto`.
const BYTES: i32 = 12;

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
        .bytes(".runtime.v1.KeyValue.value")
        .bytes(".runtime.v1.ListPodSandboxMetricsResponse")
        .bytes(".runtime.v1.StreamPodSandboxMetricsResponse")
        // Labels and annotations come out in one order, always.
        .btree_map(".")
        .skip_debug([".runtime.v1.AuthConfig", ".peapod.v1.CheckImageRequest"])
        .compile_fds(files)?;
    Ok(())
}
