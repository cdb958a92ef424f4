//! How a command has ended, as it stands on the error channel: a `Status` of Kubernetes' API.

use serde::Deserialize;

use super::channel::line;
use super::error::StreamError;

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiStatus {
    status: String,
    message: String,
    reason: String,
    details: StatusDetails,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusDetails {
    causes: Vec<StatusCause>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusCause {
    reason: String,
    message: String,
}

/// Whether all is said.
pub(super) fn is_whole(said: &[u8]) -> bool {
    // What can't be the end of one costs nothing.
    said.trim_ascii_end().ends_with(b"}") && serde_json::from_slice::<ApiStatus>(said).is_ok()
}

/// The exit code; an error if there is none.
pub(crate) fn exit_code(said: &[u8]) -> Result<u8, StreamError> {
    if said.is_empty() {
        return Err(StreamError::Broke(String::new()));
    }
    // Old versions speak plainly.
    let Ok(said) = serde_json::from_slice::<ApiStatus>(said) else { return Err(StreamError::Failed(line(said))) };
    if said.status == "Success" {
        return Ok(0);
    }
    let mut causes = said.details.causes.iter();
    let code = causes.find(|cause| cause.reason == "ExitCode").and_then(|cause| cause.message.parse::<i32>().ok());
    match code {
        // Failure with 0 would be success.
        Some(code) if said.reason == "NonZeroExitCode" && code != 0 => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        _ if said.message.is_empty() => Err(StreamError::Failed("the command failed, and nobody says why".to_owned())),
        _ => Err(StreamError::Failed(line(said.message.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_commands() {
        let code = |text: &str| exit_code(text.as_bytes()).map_err(|error| error.to_string());
        let failed = |code: &str| {
            format!(
                r#"{{"metadata":{{}},"status":"Failure","message":"command terminated with non-zero exit code",
                "reason":"NonZeroExitCode","details":{{"causes":[{{"reason":"ExitCode","message":"{code}"}}]}}}}"#
            )
        };
        assert_eq!(code(r#"{"metadata":{},"status":"Success"}"#), Ok(0));
        assert_eq!(code(&failed("7")), Ok(7));
        assert_eq!(code(&failed("137")), Ok(137));
        for odd in ["300", "-1"] {
            assert_eq!(code(&failed(odd)), Ok(255));
        }
        for odd in ["0", "x", ""] {
            assert!(code(&failed(odd)).unwrap_err().contains("non-zero"), "{odd}");
        }
        let no_such = r#"{"status":"Failure","message":"Internal error occurred: no\nsuch","reason":"InternalError"}"#;
        assert_eq!(code(no_such), Err(r"Internal error occurred: no\nsuch".to_owned()));
        assert_eq!(code("plain words\n"), Err("plain words".to_owned()));
        assert!(code("{}").unwrap_err().contains("nobody says why"));
        assert!(matches!(exit_code(b""), Err(error) if error.is_broken()));
    }
}
