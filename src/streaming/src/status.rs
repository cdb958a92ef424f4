//! How a command's end is told on the error stream: a `Status` of Kubernetes' API as JSON, from protocol version 4 on.

use serde::Serialize;

/// A command's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandEnd {
    /// It, or what was attached to, ended well.
    Success,
    /// A command ended with this code, which is not 0.
    ExitCode(u8),
    /// There is no code to tell: why not.
    Failed(String),
}

impl CommandEnd {
    /// As it is sent by protocol versions 4 and 5.
    #[must_use]
    pub fn to_json(&self) -> String {
        let status = match self {
            Self::Success => Status { status: "Success", ..Status::default() },
            Self::ExitCode(code) => Status {
                status: "Failure",
                message: Some(format!("command terminated with non-zero exit code: exit status {code}")),
                reason: Some("NonZeroExitCode"),
                details: Some(Details { causes: [Cause { reason: "ExitCode", message: code.to_string() }] }),
                ..Status::default()
            },
            Self::Failed(why) => Status {
                status: "Failure",
                message: Some(format!("Internal error occurred: {why}")),
                reason: Some("InternalError"),
                code: Some(500),
                ..Status::default()
            },
        };
        // Texts and numbers have no way to fail.
        serde_json::to_string(&status).unwrap_or_default()
    }

    /// As it is sent by earlier versions, where silence means success.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::Success => None,
            Self::ExitCode(code) => Some(format!("command terminated with exit code {code}")),
            Self::Failed(why) => Some(why.clone()),
        }
    }
}

#[derive(Default, Serialize)]
struct Status {
    metadata: Metadata,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

#[derive(Default, Serialize)]
struct Metadata {}

#[derive(Serialize)]
struct Details {
    causes: [Cause; 1],
}

/// A cause's type is called `reason` in JSON (StatusCause of meta/v1).
#[derive(Serialize)]
struct Cause {
    reason: &'static str,
    message: String,
}

#[cfg(test)]
mod tests {
    use super::CommandEnd;

    #[test]
    fn ends_as_clients_read_them() {
        assert_eq!(CommandEnd::Success.to_json(), r#"{"metadata":{},"status":"Success"}"#);
        let code: serde_json::Value = serde_json::from_str(&CommandEnd::ExitCode(7).to_json()).unwrap();
        assert_eq!(code["reason"], "NonZeroExitCode");
        assert_eq!(code["details"]["causes"][0]["reason"], "ExitCode");
        assert_eq!(code["details"]["causes"][0]["message"], "7");
        let failed: serde_json::Value =
            serde_json::from_str(&CommandEnd::Failed("no \"sh\"".into()).to_json()).unwrap();
        assert_eq!((failed["code"].as_u64(), failed["reason"].as_str()), (Some(500), Some("InternalError")));
        assert_eq!(failed["message"], "Internal error occurred: no \"sh\"");
        assert_eq!(CommandEnd::Success.to_text(), None);
        assert_eq!(CommandEnd::ExitCode(1).to_text().as_deref(), Some("command terminated with exit code 1"));
    }
}
