//! Types have one subject: few fields and few methods.

use std::collections::{BTreeMap, BTreeSet};

use syn::{ImplItem, Item, Type};

use crate::source::{Module, modules};

/// Methods of a type, over all its `impl` blocks in all files of its crate. Those of traits don't count: somebody else
/// chose them.
const METHODS: usize = 25;
/// Fields of a structure.
const FIELDS: usize = 12;

/// Structures that have more fields, and why.
const WIDE: &[(&str, &str)] = &[
    ("image::Config", "a setting each, as the file has them"),
    ("pod::Config", "a setting each, as the file has them"),
    ("pod::ContainerView", "a field each of CRI's ContainerStatus"),
    ("pod::Node", "to be cut: everything that operations share"),
    ("spec::ContainerSecurity", "a field each of CRI's LinuxContainerSecurityContext"),
    ("spec::ContainerSpec", "a field each of CRI's ContainerConfig"),
    ("spec::PodSpec", "a field each of CRI's PodSandboxConfig"),
];
/// Types that have more methods, and why.
const BUSY: &[(&str, &str)] = &[
    ("cgroup::Cgroup", "to be cut: statistics and children apart from life and death"),
    ("pod::Life", "to be cut: questions, each a line, apart from changes"),
    ("pod::Machine", "to be cut: a function for each input, most private to its file"),
    ("pod::Pods", "a method for each CRI call that is about pods"),
];

/// Crate, name and number of fields of each structure.
fn structures(modules: &[Module]) -> Vec<(String, String, usize)> {
    let mut found = Vec::new();
    for module in modules {
        for item in &module.items {
            if let Item::Struct(item) = item {
                found.push((module.package.clone(), item.ident.to_string(), item.fields.len()));
            }
        }
    }
    found
}

/// What differs between a list of exceptions and what is found: neither is longer.
fn compare(what: &str, found: &BTreeMap<String, String>, excepted: &[(&str, &str)]) {
    let listed: BTreeSet<_> = excepted.iter().map(|(name, _)| (*name).to_owned()).collect();
    let new: Vec<_> = found.iter().filter(|(name, _)| !listed.contains(*name)).map(|(_, text)| text).collect();
    let gone: Vec<_> = listed.iter().filter(|name| !found.contains_key(*name)).collect();
    assert!(new.is_empty(), "{what}: {new:#?}");
    assert!(gone.is_empty(), "{what}: listed, but not so any more: {gone:#?}");
}

#[test]
fn structures_have_few_fields() {
    let all = structures(&modules());
    let wide = all.iter().filter(|(.., fields)| *fields > FIELDS);
    let found = wide.map(|(package, name, fields)| {
        (format!("{package}::{name}"), format!("{package}::{name} has {fields} fields"))
    });
    compare(&format!("more than {FIELDS} fields"), &found.collect(), WIDE);
}

#[test]
fn types_have_few_methods() {
    let mut methods: BTreeMap<String, usize> = BTreeMap::new();
    for module in modules() {
        for item in &module.items {
            if let Item::Impl(item) = item
                && item.trait_.is_none()
                && let Type::Path(of) = &*item.self_ty
                && let Some(name) = of.path.segments.last()
            {
                let count = item.items.iter().filter(|item| matches!(item, ImplItem::Fn(_))).count();
                *methods.entry(format!("{}::{}", module.package, name.ident)).or_default() += count;
            }
        }
    }
    let busy = methods.into_iter().filter(|(_, count)| *count > METHODS);
    let found = busy.map(|(name, count)| (name.clone(), format!("{name} has {count} methods")));
    compare(&format!("more than {METHODS} methods"), &found.collect(), BUSY);
}
