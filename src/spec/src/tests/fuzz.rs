//! What images and files of the node bring to a configuration, damaged in every way.

use std::path::Path;

use super::fixture::{GROUP, PASSWD};
use crate::container::{GroupsPolicy, UserChoice};
use crate::seccomp::localhost;
use crate::{UserRequest, resolve_user};

#[test]
fn user_database() {
    let whole = format!("alice:wheel\0{PASSWD}\0{GROUP}");
    peapod_fuzz::target!("user")
        .seeds([whole.as_str(), "1000\0root:x:0:0\0root:x:0:", ":x\0\0x:x:5:a,b,,"])
        .tokens([":", ",", "\n", "\0", "4294967295", "4294967296", "-1", "root", "\u{e4}"])
        .check(|input| {
            let text = String::from_utf8_lossy(input);
            let mut parts = text.splitn(3, '\0');
            let (image_user, passwd, group_file) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
            for policy in [GroupsPolicy::Merge, GroupsPolicy::Strict] {
                let request = UserRequest {
                    choice: &UserChoice::Image,
                    group: None,
                    image_user,
                    passwd,
                    group_file,
                    supplemental: &[7],
                    policy,
                };
                if let Ok(user) = resolve_user(&request) {
                    let mut sorted = user.ids.groups.clone();
                    sorted.sort_unstable();
                    sorted.dedup();
                    assert_eq!(sorted, user.ids.groups);
                    assert!(
                        user.ids.uid != u32::MAX && user.ids.gid != u32::MAX && user.ids.groups.contains(&user.ids.gid)
                    );
                }
            }
        });
}

#[test]
fn seccomp_profile() {
    let profile = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"architectures":["SCMP_ARCH_X86_64"],"syscalls":[
        {"names":["read","write"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"valueTwo":2,"op":"SCMP_CMP_EQ"}]}]}"#;
    peapod_fuzz::target!("seccomp")
        .seeds([profile])
        .tokens([
            "null",
            "[[[[",
            "{\"a\":",
            "\"syscalls\":[",
            "\"SCMP_ACT_NOTIFY\"",
            "-1",
            "1e400",
            "\"errnoRet\":70000",
            ",",
        ])
        .check(|input| {
            let _ = localhost::parse(Path::new("/nowhere"), input);
        });
}
