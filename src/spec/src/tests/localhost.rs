//! Filters from files of the node.

use super::fixture::Case;
use crate::SpecError;
use crate::container::SeccompProfile;

/// What the filter with this text becomes, or what is wrong with it.
fn check(text: &'static str) -> Result<serde_json::Value, String> {
    let mut case = Case::new();
    case.container.security.seccomp = Some(SeccompProfile::Localhost("/p.json".into()));
    case.localhost_seccomp = Some(text.as_bytes());
    match case.config() {
        Ok(_) => Ok(case.json()["linux"]["seccomp"].clone()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_profile_is_passed_on() {
    let text = r#"{"defaultAction":"SCMP_ACT_LOG","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"],
        "flags":["SECCOMP_FILTER_FLAG_LOG"],"archMap":[],"syscalls":[{"names":["chmod"],"action":"SCMP_ACT_ERRNO",
        "errnoRet":5,"args":[{"index":1,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
    let filter = check(text).unwrap();
    assert_eq!(filter["defaultAction"], "SCMP_ACT_LOG");
    assert_eq!(filter["flags"][0], "SECCOMP_FILTER_FLAG_LOG");
    assert_eq!(filter["syscalls"][0]["args"][0]["valueTwo"], 2);
    assert_eq!(filter["archMap"], serde_json::Value::Null);
    assert_eq!(check(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#).unwrap()["syscalls"], serde_json::json!([]));
}

#[test]
fn mistakes_are_named() {
    for (text, wanted) in [
        ("{", "not JSON"),
        ("[]", "is not an object"),
        ("{}", "defaultAction: is missing"),
        (r#"{"defaultAction":"ALLOW"}"#, "defaultAction: unknown variant `ALLOW`"),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["vax"]}"#, "architectures: unknown variant `vax`"),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":7}"#, "flags: invalid type"),
        (
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_KILL"},{"action":"SCMP_ACT_KILL"}]}"#,
            "syscalls[1]: missing field `names`",
        ),
    ] {
        let error = check(text).unwrap_err();
        assert!(error.starts_with("seccomp profile \"/p.json\": ") && error.contains(wanted), "{text}: {error}");
    }
}

#[test]
fn a_profile_that_nobody_read_is_an_error() {
    let mut case = Case::new();
    case.container.security.seccomp = Some(SeccompProfile::Localhost("/p.json".into()));
    assert_eq!(case.config().unwrap_err(), SpecError::SeccompMissing("/p.json".into()));
    case.container.security.privileged = true;
    assert!(case.config().unwrap().config.seccomp().is_none());
}
