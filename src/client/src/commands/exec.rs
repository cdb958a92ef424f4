//! `peapod exec`.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use peapod_api::v1;
use peapod_text::one_line;

use crate::cli::ExecArgs;
use crate::connect::{CriClient, QUICK, call};
use crate::select;
use crate::streaming::{CommandSide, StreamError, converse};

/// The exit status that shells have for a program that is there and can't be run.
const NO_PROGRAM: u8 = 126;
/// The one for a program that is not there.
const NO_SUCH_COMMAND: u8 = 127;

/// Runs a command in a container, with this process' streams as its own, and answers its exit code.
pub(crate) async fn exec(connection: &CriClient, args: &ExecArgs) -> anyhow::Result<u8> {
    let container = select::target(connection, &args.pod, args.container.as_ref()).await?;
    let side = side(args, io::stdin().is_terminal());
    if side.tty != args.tty {
        super::note("peapod: standard input is no terminal: -t is left out\n")?;
    }
    let request = v1::ExecRequest {
        container_id: container.id,
        cmd: args.command.clone(),
        stdin: side.stdin,
        tty: side.tty,
        stdout: true,
        stderr: !side.tty,
    };
    let answer = call("Exec", QUICK, connection.runtime.clone().exec(request)).await?;
    match converse(&answer.url, side).await {
        Err(StreamError::Failed(text)) if let Some(status) = unstarted(&text, &args.command) => {
            let program = args.command.first().map(String::as_str).unwrap_or_default();
            // Some runtimes say what was done, and not with what.
            let named = if text.contains(program) { String::new() } else { format!("cannot run `{program}`: ") };
            // Without standard error the status says it.
            super::note(&format!("peapod: {}\n", one_line(&format!("{named}{text}"))))?;
            Ok(status)
        }
        other => Ok(other?),
    }
}

/// What the command gets. In a terminal the end of the input is no end of anything: a command that waits for that would
/// go on for ever if the input is no terminal.
fn side(args: &ExecArgs, input_is_terminal: bool) -> CommandSide {
    let tty = args.tty && (!args.stdin || input_is_terminal);
    let limit = (args.timeout > 0).then(|| Duration::from_secs(args.timeout.into()));
    CommandSide { stdin: args.stdin, tty, limit }
}

/// The exit status if an OCI runtime says that it could not run the program: that it is not there, or is none.
fn unstarted(text: &str, command: &[String]) -> Option<u8> {
    let said = text.to_lowercase();
    let has_one = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let is_named = command.first().is_some_and(|program| text.contains(program.as_str()));
    if is_named && has_one(&["not found", "no such file"]) {
        return Some(NO_SUCH_COMMAND);
    }
    let is_program = is_named || has_one(&["open executable"]);
    let is_none = is_program && has_one(&["permission denied", "is a directory"]);
    (is_none || has_one(&["exec format error"])).then_some(NO_PROGRAM)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn programs_that_can_not_be_run_are_told_from_other_failures() {
        let status = |text: &str| unstarted(text, &["/nosuch".to_owned()]);
        let missing = "crun exec: executable file `/nosuch` not found: No such file or directory";
        assert_eq!(status(missing), Some(127));
        for none in [
            "Internal error occurred: crun exec: open executable: Permission denied",
            "exec failed: unable to start container process: exec: \"/nosuch\": permission denied",
            "exec: \"/nosuch\": is a directory",
            "crun exec: exec /nosuch: Exec format error",
        ] {
            assert_eq!(status(none), Some(126), "{none}");
        }
        for other in ["the container is not found", "crun exec: open the cgroup: Permission denied"] {
            assert_eq!(status(other), None, "{other}");
        }
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ExecArgs,
    }

    #[test]
    fn what_is_no_terminal_is_none_for_the_command() {
        let of = |words: &[&str], input_is_terminal: bool| {
            let line = Line::parse_from([&["exec"][..], words, &["pod", "--", "cat"]].concat());
            let side = side(&line.args, input_is_terminal);
            (side.stdin, side.tty, side.limit)
        };
        assert_eq!(of(&["-it"], false), (true, false, None));
        assert_eq!(of(&["-it"], true), (true, true, None));
        // Nothing is read: the command's terminal is for what it writes.
        assert_eq!(of(&["-t"], false), (false, true, None));
        assert_eq!(of(&["-i", "--timeout", "3"], false), (true, false, Some(Duration::from_secs(3))));
    }
}
