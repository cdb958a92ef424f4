//! Who a container runs as: the request, the image's wish and the image's own passwd and group files put together.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounds::GROUPS;
use crate::container::{GroupsPolicy, UserChoice};
use peapod_text::excerpt;

/// Who a process runs as, in numbers. As JSON a list of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32, Vec<u32>)", into = "(u32, u32, Vec<u32>)")]
pub struct UserIds {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Further groups. Of a container all groups with the primary one, in ascending order, each once.
    pub groups: Vec<u32>,
}

impl From<(u32, u32, Vec<u32>)> for UserIds {
    fn from((uid, gid, groups): (u32, u32, Vec<u32>)) -> Self {
        Self { uid, gid, groups }
    }
}

impl From<UserIds> for (u32, u32, Vec<u32>) {
    fn from(ids: UserIds) -> Self {
        (ids.uid, ids.gid, ids.groups)
    }
}

/// A user that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedUser {
    /// Its numbers.
    pub ids: UserIds,
    /// The home directory that the passwd file says; `/` if it says none.
    pub home: String,
}

/// A user or group that can't be found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UserError {
    /// A group without a user.
    #[error("run_as_group {0} is set without run_as_user or run_as_username")]
    GroupWithoutUser(u32),
    /// No such name in the image.
    #[error("user {} is not in the image's /etc/passwd; use its number", excerpt(.0))]
    UnknownUser(String),
    /// No such group in the image.
    #[error("group {} is not in the image's /etc/group; use its number", excerpt(.0))]
    UnknownGroup(String),
    /// More groups than a process can have.
    #[error("{0} groups, and a process can have {GROUPS}")]
    TooManyGroups(usize),
    /// 4294967295 means "none" to the kernel.
    #[error("{0} is no valid user or group number")]
    OutOfRange(u32),
}

/// What there is to know about who a container runs as.
#[derive(Clone, Copy, Debug)]
pub struct UserRequest<'a> {
    /// The request's user.
    pub choice: &'a UserChoice,
    /// The request's group.
    pub group: Option<u32>,
    /// The image's user: `name`, `name:group`, `uid`, `uid:gid` …; empty is root.
    pub image_user: &'a str,
    /// Content of the image's passwd file.
    pub passwd: Option<&'a str>,
    /// Content of the image's group file.
    pub group_file: Option<&'a str>,
    /// The request's further groups.
    pub supplemental: &'a [u32],
    /// Whether memberships in the image's group file count.
    pub policy: GroupsPolicy,
}

/// Finds the numbers.
///
/// # Errors
/// A name that the image does not know, or a group without a user.
pub fn resolve_user(request: &UserRequest<'_>) -> Result<ResolvedUser, UserError> {
    if let (UserChoice::Image, Some(gid)) = (request.choice, request.group) {
        return Err(UserError::GroupWithoutUser(gid));
    }
    let passwd = request.passwd.unwrap_or_default();
    let group_file = request.group_file.unwrap_or_default();
    let (entry, image_group) = match request.choice {
        UserChoice::Uid(uid) => (by_uid(passwd, *uid), None),
        UserChoice::Name(name) => (by_name_or_number(passwd, name)?, None),
        UserChoice::Image => {
            let (user, group) = match request.image_user.split_once(':') {
                Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
                None => (request.image_user, None),
            };
            // An image may say ":group"; then the user is root.
            (by_name_or_number(passwd, if user.is_empty() { "0" } else { user })?, group)
        }
    };
    let gid = match (request.group, image_group) {
        (Some(gid), _) => gid,
        (None, Some(group)) => group_number(group_file, group)?,
        (None, None) => entry.gid,
    };
    let mut groups = vec![gid];
    groups.extend(request.supplemental);
    if request.policy == GroupsPolicy::Merge
        && let Some(name) = entry.name
    {
        groups.extend(memberships(group_file, name));
    }
    groups.sort_unstable();
    groups.dedup();
    if groups.len() > GROUPS {
        return Err(UserError::TooManyGroups(groups.len()));
    }
    for id in groups.iter().chain([&entry.uid]) {
        if *id == u32::MAX {
            return Err(UserError::OutOfRange(*id));
        }
    }
    Ok(ResolvedUser { ids: UserIds { uid: entry.uid, gid, groups }, home: entry.home.to_owned() })
}

/// A user as far as the image knows it.
struct PasswdEntry<'a> {
    name: Option<&'a str>,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Where there is no other home.
const NO_HOME: &str = "/";

/// Well-formed lines of a passwd file; others are skipped, as the C library does.
fn entries(passwd: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).filter(|home| home.starts_with('/') && !home.contains('\0')).unwrap_or(NO_HOME);
        Some(PasswdEntry { name: Some(name), uid, gid, home })
    })
}

/// A number need not be in the file: then it has no name and root's group.
fn by_uid(passwd: &str, uid: u32) -> PasswdEntry<'_> {
    entries(passwd).find(|entry| entry.uid == uid).unwrap_or(PasswdEntry { name: None, uid, gid: 0, home: NO_HOME })
}

/// A name wins over a number, also if it looks like one.
fn by_name_or_number<'a>(passwd: &'a str, user: &str) -> Result<PasswdEntry<'a>, UserError> {
    if let Some(entry) = entries(passwd).find(|entry| entry.name == Some(user)) {
        return Ok(entry);
    }
    let uid = user.parse().map_err(|_| UserError::UnknownUser(user.to_owned()))?;
    Ok(by_uid(passwd, uid))
}

/// Name, number and members of the well-formed lines of a group file.
fn groups(group_file: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group_file.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

fn group_number(group_file: &str, group: &str) -> Result<u32, UserError> {
    match groups(group_file).find(|(name, _, _)| *name == group) {
        Some((_, gid, _)) => Ok(gid),
        None => group.parse().map_err(|_| UserError::UnknownGroup(group.to_owned())),
    }
}

fn memberships<'a>(group_file: &'a str, user: &'a str) -> impl Iterator<Item = u32> + 'a {
    groups(group_file)
        .filter(move |(_, _, members)| members.split(',').any(|member| member.trim() == user))
        .map(|(_, gid, _)| gid)
}
