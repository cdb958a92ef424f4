//! A further process.

use serde_json::Value;

use super::fixture::{Case, words};
use crate::{ExecTemplate, SpecError};

fn template(case: &Case) -> ExecTemplate {
    case.config().unwrap().config.exec_template().unwrap()
}

#[test]
fn an_exec_is_the_containers_process_with_other_arguments() {
    let mut case = Case::new();
    case.container.security.no_new_privs = true;
    let mut wanted = case.json()["process"].clone();
    wanted["args"] = serde_json::json!(["ls", "/"]);
    let exec: Value = serde_json::from_slice(&template(&case).process(&words("ls /"), false).unwrap()).unwrap();
    assert_eq!(exec, wanted);
}

#[test]
fn a_terminal_has_a_type() {
    let mut case = Case::new();
    let env = |case: &Case| {
        let json = template(case).process(&words("sh"), true).unwrap();
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
    assert_eq!(template(&Case::new()).process(&[], false), Err(SpecError::NoCommand));
}

#[test]
fn a_configuration_read_back_gives_the_same_exec() {
    let case = Case::new();
    let json = case.config().unwrap().config.json().unwrap();
    assert_eq!(ExecTemplate::parse(&json).unwrap(), template(&case));
    assert_eq!(ExecTemplate::parse(b"{\"linux\": 5}"), Err(SpecError::NoProcess));
    assert!(matches!(ExecTemplate::parse(b"{"), Err(SpecError::Json(_))));
}
