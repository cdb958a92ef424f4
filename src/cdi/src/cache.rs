//! What was read of the folders, and is read again where something has changed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use peapod_sys::sync::lock;

use crate::bounds::{ALL_BYTES, FILES};
use crate::file::{CdiFile, Format};
use crate::folder::{self, FileIdentity};
use crate::index::{DeviceIndex, ReadFolder};
use crate::problem::FileProblem;

/// The devices of folders, as they are when somebody asks. A file is read once, and again when it is another one: by
/// its device, inode, size and times.
#[derive(Debug)]
pub struct DeviceCache {
    dirs: Mutex<Vec<PathBuf>>,
    known: Mutex<Known>,
}

/// What was found by the last look.
#[derive(Debug, Default)]
struct Known {
    dirs: Vec<PathBuf>,
    files: HashMap<PathBuf, KnownFile>,
    index: Arc<DeviceIndex>,
}

#[derive(Clone, Debug)]
struct KnownFile {
    identity: FileIdentity,
    /// Whether a further change would be seen by its identity.
    is_settled: bool,
    bytes: u64,
    content: Result<Arc<CdiFile>, FileProblem>,
}

/// One look at all folders.
struct Look<'a> {
    before: &'a HashMap<PathBuf, KnownFile>,
    now: SystemTime,
    files: HashMap<PathBuf, KnownFile>,
    bytes: u64,
    /// Whether all is as it was.
    is_same: bool,
}

impl DeviceCache {
    /// Of these folders, of which a later one wins. Nothing is read yet.
    #[must_use]
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs: Mutex::new(dirs), known: Mutex::default() }
    }

    /// Other folders from now on.
    pub fn set_dirs(&self, dirs: Vec<PathBuf>) {
        *lock(&self.dirs) = dirs;
    }

    /// Looks at the folders, and at each file in them: some system calls a folder and one a file where nothing has
    /// changed. Blocks, for the file system.
    pub fn look(&self) -> Arc<DeviceIndex> {
        let dirs = lock(&self.dirs).clone();
        let mut known = lock(&self.known);
        let Known { files: before, .. } = &*known;
        let mut look = Look { before, now: SystemTime::now(), files: HashMap::new(), bytes: 0, is_same: true };
        let folders: Vec<ReadFolder> = dirs.iter().map(|dir| look.folder(dir)).collect();
        let Look { files, is_same, .. } = look;
        let is_same = is_same && known.dirs == dirs && files.len() == known.files.len();
        known.files = files;
        if !is_same {
            known.index = Arc::new(DeviceIndex::of(dirs.clone(), folders));
            known.dirs = dirs;
        }
        Arc::clone(&known.index)
    }
}

impl Look<'_> {
    fn folder(&mut self, dir: &Path) -> ReadFolder {
        let listed = match folder::list(dir) {
            Ok(listed) => listed,
            Err(problem) => {
                self.is_same = false;
                return vec![(dir.to_owned(), Err(problem))];
            }
        };
        let read = listed.into_iter().filter_map(|(path, format)| {
            let content = self.file(&path, format)?;
            Some((path, content))
        });
        read.collect()
    }

    fn file(&mut self, path: &Path, format: Format) -> Option<Result<Arc<CdiFile>, FileProblem>> {
        let looked = match folder::look(path)? {
            Ok(identity) => self.known(path, identity).map_or_else(|| read(path, format, self.now), Ok),
            Err(problem) => Err(problem),
        };
        let file = match looked {
            Ok(file) => file,
            Err(problem) => {
                self.is_same = false;
                return Some(Err(problem));
            }
        };
        if self.files.len() >= FILES || self.bytes + file.bytes > ALL_BYTES {
            self.is_same = false;
            return Some(Err(FileProblem::TooMany));
        }
        self.bytes += file.bytes;
        let content = file.content.clone();
        let before = self.before.get(path);
        self.is_same &= before.is_some_and(|before| before.content == content);
        self.files.insert(path.to_owned(), file);
        Some(content)
    }

    /// What is known of a file, if it is the same.
    fn known(&self, path: &Path, identity: FileIdentity) -> Option<KnownFile> {
        self.before.get(path).filter(|before| before.is_settled && before.identity == identity).cloned()
    }
}

