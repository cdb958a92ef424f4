//! What clients of a command ask for.

use peapod_streaming_protocol::CommandStreams;

use super::field::{Checked, FieldError};

/// A program with its arguments.
pub(crate) fn command(cmd: Vec<String>) -> Checked<Vec<String>> {
    if cmd.is_empty() {
        return Err(FieldError::new("cmd", "is empty"));
    }
    if cmd.iter().any(|word| word.contains('\0')) {
        return Err(FieldError::new("cmd", "contains a NUL character"));
    }
    Ok(cmd)
}

/// The streams that a client is to have.
pub(crate) fn streams(tty: bool, stdin: bool, stdout: bool, stderr: bool) -> Checked<CommandStreams> {
    if tty && stderr {
        return Err(FieldError::new("stderr", "can't be had with tty: a terminal has one output"));
    }
    if !stdin && !stdout && !stderr {
        return Err(FieldError::new("stdout", "one of stdin, stdout and stderr has to be asked for"));
    }
    Ok(CommandStreams { tty, stdin, stdout, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_no_stderr_and_something_is_asked_for() {
        assert!(streams(true, true, true, true).unwrap_err().to_string().starts_with("stderr: "));
        assert!(streams(true, false, false, false).unwrap_err().to_string().starts_with("stdout: "));
        let all = CommandStreams { tty: false, stdin: true, stdout: true, stderr: true };
        assert_eq!(streams(false, true, true, true), Ok(all));
    }

    #[test]
    fn a_command_has_a_program() {
        assert!(command(Vec::new()).is_err());
        assert!(command(vec!["a\0b".to_owned()]).is_err());
        assert_eq!(command(vec!["ls".to_owned(), String::new()]).map(|cmd| cmd.len()), Ok(2));
    }
}
