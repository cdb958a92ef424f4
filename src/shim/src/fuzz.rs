//! What OCI runtimes, containers and masters hand to a shim, damaged in every way.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::args::Args;
use crate::runtime::message;
use crate::stdio::lines::{LONGEST, Lines};

#[test]
fn runtime_message() {
    peapod_fuzz::target!("runtime-message")
        .seeds([
            "{\"msg\":\"open `x`: \\u003cno\\u003e\",\"level\":\"error\"}\nplain\n",
            "{\"level\":\"warning\",\"msg\":\"hm\"}",
        ])
        .tokens(["\"msg\":\"", "\"level\":\"error\"", "\\u", "\\ud83d", "\\", "\"", "{", "\n", "\u{e4}"])
        .check(|input| {
            if let Some(message) = message::of_log(&String::from_utf8_lossy(input)) {
                assert!(message.len() <= 4096);
            }
        });
}

#[test]
fn command_line() {
    peapod_fuzz::target!("arguments")
        .seeds(["-namespace\0k8s.io\0-id\0a\0-bundle\0/b\0-cgroup\0/c\0delete", "--id=a\0-bundle=/b\0start"])
        .tokens(["\0", "-", "=", "-cgroup", "delete"])
        .check(|input| {
            let arguments = input.split(|byte| *byte == 0).map(|argument| OsString::from_vec(argument.to_vec()));
            let _ = Args::parse(arguments);
        });
}

#[test]
fn output_lines() {
    const TIME: &str = "2024-01-01T00:00:00.000000000Z";
    let long = [b"x".repeat(LONGEST), b"\ny".to_vec()].concat();
    // An empty line becomes 46 bytes of log, and the log is held three times here.
    let budget = peapod_fuzz::FuzzBudget { factor: 512, ..peapod_fuzz::FuzzBudget::default() };
    peapod_fuzz::target!("output")
        .budget(budget)
        .seeds([b"one\ntwo".to_vec(), long])
        .tokens(["\n", "\n\n\n", "\0"])
        .check(|input| {
            // Cut into pieces or not, the log holds what was written, byte for byte.
            for piece in [1.max(input.len() / 3), 1.max(input.len())] {
                let (mut lines, mut log, mut count) = (Lines::new("stdout"), Vec::new(), 0);
                for bytes in input.chunks(piece) {
                    count += lines.push(bytes, TIME, &mut log);
                }
                count += lines.finish(TIME, &mut log);
                let mut written = Vec::new();
                for line in log.split_inclusive(|byte| *byte == b'\n') {
                    let rest =
                        line.strip_prefix(format!("{TIME} stdout ").as_bytes()).unwrap_or_else(|| panic!("{line:?}"));
                    let (whole, text) = (rest[0] == b'F', &rest[2..]);
                    written.extend_from_slice(if whole { text } else { &text[..text.len() - 1] });
                    count -= 1;
                }
                assert_eq!(count, 0);
                assert!(written == input, "the log differs from what was written");
            }
        });
}
