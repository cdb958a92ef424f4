//! Generates the messages of `proto/nri.proto`, without protoc.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../../proto/nri.proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    ttrpc_codegen::Codegen::new()
        .out_dir(&out)
        .inputs(["../../proto/nri.proto"])
        .include("../../proto")
        .rust_protobuf()
        .rust_protobuf_customize(ttrpc_codegen::ProtobufCustomize::default().gen_mod_rs(false))
        .customize(ttrpc_codegen::Customize { async_all: true, gen_mod: false, ..Default::default() })
        .run()?;
    // The generated file begins with inner attributes, which `include!` refuses.
    let path = out.join("nri.rs");
    let text = std::fs::read_to_string(&path)?;
    let lines = text.lines().filter(|line| !line.starts_with("#![") && !line.starts_with("//!"));
    std::fs::write(&path, lines.flat_map(|line| [line, "\n"]).collect::<String>())?;
    Ok(())
}
