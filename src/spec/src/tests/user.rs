//! Who a container runs as.

use super::fixture::{GROUP, PASSWD};
use crate::container::{GroupsPolicy, UserChoice};
use crate::{UserError, UserIds, UserRequest, resolve_user};

/// The one door: a request on top of "nothing said, the fixture's image files".
fn check<'a>(change: impl FnOnce(&mut UserRequest<'a>), wanted: Result<(u32, u32, &[u32]), UserError>) {
    let mut request = UserRequest {
        choice: &UserChoice::Image,
        group: None,
        image_user: "",
        passwd: Some(PASSWD),
        group_file: Some(GROUP),
        supplemental: &[],
        policy: GroupsPolicy::Merge,
    };
    change(&mut request);
    let found = resolve_user(&request).map(|user| <(u32, u32, Vec<u32>)>::from(user.ids));
    assert_eq!(found, wanted.map(|(uid, gid, groups)| (uid, gid, groups.to_vec())), "{request:?}");
}

fn name(name: &str) -> UserChoice {
    UserChoice::Name(name.to_owned())
}

#[test]
fn nothing_said_is_root_with_its_groups() {
    check(|_| {}, Ok((0, 0, &[0, 10])));
    check(|request| request.policy = GroupsPolicy::Strict, Ok((0, 0, &[0])));
    check(
        |request| {
            request.passwd = None;
            request.group_file = None;
        },
        Ok((0, 0, &[0])),
    );
}

#[test]
fn the_images_user_in_all_its_forms() {
    for (user, wanted) in [
        ("alice", Ok((1000, 1000, &[10, 1000, 50000][..]))),
        ("1000", Ok((1000, 1000, &[10, 1000, 50000][..]))),
        ("alice:late", Ok((1000, 50000, &[10, 50000][..]))),
        ("alice:", Ok((1000, 1000, &[10, 1000, 50000][..]))),
        ("1000:77", Ok((1000, 77, &[10, 77, 50000][..]))),
        ("7:8", Ok((7, 8, &[8][..]))),
        (":8", Ok((0, 8, &[8, 10][..]))),
        ("65535", Ok((65535, 0, &[0][..]))),
        ("carol", Err(UserError::UnknownUser("carol".to_owned()))),
        ("alice:staff", Err(UserError::UnknownGroup("staff".to_owned()))),
        ("-1", Err(UserError::UnknownUser("-1".to_owned()))),
        ("4294967295", Err(UserError::OutOfRange(u32::MAX))),
    ] {
        check(|request| request.image_user = user, wanted);
    }
}

#[test]
fn the_requests_user_wins() {
    check(
        |request| {
            request.choice = &UserChoice::Uid(1001);
            request.image_user = "alice:late";
        },
        Ok((1001, 0, &[0])),
    );
    let nobody = name("nobody");
    check(|request| request.choice = &nobody, Ok((65534, 65534, &[65534])));
    let number = name("1000");
    check(|request| request.choice = &number, Ok((1000, 1000, &[10, 1000, 50000])));
    let carol = name("carol");
    check(|request| request.choice = &carol, Err(UserError::UnknownUser("carol".to_owned())));
}

#[test]
fn groups_by_policy() {
    let uid = UserChoice::Uid(1000);
    for (policy, groups) in
        [(GroupsPolicy::Merge, &[10, 1000, 1234, 50000][..]), (GroupsPolicy::Strict, &[1000, 1234][..])]
    {
        check(
            |request| {
                request.choice = &uid;
                request.supplemental = &[1234, 1234];
                request.policy = policy;
            },
            Ok((1000, 1000, groups)),
        );
    }
    check(
        |request| {
            request.choice = &uid;
            request.group = Some(3000);
        },
        Ok((1000, 3000, &[10, 3000, 50000])),
    );
}

#[test]
fn a_group_needs_a_user() {
    check(
        |request| {
            request.group = Some(3000);
            request.image_user = "alice";
        },
        Err(UserError::GroupWithoutUser(3000)),
    );
}

#[test]
fn broken_lines_are_skipped() {
    let passwd = "alice:x:no:1\n#alice:x:3:3:\n\nalice\n+nis\nalice:x:5:6\n";
    check(
        |request| {
            request.passwd = Some(passwd);
            request.group_file = Some("a:x:nine:alice\nb:x:9:bob, alice\nc:x:10");
            request.image_user = "alice";
        },
        Ok((5, 6, &[6, 9])),
    );
}

#[test]
fn a_home_is_a_path() {
    for (passwd, home) in [
        ("a:x:5:5:,,,:/home/a:/bin/sh", "/home/a"),
        ("a:x:5:5:,,,:/home/a", "/home/a"),
        ("a:x:5:5::home:/bin/sh", "/"),
        ("a:x:5:5::/a\0b:", "/"),
        ("a:x:5:5", "/"),
        ("", "/"),
    ] {
        let request = UserRequest {
            choice: &UserChoice::Uid(5),
            group: None,
            image_user: "",
            passwd: Some(passwd),
            group_file: None,
            supplemental: &[],
            policy: GroupsPolicy::Merge,
        };
        assert_eq!(resolve_user(&request).unwrap().home, home, "{passwd:?}");
    }
}

#[test]
fn numbers_are_recorded_as_ever() {
    let ids = UserIds { uid: 1000, gid: 50, groups: vec![50, 1000] };
    let text = serde_json::to_string(&ids).unwrap();
    assert_eq!(text, "[1000,50,[50,1000]]");
    assert_eq!(serde_json::from_str::<UserIds>(&text).unwrap(), ids);
}
