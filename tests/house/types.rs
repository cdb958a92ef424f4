//! Types have one subject: few fields, few methods, and a name that no other type has.

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
    ("pod::Config", "a setting each, as the file has them"),
    ("pod::ContainerView", "a field each of CRI's ContainerStatus"),
    ("spec::ContainerSecurity", "a field each of CRI's LinuxContainerSecurityContext"),
    ("spec::ContainerSpec", "a field each of CRI's ContainerConfig"),
    ("spec::PodSpec", "a field each of CRI's PodSandboxConfig"),
];
/// Types that have more methods, and why.
const BUSY: &[(&str, &str)] = &[("pod::Pods", "a method for each CRI call that is about pods")];

/// Names that several types have: the name, the crates in which they stand, and why. A type that gets another name
/// leaves the list with it, so that nobody takes that name again.
const TWICE: &[(&str, &str)] = &[
    (
        "Config: daemon image network pod spec",
        "the settings of a crate, and the OCI configuration: named with the crate",
    ),
    ("Container: client pod", "a container of a manifest, as Kubernetes calls it, and the pod's own"),
    ("Error: pod shim", "what goes wrong in a crate, named with it"),
    ("Job: client pod", "a manifest of that kind, and an actor's"),
    ("OpenError: image network pod store", "why a crate's databases can't be opened, named with it"),
    ("Pod: client pod", "a manifest of that kind, and the pod that runs"),
    ("PortMapping: network spec", "one meaning: the network is told it by those who know pods, and knows no spec"),
    ("Protocol: network spec", "as PortMapping"),
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

/// The name of a structure, an enumeration or a trait.
fn type_name(item: &Item) -> Option<String> {
    match item {
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Enum(item) => Some(item.ident.to_string()),
        Item::Trait(item) => Some(item.ident.to_string()),
        _ => None,
    }
}

/// The names that stand more than once, each with the crates in which it does: one as often as types have it.
fn twice(modules: &[Module]) -> BTreeMap<String, String> {
    let mut packages: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for module in modules {
        for name in module.items.iter().filter_map(type_name) {
            let place = [&module.package, &module.path.join("::"), &name].map(String::as_str).join("::");
            places.entry(name.clone()).or_default().push(place);
            packages.entry(name).or_default().push(&module.package);
        }
    }
    packages.retain(|_, packages| packages.len() > 1);
    let found = packages.into_iter().map(|(name, mut packages)| {
        packages.sort_unstable();
        (format!("{name}: {}", packages.join(" ")), places[&name].join(" "))
    });
    found.collect()
}

#[test]
fn no_type_name_stands_twice() {
    let found = twice(&modules());
    let found = found.into_iter().map(|(line, places)| (line.clone(), format!("{line} ({places})")));
    compare("type names that stand twice", &found.collect(), TWICE);
}

#[test]
fn a_name_that_stands_twice_is_found() {
    let module = |package: &str, path: &str, text: &str| Module {
        package: package.to_owned(),
        path: vec![path.to_owned()],
        items: syn::parse_file(text).expect("Rust").items,
    };
    let modules = [
        module("a", "b", "struct Once; enum Twice {} trait Same {}"),
        module("a", "c", "pub struct Twice { once: Once }"),
        module("d", "e", "pub(crate) trait Twice {} struct Same;"),
    ];
    let text = |(name, places): (&str, &str)| (name.to_owned(), places.to_owned());
    let wanted = [("Same: a d", "a::b::Same d::e::Same"), ("Twice: a a d", "a::b::Twice a::c::Twice d::e::Twice")];
    assert_eq!(twice(&modules), wanted.map(text).into());
}
