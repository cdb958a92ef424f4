//! What a shim leaves behind or says, damaged in every way.

use protobuf::Message;

use crate::exit::Exit;
use crate::extension::{Event, HelloResponse, SandboxOptions, TaskOptions};

#[test]
fn exit_record() {
    let exit = Exit { code: 137, signal: Some(9), oom: true, started_at: 17, finished_at: 18 };
    peapod_fuzz::target!("exit")
        .seeds([exit.to_text()])
        .tokens(["code ", "signal ", "oom ", "started_at ", "finished_at ", "\n", " ", "-", "99999999999999999999"])
        .check(|input| {
            let Ok(exit) = Exit::parse(&String::from_utf8_lossy(input)) else { return };
            assert_eq!(Exit::parse(&exit.to_text()), Ok(exit));
        });
}

#[test]
fn message() {
    let event = Event { container_id: "c".to_owned(), ..Event::default() };
    let seeds =
        [event.write_to_bytes().unwrap(), vec![0x0a, 0x01, b'x', 0x10, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x1a, 0x00]];
    // The protobuf crate makes room for ten million numbers when so many are announced, and touches it only when they
    // come.
    let budget = peapod_fuzz::FuzzBudget { bytes: 81 << 20, ..peapod_fuzz::FuzzBudget::default() };
    peapod_fuzz::target!("message")
        .budget(budget)
        .seeds(seeds)
        .tokens([&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f][..], &[0x0b], &[0x80; 12]])
        .check(|input| {
            let _ = Event::parse_from_bytes(input);
            let _ = HelloResponse::parse_from_bytes(input);
            let _ = SandboxOptions::parse_from_bytes(input);
            let _ = TaskOptions::parse_from_bytes(input);
        });
}
