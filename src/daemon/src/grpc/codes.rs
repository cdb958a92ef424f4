//! Codes of gRPC by name, as metrics and spans tell them.

use tonic::Code;

/// By their numbers.
pub(super) const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// gRPC's own name of a code.
pub(crate) fn code_name(code: Code) -> &'static str {
    let number = usize::try_from(i32::from(code)).ok();
    number.and_then(|number| CODES.get(number)).copied().unwrap_or("Unknown")
}

/// The number of a code, by its name.
pub(crate) fn code_number(name: &str) -> Option<i64> {
    CODES.iter().position(|code| *code == name).and_then(|number| i64::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_names_and_numbers() {
        for (code, name, number) in [
            (Code::Ok, "OK", 0),
            (Code::Cancelled, "Canceled", 1),
            (Code::Aborted, "Aborted", 10),
            (Code::Unauthenticated, "Unauthenticated", 16),
        ] {
            assert_eq!((code_name(code), code_number(name)), (name, Some(number)));
        }
        assert_eq!(code_number("NoSuch"), None);
    }
}
