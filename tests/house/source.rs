//! The source files of the workspace, for the other tests to look at.

use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, Meta};

/// A Rust file.
pub(crate) struct Source {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
}

impl Source {
    /// What stands before the tests that are in the file itself.
    pub(crate) fn without_tests(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }

    /// The path from the checkout on.
    pub(crate) fn name(&self) -> String {
        self.path.strip_prefix(crate::root()).unwrap_or(&self.path).display().to_string()
    }
}

/// All files below a folder whose names end so; never what is built.
pub(crate) fn files(folder: &Path, ends: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ends) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All Rust files, tests too.
pub(crate) fn rust() -> Vec<Source> {
    let found = ["src", "tests"].into_iter().flat_map(|folder| files(&crate::root().join(folder), ".rs"));
    found.map(|path| Source { text: fs::read_to_string(&path).expect("text"), path }).collect()
}

/// Files that are no part of what is shipped.
fn is_test(path: &Path) -> bool {
    let below = path.strip_prefix(crate::root().join("src")).ok();
    let Some(below) = below else { return true };
    below.starts_with("fuzz")
        || below.components().nth(1).is_some_and(|part| part.as_os_str() == "tests")
        || below.iter().any(|part| {
            let name = part.to_string_lossy();
            name == "tests" || name == "fuzz.rs" || name == "tests.rs" || name.ends_with("_tests.rs")
        })
}

/// Code that is shipped: below `src`, without files of tests.
pub(crate) fn shipped() -> Vec<Source> {
    rust().into_iter().filter(|source| !is_test(&source.path)).collect()
}

/// A file of a crate as a module of it.
pub(crate) struct Module {
    /// The crate's folder below `src`.
    pub(crate) package: String,
    /// Its path in the crate: `container`, `exec`, and nothing for `lib.rs` and `main.rs`.
    pub(crate) path: Vec<String>,
    /// What is in it, without what only tests have.
    pub(crate) items: Vec<Item>,
}

/// All modules of what is shipped.
pub(crate) fn modules() -> Vec<Module> {
    let parsed: Vec<_> = shipped().iter().map(module).collect();
    let of_tests: Vec<_> = parsed.iter().flat_map(modules_of_tests).collect();
    let is_shipped = |module: &Module| !of_tests.iter().any(|(package, path)| module.is_below(package, path));
    let modules = parsed.into_iter().filter(is_shipped);
    modules.map(|module| Module { items: without_tests(module.items), ..module }).collect()
}

impl Module {
    fn is_below(&self, package: &str, path: &[String]) -> bool {
        self.package == package && self.path.starts_with(path)
    }
}

/// A file with all that is in it.
fn module(source: &Source) -> Module {
    let name = source.name();
    let mut parts = name.trim_end_matches(".rs").split('/').map(str::to_owned).skip(1);
    let package = parts.next().expect("a folder below src");
    let mut path: Vec<String> = parts.skip(1).collect();
    if path.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        path.pop();
    }
    let file = syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{name}: {error}"));
    Module { package, path, items: file.items }
}

/// Crate and path of the modules that a module has for tests alone, whatever their files are called.
fn modules_of_tests(module: &Module) -> Vec<(String, Vec<String>)> {
    let named = module.items.iter().filter_map(|item| if let Item::Mod(item) = item { Some(item) } else { None });
    let of_tests = named.filter(|item| item.attrs.iter().any(is_for_tests));
    of_tests.map(|item| (module.package.clone(), [&module.path[..], &[item.ident.to_string()]].concat())).collect()
}

/// Items without those that `#[cfg(test)]` is about.
fn without_tests(items: Vec<Item>) -> Vec<Item> {
    items.into_iter().filter(|item| !attributes(item).iter().any(is_for_tests)).collect()
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}
