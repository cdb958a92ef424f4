//! A further process.

use serde_json::Value;

use super::fixture::{Case, words};
use crate::{SpecError, exec_process};

#[test]
fn an_exec_is_the_containers_process_with_other_arguments() {
    let mut case = Case::new();
    case.container.security.no_new_privs = true;
    let config = case.config().unwrap();
    let container: Value = serde_json::from_slice(&config.json).unwrap();
    let mut wanted = container["process"].clone();
    wanted["args"] = serde_json::json!(["ls", "/"]);
    let exec: Value = serde_json::from_slice(&exec_process(&config.spec, &words("ls /"), false).unwrap()).unwrap();
    assert_eq!(exec, wanted);
}

#[test]
fn a_terminal_has_a_type() {
    let mut case = Case::new();
    let env = |case: &Case| {
        let json = exec_process(&case.config().unwrap().spec, &words("sh"), true).unwrap();
        let process: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(process["terminal"], true);
        process["env"].to_string()
    };
    assert!(env(&case).contains("\"TERM=xterm\""));
    case.env("TERM", b"linux");
    assert!(!env(&case).contains("xterm"));
}

#[test]
fn nothing_to_run_is_an_error() {
    let config = Case::new().config().unwrap();
    assert_eq!(exec_process(&config.spec, &[], false), Err(SpecError::NoCommand));
}

#[test]
fn a_configuration_read_back_gives_the_same_exec() {
    let config = Case::new().config().unwrap();
    let read = serde_json::from_slice(&config.json).unwrap();
    let args = words("true");
    assert_eq!(exec_process(&read, &args, false), exec_process(&config.spec, &args, false));
}