/// Reads a file. One that makes no sense is kept as that; one that can't be read is tried again each time.
fn read(path: &Path, format: Format, now: SystemTime) -> Result<KnownFile, FileProblem> {
    let (identity, bytes) = folder::read(path)?;
    let is_settled = identity.is_settled(now);
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let content = CdiFile::parse(&bytes, format).map(Arc::new);
    Ok(KnownFile { identity, is_settled, bytes: length, content })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    use super::*;
    use crate::CdiName;

    fn write(path: &Path, device: &str, value: &str) {
        let text = format!(
            r#"{{"cdiVersion": "0.6.0", "kind": "v.com/c", "devices": [{{"name": "{device}", "containerEdits": {{"env": ["A={value}"]}}}}]}}"#
        );
        fs::write(path, text).unwrap();
    }

    /// What a device's first variable is, or why it can't be had.
    fn ask(cache: &DeviceCache, device: &str) -> String {
        let name = CdiName::parse(&format!("v.com/c={device}")).unwrap();
        match cache.look().edits(&[name]) {
            Ok(edits) => edits[1].env[0].clone(),
            Err(error) => error.to_string(),
        }
    }

    fn age(path: &Path) {
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }

    #[test]
    fn changes_are_seen_and_nothing_else_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (etc, run) = (dir.path().join("etc"), dir.path().join("run"));
        let cache = DeviceCache::new(vec![etc.clone(), run.clone()]);
        assert!(ask(&cache, "a").contains("no file in"));
        fs::create_dir(&etc).unwrap();
        fs::create_dir(&run).unwrap();
        let file = etc.join("a.json");
        write(&file, "a", "1");
        assert_eq!(ask(&cache, "a"), "A=1");
        // In place, at once, of the same length.
        write(&file, "a", "2");
        assert_eq!(ask(&cache, "a"), "A=2");
        write(&run.join("a.json"), "a", "3");
        assert_eq!(ask(&cache, "a"), "A=3");
        fs::remove_file(run.join("a.json")).unwrap();
        assert_eq!(ask(&cache, "a"), "A=2");
        fs::write(&file, "{").unwrap();
        let said = ask(&cache, "a");
        assert!(said.contains("a.json: EOF"), "{said}");
        write(&file, "b", "4");
        assert_eq!(ask(&cache, "b"), "A=4");
        fs::rename(&file, etc.join("a.txt")).unwrap();
        assert!(ask(&cache, "b").contains("no file in"));
        cache.set_dirs(Vec::new());
        assert!(ask(&cache, "b").contains("spec_dirs"));
    }

    #[test]
    fn a_file_that_stays_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.json");
        write(&file, "a", "1");
        let found = fs::metadata(&file).unwrap();
        let identity = FileIdentity::of(&found);
        assert!(!identity.is_settled(SystemTime::now()));
        // The time of the last change of anything can't be set back: as seen an hour later.
        let later = SystemTime::now() + Duration::from_secs(3600);
        assert!(identity.is_settled(later));
        let content = Ok(Arc::new(CdiFile::parse(&fs::read(&file).unwrap(), Format::Json).unwrap()));
        let before = HashMap::from([(file.clone(), KnownFile { identity, is_settled: true, bytes: 1, content })]);
        let mut look = Look { before: &before, now: later, files: HashMap::new(), bytes: 0, is_same: true };
        look.folder(dir.path());
        assert!(look.is_same && look.bytes == 1, "it was read again");
        age(&file);
        let mut look = Look { before: &before, now: later, files: HashMap::new(), bytes: 0, is_same: true };
        look.folder(dir.path());
        assert!(look.bytes > 1, "it was not read again");
        let cache = DeviceCache::new(vec![dir.path().to_owned()]);
        assert!(Arc::ptr_eq(&cache.look(), &cache.look()));
    }

    #[test]
    fn what_is_no_file_of_roots_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write(&at("good.json"), "good", "1");
        fs::set_permissions(at("good.json"), Permissions::from_mode(0o600)).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo.json"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        symlink("/dev/zero", at("zero.yaml")).unwrap();
        symlink("nowhere", at("nowhere.yaml")).unwrap();
        symlink("circle.json", at("circle.json")).unwrap();
        fs::create_dir(at("folder.json")).unwrap();
        File::create(at("large.json")).unwrap().set_len(crate::bounds::FILE_BYTES + 1).unwrap();
        write(&at("open.json"), "open", "1");
        fs::set_permissions(at("open.json"), Permissions::from_mode(0o666)).unwrap();
        let cache = DeviceCache::new(vec![dir.path().to_owned()]);
        assert_eq!(ask(&cache, "good"), "A=1");
        let index = cache.look();
        let broken: Vec<String> = index.broken().iter().map(ToString::to_string).collect();
        for (name, part) in [
            ("fifo.json", "no regular file"),
            ("zero.yaml", "no regular file"),
            ("nowhere.yaml", "No such file"),
            ("circle.json", "symbolic link"),
            ("large.json", "more than"),
            ("open.json", "written by everybody"),
        ] {
            let said = broken.iter().find(|said| said.contains(name)).expect(name);
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(broken.len(), 6, "{broken:?}");
        // The folder's owners are looked at as well.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        let said = ask(&cache, "good");
        assert!(said.contains("written by everybody"), "{said}");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        // The folder itself may be something else.
        let cache = DeviceCache::new(vec![at("good.json"), at("fifo.json"), at("folder.json")]);
        assert_eq!(cache.look().broken().len(), 2);
    }
}
