//! The streaming server alone, for the tests of this crate: `peapod` is it too, under the name `peapod-streaming`.

use std::process::ExitCode;

fn main() -> ExitCode {
    peapod_streaming::server::main()
}
