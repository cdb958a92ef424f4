//! How an exec is prepared, started, killed and forgotten.

use peapod_streaming_protocol::CommandStreams;

use super::*;

fn exec() -> Arc<ExecProcess> {
    let execs = Execs::default();
    execs.prepare("e1", Vec::new(), ExecStreams::Session(CommandStreams::default())).unwrap();
    assert!(execs.prepare("e1", Vec::new(), ExecStreams::Session(CommandStreams::default())).is_err());
    execs.get("e1").unwrap()
}

#[test]
fn what_was_killed_before_its_start_never_starts() {
    let exec = exec();
    exec.state.send_if_modified(ExecState::doom);
    let error = exec.begin().unwrap_err().to_string();
    assert!(error.contains("killed"), "{error}");
    assert!(!exec.is_running());
}

#[test]
fn what_runs_is_not_forgotten_unless_it_was_killed() {
    let execs = Execs::default();
    execs.prepare("e1", Vec::new(), ExecStreams::Session(CommandStreams::default())).unwrap();
    let exec = execs.get("e1").unwrap();
    exec.begin().unwrap();
    assert!(exec.begin().unwrap_err().to_string().contains("started"));
    assert!(execs.delete("e1").is_err());
    exec.state.send_if_modified(ExecState::doom);
    execs.delete("e1").unwrap();
    assert!(execs.get("e1").is_err());
}

#[test]
fn one_that_could_not_be_started_has_ended() {
    let exec = exec();
    exec.begin().unwrap();
    exec.finish(ExitStatus { code: 255, signal: None, at: 1 });
    assert_eq!((exec.pid(), exec.ended().map(|ended| ended.code)), (0, Some(255)));
}

#[test]
fn is_bounded() {
    let execs = Execs::default();
    for number in 0..EXECS {
        execs.prepare(&format!("e{number}"), Vec::new(), ExecStreams::Session(CommandStreams::default())).unwrap();
    }
    assert!(matches!(
        execs.prepare("one more", Vec::new(), ExecStreams::Session(CommandStreams::default())),
        Err(Error::Invalid { .. })
    ));
    assert!(matches!(
        execs.prepare("more", Vec::new(), ExecStreams::Session(CommandStreams::default())),
        Err(Error::Full { .. })
    ));
}
