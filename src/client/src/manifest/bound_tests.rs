//! Manifests that would cost more than they are worth.

use super::tests::{SMALL, said};
use super::*;
use crate::bounds::MANIFEST_KEY_BYTES;

fn load_all(texts: &[String]) -> Result<LoadedManifest, ManifestError> {
    let source = |(index, text): (usize, &String)| ManifestSource {
        name: format!("{index}.yaml"),
        path: None,
        text: text.clone(),
    };
    load(&texts.iter().enumerate().map(source).collect::<Vec<_>>())
}

/// A ConfigMap with a text of so many KiB, and so many times the same by its alias.
fn copies(name: usize, kib: usize, times: usize) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{name}}}\ndata:\n  a: &a {}\n",
        "x".repeat(kib << 10)
    );
    (0..times).for_each(|index| text.push_str(&format!("  k{index}: *a\n")));
    text
}

#[test]
fn aliases_of_all_files_together_have_one_room() {
    let refused = load_all(&[copies(0, 1024, 40)]).unwrap_err();
    assert!(matches!(refused, ManifestError::TooLarge { .. }), "{refused}");
    assert!(refused.to_string().starts_with("0.yaml: the manifests are too large"), "{refused}");
    let each: Vec<String> = (0..4).map(|name| copies(name, 64, 79)).collect();
    assert!(matches!(load_all(&each[..3]).unwrap_err(), ManifestError::NoPod));
    let refused = load_all(&each).unwrap_err();
    assert!(refused.to_string().starts_with("3.yaml: the manifests are too large"), "{refused}");
}

#[test]
fn values_of_all_files_together_have_one_room() {
    let values = |name: usize| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{name}, managedFields: [{}]}}\n",
            "{},".repeat(100_000)
        )
    };
    let each: Vec<String> = (0..3).map(values).collect();
    assert!(matches!(load_all(&each[..2]).unwrap_err(), ManifestError::NoPod));
    let refused = load_all(&each).unwrap_err();
    assert!(refused.to_string().starts_with("2.yaml: the manifests are too large"), "{refused}");
}

#[test]
fn keys_are_bounded() {
    let long = "k".repeat(MANIFEST_KEY_BYTES + 1);
    let pod = |key: &str| format!("{SMALL}status:\n  ? {key}\n  : 1\n");
    assert!(said(&pod(&long)).contains("a key of more than 1024 bytes"), "{}", said(&pod(&long)));
    assert!(said(&pod(&long[1..])).contains("is no field that Kubernetes knows"));
}

#[test]
fn no_more_mistakes_are_looked_for_than_are_shown() {
    let keys: String = (0..50_000).map(|index| format!("  bad key {index}: x\n")).collect();
    let fields: String = (0..20_000).map(|index| format!("bad{index}: x\n")).collect();
    for text in
        [format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n{keys}"), format!("{SMALL}{fields}")]
    {
        let refused = load_all(&[text]).unwrap_err();
        let ManifestError::Mistakes(mistakes) = &refused else { panic!("{refused}") };
        assert_eq!(mistakes.len(), MANIFEST_MISTAKES + 1);
        let said = refused.to_string();
        assert!(said.starts_with("more than 20 mistakes\n") && said.ends_with("\n  and more"), "{said}");
        assert_eq!(said.lines().count(), MANIFEST_MISTAKES + 2);
    }
}

#[test]
fn fields_without_effect_are_named_up_to_a_number() {
    let gates = "    resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]\n";
    let containers: String = (0..100).map(|index| format!("  - name: c{index}\n    image: x\n{gates}")).collect();
    let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n{containers}");
    let notes = load_all(&[text]).unwrap().notes;
    let note = notes.iter().find(|note| note.contains("resizePolicy")).unwrap();
    assert!(note.contains("containers[19].resizePolicy and 80 more ("), "{note}");
}

#[test]
fn what_lies_deep_costs_no_more_than_what_does_not() {
    // What tells who wrote which field has keys of any kind.
    let (key, mut indent) = ("k".repeat(1000), String::from("      "));
    let mut fields = String::from("metadata:\n  name: web\n  managedFields:\n  - fieldsV1:\n");
    for _ in 0..40 {
        fields.push_str(&format!("{indent}{key}:\n"));
        indent.push(' ');
    }
    fields.push_str(&format!("{indent}deep: [{}]\n", "{a: 1},".repeat(50_000)));
    assert_eq!(said(&SMALL.replace("metadata: {name: web}\n", &fields)), "");
}
