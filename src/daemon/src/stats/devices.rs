//! Names of block devices.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Those that were asked for, each looked up once.
#[derive(Default)]
pub(super) struct DeviceNames(BTreeMap<(u32, u32), Arc<str>>);

impl DeviceNames {
    pub(super) fn of(&mut self, major: u32, minor: u32) -> Arc<str> {
        Arc::clone(self.0.entry((major, minor)).or_insert_with(|| device_name(major, minor)))
    }
}

/// `/dev/sda` for 8:0, as the kernel calls it; the numbers where it has no name, as of a file system on no device.
pub(super) fn device_name(major: u32, minor: u32) -> Arc<str> {
    let numbers = format!("{major}:{minor}");
    let link = std::fs::read_link(format!("/sys/dev/block/{numbers}")).ok();
    // In the kernel's names `!` stands for a slash.
    let name = link.as_ref().and_then(|link| link.file_name()?.to_str()).map(|name| name.replace('!', "/"));
    name.map_or_else(|| Arc::from(numbers), |name| Arc::from(format!("/dev/{name}")))
}

#[cfg(test)]
mod tests {
    use super::device_name;

    #[test]
    fn a_device_without_a_name_is_called_by_its_numbers() {
        assert_eq!(&*device_name(0, 4711), "0:4711");
        let some = std::fs::read_dir("/sys/dev/block").into_iter().flatten().flatten().next();
        let Some(numbers) = some.map(|entry| entry.file_name().to_string_lossy().into_owned()) else { return };
        let (major, minor) = numbers.split_once(':').unwrap();
        assert!(device_name(major.parse().unwrap(), minor.parse().unwrap()).starts_with("/dev/"));
    }
}
