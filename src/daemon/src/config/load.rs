//! Which texts make up the configuration.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::problem::{InvalidConfig, Location, Problems};
use super::ready::Config;
use super::tree::{self, TomlNode, TomlValue, Tree};
use crate::args::{LogFormat, ServeArgs};

/// Every key with its default, as comments.
pub(crate) const DEFAULT_TEXT: &str = include_str!("../../../../packaging/config.toml");

/// Read when it exists and no other is named.
const DEFAULT_FILE: &str = "/etc/peapod/config.toml";

/// Reads the file, the drop-ins beside it and the command line, later ones winning, and checks the whole.
pub(crate) fn load(args: ServeArgs) -> Result<Config, InvalidConfig> {
    let problems = Problems::default();
    let mut tree = Tree::new();
    for file in files(args.config.as_deref(), &problems) {
        match std::fs::read_to_string(&file) {
            Ok(text) => tree::merge(&mut tree, tree::parse(&file.to_string_lossy(), &text, &problems)),
            Err(error) => unreadable(&file, &error, &problems),
        }
    }
    for option in &args.set {
        tree::merge(&mut tree, tree::parse_option(option, &problems));
    }
    tree::merge(&mut tree, options(args));
    let config = Config::read(tree, &problems);
    problems.into_result(config)
}

/// What the files of the configuration looked like at one moment: inode, time of the last change, size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileStamps(Vec<(PathBuf, Option<[u64; 4]>)>);

/// Looks at the files, but not into them.
pub(crate) fn stamps(args: &ServeArgs) -> FileStamps {
    let looks = |path: &PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        Some([file.ino(), file.ctime().cast_unsigned(), file.ctime_nsec().cast_unsigned(), file.size()])
    };
    // Who reads the files says what is wrong with them.
    let files = files(args.config.as_deref(), &Problems::default());
    FileStamps(
        files
            .into_iter()
            .map(|path| {
                let looks = looks(&path);
                (path, looks)
            })
            .collect(),
    )
}

/// The main file and those of `config.d`, in order.
fn files(named: Option<&Path>, problems: &Problems) -> Vec<PathBuf> {
    let main = named.unwrap_or(Path::new(DEFAULT_FILE));
    let mut files = Vec::new();
    if named.is_some() || main.exists() {
        files.push(main.to_owned());
    }
    let directory = main.with_file_name("config.d");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return files,
        Err(error) => {
            unreadable(&directory, &error, problems);
            return files;
        }
    };
    let mut drop_ins: Vec<PathBuf> = entries
        .filter_map(|entry| entry.map_err(|error| unreadable(&directory, &error, problems)).ok())
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    drop_ins.sort();
    files.extend(drop_ins);
    files
}

fn unreadable(path: &Path, error: &io::Error, problems: &Problems) {
    let location = Location { file: path.to_string_lossy().into(), line: None };
    problems.add(Some(&location), "", format!("can't be read: {error}"));
}

/// The command line's own options as a tree.
fn options(args: ServeArgs) -> Tree {
    let path = |path: Option<PathBuf>| {
        // A relative path on the command line is meant from where the command was given.
        let path = path.map(|path| std::path::absolute(&path).unwrap_or(path));
        path.map(|path| path.to_string_lossy().into_owned())
    };
    let format = args.log_format.map(|format| match format {
        LogFormat::Text => "text".to_owned(),
        LogFormat::Json => "json".to_owned(),
    });
    let given = [
        ("--state-root", "state_root", path(args.state_root)),
        ("--run-root", "run_root", path(args.run_root)),
        ("--socket", "grpc.socket", path(args.socket)),
        ("--log-level", "log.level", args.log_level),
        ("--log-format", "log.format", format),
    ];
    let mut tree = Tree::new();
    for (option, key, value) in given {
        let Some(value) = value else { continue };
        let location = Location::option(option);
        let leaf = TomlNode { value: TomlValue::Text(value), location: location.clone() };
        let single = match key.split_once('.') {
            None => Tree::from([(key.to_owned(), leaf)]),
            Some((section, key)) => {
                let table = TomlNode { value: TomlValue::Table(Tree::from([(key.to_owned(), leaf)])), location };
                Tree::from([(section.to_owned(), table)])
            }
        };
        tree::merge(&mut tree, single);
    }
    tree
}
