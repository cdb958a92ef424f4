//! Generates the CRI messages and services from `proto/cri.proto`, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../../proto/cri.proto");
    let files = protox::compile(["cri.proto"], ["../../proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".runtime.v1.KeyValue.value")
        // Labels and annotations come out in one order, always.
        .btree_map(".")
        .skip_debug([".runtime.v1.AuthConfig"])
        .compile_fds(files)?;
    Ok(())
}
