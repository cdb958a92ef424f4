//! What an archive tells of its container, as the field writes and reads it. Pure.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use peapod_image::{DELETED_BYTES, DELETED_PATHS, ImageId};
use peapod_text::excerpt;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;

use crate::view::{ContainerState, ContainerView, PodView};

/// `config.dump`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ConfigDump {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) rootfs_image: String,
    pub(super) rootfs_image_ref: String,
    pub(super) rootfs_image_name: String,
    pub(super) runtime: String,
    pub(super) created_time: String,
    pub(super) checkpointed_time: String,
    pub(super) restored_time: String,
    pub(super) restored: bool,
}

/// No time at all, in Go.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl ConfigDump {
    pub(super) fn of(container: &ContainerView, runtime: &str, now: i64) -> Self {
        Self {
            id: container.id.to_string(),
            name: container.spec.metadata.name.clone(),
            rootfs_image: container.image_name.clone(),
            rootfs_image_ref: container.image_id.clone(),
            rootfs_image_name: container.image_name.clone(),
            runtime: runtime.to_owned(),
            created_time: rfc3339(container.created_at),
            checkpointed_time: rfc3339(now),
            restored_time: NEVER.to_owned(),
            restored: false,
        }
    }

    /// The names of the image that the container was made of, the surest first; no ids.
    pub(super) fn image_names(&self) -> impl Iterator<Item = &str> {
        self.images().filter(|name| ImageId::parse(name).is_none())
    }

    /// The id that this image had.
    pub(super) fn image_id(&self) -> Option<ImageId> {
        self.images().find_map(ImageId::parse)
    }

    fn images(&self) -> impl Iterator<Item = &str> {
        let names = [&self.rootfs_image_ref, &self.rootfs_image, &self.rootfs_image_name];
        names.into_iter().map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// `status`, as containerd has it.
pub(super) fn status(container: &ContainerView) -> Value {
    let (pid, started_at) = match container.state {
        ContainerState::Running { pid, started_at } => (pid, started_at),
        _ => (0, 0),
    };
    json!({
        "Version": "v1", "Pid": pid, "CreatedAt": container.created_at, "StartedAt": started_at, "FinishedAt": 0,
        "ExitCode": 0, "Reason": "", "Message": "",
    })
}

/// `spec.dump`: the container's `config.json`, with what tools look for to tell whose it was.
pub(super) fn spec(config: &[u8], pod: &PodView, container: &ContainerView) -> Option<Vec<u8>> {
    let mut config: Value = serde_json::from_slice(config).ok()?;
    let annotations = config.as_object_mut()?.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    let annotations = annotations.as_object_mut()?;
    let of_pod = &pod.spec.metadata;
    for (name, value) in [
        ("container-name", container.spec.metadata.name.as_str()),
        ("sandbox-id", pod.id.as_str()),
        ("sandbox-name", &of_pod.name),
        ("sandbox-namespace", &of_pod.namespace),
        ("sandbox-uid", &of_pod.uid),
        ("image-name", &container.image_name),
    ] {
        annotations.insert(format!("io.kubernetes.cri.{name}"), Value::from(value));
    }
    serde_json::to_vec(&config).ok()
}

/// Nanoseconds since the epoch as text.
fn rfc3339(at: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(at.into()).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| NEVER.to_owned())
}

/// Paths as a list that can be read again.
pub(super) fn deleted<'a>(paths: &'a [Vec<u8>]) -> io::Result<Vec<u8>> {
    let text = |path: &'a Vec<u8>| {
        std::str::from_utf8(path).map_err(|_| {
            let path = excerpt(OsStr::from_bytes(path));
            io::Error::other(format!("the container has deleted {path}, whose name is no text: a list can't have it"))
        })
    };
    let paths: Vec<&str> = paths.iter().map(text).collect::<Result<_, _>>()?;
    let list = serde_json::to_vec(&paths)?;
    if list.len() > DELETED_BYTES {
        return Err(io::Error::other(format!("the list of deleted files has more than {DELETED_BYTES} bytes")));
    }
    Ok(list)
}

