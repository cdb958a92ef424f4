//! Modules of a crate that import each other in a circle can only be read, moved and tested together. Those that there
//! are stand in `circles.list`, a circle a line; the list may only become shorter.
//!
//! A module is a file. Looked at are `use` items outside of tests. A parent and its own submodules are one subject in
//! several files: what a submodule takes from its parents, and they from it, makes no circle by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use syn::{Item, ItemUse, UseTree, Visibility};

use crate::source::{Module, modules};

/// Modules by path, and the paths of those that they import from.
type Graph = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// The paths that a `use` item names, each with all its segments.
fn names(tree: &UseTree) -> Vec<Vec<String>> {
    fn collect(tree: &UseTree, before: &[String], found: &mut Vec<Vec<String>>) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => collect(&path.tree, &with(path.ident.to_string()), found),
            UseTree::Name(name) => found.push(with(name.ident.to_string())),
            UseTree::Rename(rename) => found.push(with(rename.ident.to_string())),
            UseTree::Glob(_) => found.push(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, before, found)),
        }
    }
    let mut found = Vec::new();
    collect(tree, &[], &mut found);
    found
}

/// Modules of a crate, and what they pass on: paths under which something can be named that is elsewhere.
struct Crate {
    modules: BTreeSet<Vec<String>>,
    passed_on: BTreeMap<Vec<String>, Vec<String>>,
}

impl Crate {
    fn new<'a>(modules: impl Iterator<Item = &'a Module> + Clone) -> Self {
        let mut new =
            Self { modules: modules.clone().map(|module| module.path.clone()).collect(), passed_on: BTreeMap::new() };
        for module in modules {
            let is_public = |item: &&ItemUse| !matches!(item.vis, Visibility::Inherited);
            for name in uses(&module.items).filter(is_public).flat_map(|item| names(&item.tree)) {
                let Some(path) = new.absolute(&name, &module.path) else { continue };
                let alias = [module.path.as_slice(), &path[path.len().saturating_sub(1)..]].concat();
                if alias != path {
                    new.passed_on.insert(alias, path);
                }
            }
        }
        new
    }

    /// A path as seen from the crate's root; `None` for one that leads out of the crate.
    fn absolute(&self, name: &[String], from: &[String]) -> Option<Vec<String>> {
        let (first, rest) = name.split_first()?;
        let below = [from, &name[..1]].concat();
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([from, rest].concat()),
            "super" => {
                let (_, parent) = from.split_last()?;
                let is_on = rest.first().is_some_and(|next| next == "super");
                if is_on { self.absolute(rest, parent) } else { Some([parent, rest].concat()) }
            }
            _ => self.modules.contains(&below).then(|| [&below, rest].concat()),
        }
    }

    /// The module in which what a path names is defined.
    fn home(&self, mut path: Vec<String>) -> Vec<String> {
        for _ in 0..PASSED_ON {
            let Some(further) = self.passed_on.get(&path) else { break };
            path.clone_from(further);
        }
        let parts = (0..=path.len()).rev().map(|end| path[..end].to_vec());
        parts.into_iter().find(|part| self.modules.contains(part)).unwrap_or_default()
    }
}

/// How often something may be passed on from module to module.
const PASSED_ON: usize = 8;

fn uses(items: &[Item]) -> impl Iterator<Item = &ItemUse> {
    items.iter().filter_map(|item| if let Item::Use(item) = item { Some(item) } else { None })
}

fn graph<'a>(modules: impl Iterator<Item = &'a Module> + Clone) -> Graph {
    let whole = Crate::new(modules.clone());
    let mut graph = Graph::new();
    for module in modules {
        let found = uses(&module.items).flat_map(|item| names(&item.tree));
        let paths = found.filter_map(|name| whole.absolute(&name, &module.path));
        let is_family = |other: &Vec<String>| other.starts_with(&module.path) || module.path.starts_with(other);
        let homes = paths.map(|path| whole.home(path)).filter(|other| !is_family(other));
        graph.entry(module.path.clone()).or_default().extend(homes);
    }
    graph
}

/// What can be reached from a module.
fn reached(graph: &Graph, from: &[String]) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut next = vec![from.to_vec()];
    while let Some(module) = next.pop() {
        for other in graph.get(&module).into_iter().flatten() {
            if found.insert(other.clone()) {
                next.push(other.clone());
            }
        }
    }
    found
}

/// The circles of a crate: modules each of which reaches all others.
fn circles(graph: &Graph) -> BTreeSet<Vec<String>> {
    let reach: BTreeMap<_, _> = graph.keys().map(|module| (module, reached(graph, module))).collect();
    let mut found = BTreeSet::new();
    for (module, others) in &reach {
        if others.contains(*module) {
            let circle = others.iter().filter(|other| reach[other].contains(*module));
            found.insert(circle.map(|path| path.join("::")).collect());
        }
    }
    found
}

#[test]
fn no_further_modules_import_each_other() {
    let modules = modules();
    let packages: BTreeSet<_> = modules.iter().map(|module| module.package.clone()).collect();
    let mut found = BTreeSet::new();
    for package in &packages {
        let graph = graph(modules.iter().filter(|module| module.package == *package));
        found.extend(circles(&graph).into_iter().map(|circle| format!("{package}: {}", circle.join(" "))));
    }
    let list = fs::read_to_string(crate::root().join("tests/house/circles.list")).expect("a list of circles");
    let listed: BTreeSet<_> = list.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "tests/house/circles.list: these circles are new or changed: {new:#?}\nthese are gone: {gone:#?}"
    );
}

#[test]
fn a_circle_is_found() {
    let module = |path: &str, uses: &str| Module {
        package: "a".to_owned(),
        path: path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        items: syn::parse_file(uses).expect("Rust").items,
    };
    let modules = [
        module("", "use b::C; use x::X;"),
        module("b", "use crate::d::{E, F as G}; use std::io;"),
        module("b::own", "use super::Own; use super::super::b::More;"),
        module("d", "use super::h::*;"),
        module("h", "use crate::b::own::I;"),
        module("x", "use crate::b::C;"),
        module("y", "use crate::C;"),
    ];
    let found = circles(&graph(modules.iter()));
    assert!(found.is_empty(), "a submodule is not its parent: {found:?}");
    let with = [module("h", "use crate::b::I;")];
    let found = circles(&graph(modules.iter().filter(|module| module.path != ["h"]).chain(&with)));
    assert_eq!(found, BTreeSet::from([["b", "d", "h"].map(str::to_owned).to_vec()]));
    let passed_on = [module("", "pub use b::C;"), module("b", "use crate::y::Y;"), module("y", "use crate::C;")];
    assert_eq!(circles(&graph(passed_on.iter())), BTreeSet::from([["b", "y"].map(str::to_owned).to_vec()]));
}