/// The same, read. There are no more than can be written.
pub(super) fn parse_deleted(text: &[u8]) -> serde_json::Result<Vec<Vec<u8>>> {
    Ok(serde_json::from_slice::<DeletedPaths>(text)?.0)
}

struct DeletedPaths(Vec<Vec<u8>>);

impl<'de> Deserialize<'de> for DeletedPaths {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(DeletedVisitor)
    }
}

struct DeletedVisitor;

impl<'de> Visitor<'de> for DeletedVisitor {
    type Value = DeletedPaths;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "a list of at most {DELETED_PATHS} paths")
    }

    fn visit_unit<E>(self) -> Result<DeletedPaths, E> {
        Ok(DeletedPaths(Vec::new()))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<DeletedPaths, S::Error> {
        let mut paths = Vec::new();
        while let Some(path) = list.next_element::<String>()? {
            if paths.len() == DELETED_PATHS {
                return Err(S::Error::invalid_length(DELETED_PATHS + 1, &self));
            }
            paths.push(path.into_bytes());
        }
        Ok(DeletedPaths(paths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_go_reads_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000_000_000_007), "2023-11-14T22:13:20.000000007Z");
    }

    #[test]
    fn what_others_wrote_is_read() {
        let (image, digits) = ("docker.io/library/x:1", "0123456789abcdef".repeat(4));
        let theirs = r#"{"id":"a","name":"counter","rootfsImage":"docker.io/library/x:1","rootfsImageRef":"sha256:IMAGE",
            "runtime":"runc","createdTime":"2023-02-13T16:12:25Z","checkpointedTime":"0001-01-01T00:00:00Z",
            "restoredTime":"0001-01-01T00:00:00Z","restored":false,"more":{"a":1}}"#;
        let dump: ConfigDump = serde_json::from_str(&theirs.replace("IMAGE", &digits)).unwrap();
        assert_eq!((dump.id.as_str(), dump.name.as_str()), ("a", "counter"));
        assert_eq!((dump.image_names().collect::<Vec<_>>(), dump.image_id()), (vec![image], ImageId::parse(&digits)));
        // Of one that has no name any more.
        let nameless = ConfigDump { rootfs_image: digits.clone(), rootfs_image_name: digits, ..ConfigDump::default() };
        assert_eq!((nameless.image_names().count(), nameless.image_id()), (0, dump.image_id()));
        let empty: ConfigDump = serde_json::from_str("{}").unwrap();
        assert_eq!((empty.image_names().count(), empty.image_id()), (0, None));
        for bad in ["", "[]x", "{\"id\": 1}"] {
            serde_json::from_str::<ConfigDump>(bad).unwrap_err();
        }
    }

    #[test]
    fn lists_of_what_is_deleted() {
        let paths = [&b"etc/a"[..], "b\u{e4}".as_bytes()].map(<[u8]>::to_vec);
        let list = deleted(&paths).unwrap();
        assert_eq!(list, "[\"etc/a\",\"b\u{e4}\"]".as_bytes());
        assert_eq!(parse_deleted(&list).unwrap(), paths);
        // Nobody could tell what it was.
        let refused = deleted(&[b"b\xff".to_vec()]).unwrap_err().to_string();
        assert!(refused.contains("deleted \"b") && refused.contains("no text"), "{refused}");
        // Six bytes for each.
        let long = vec![vec![1; DELETED_BYTES / 6 + 1]];
        assert!(deleted(&long).is_err_and(|refused| refused.to_string().contains("bytes")));
        assert_eq!(parse_deleted(b"[\"etc/a\"]").unwrap(), [b"etc/a".to_vec()]);
        assert!(parse_deleted(b"null").unwrap().is_empty());
        for bad in [&b""[..], b"{}", b"[1]"] {
            parse_deleted(bad).unwrap_err();
        }
        let many = |count| serde_json::to_vec(&vec![""; count]).unwrap();
        assert_eq!(parse_deleted(&many(DELETED_PATHS)).unwrap().len(), DELETED_PATHS);
        assert!(parse_deleted(&many(DELETED_PATHS + 1)).unwrap_err().to_string().contains("at most"));
    }
}
