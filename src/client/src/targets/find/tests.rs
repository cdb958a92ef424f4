//! What is found by whatever names it.

use super::super::samples::{pod, run, whole};
use super::*;

/// The pods by their names, and the runs with what is wanted of them.
fn found(whole: &Whole, words: &[&str]) -> (Vec<String>, Vec<String>, Vec<String>) {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let found = whole.find(Targets { words: &words, ..Targets::default() }, |_| true);
    let pods = found.pods.iter().map(|pod| pod.metadata.clone().unwrap().name).collect();
    let run = |run: &FoundRun| {
        let wanted: Vec<String> = run.wanted.iter().map(ToString::to_string).collect();
        if run.is_whole { run.known.id.clone() } else { format!("{}: {}", run.known.id, wanted.join(", ")) }
    };
    (pods, found.runs.iter().map(run).collect(), [found.problems, found.empty].concat())
}

#[test]
fn everything_is_found_by_whatever_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let whole = whole(dir.path());
    let manifest = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).display().to_string()
    };
    // Under another path.
    let many = manifest("renamed.yaml", "kind: Deployment\nmetadata: {name: many}\n");
    let none = manifest("none.yaml", "kind: Deployment\nmetadata: {name: none}\n");
    type Expected<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str]);
    let cases: &[Expected<'_>] = &[
        (&["web"], &["web"], &["aaaa: default/web"]),
        (&["many"], &["many-1", "many-2"], &["aaaa: deployment default/many"]),
        (&["deployment/many"], &["many-1", "many-2"], &["aaaa: deployment default/many"]),
        (&[&many], &["many-1", "many-2"], &["aaaa: deployment default/many"]),
        // Another one is made in its place.
        (&["many-1"], &["many-1"], &[]),
        (&["many", "web"], &["many-1", "many-2", "web"], &["aaaa"]),
        (&["aaaa"], &["web", "many-1", "many-2"], &["aaaa"]),
        (&["/none/app.yaml"], &["web", "many-1", "many-2"], &["aaaa"]),
        // Of which nothing is there yet.
        (&["work"], &[], &["bbbb"]),
        (&["/none/job.yaml"], &[], &["bbbb"]),
    ];
    for (words, pods, runs) in cases {
        let (found_pods, found_runs, problems) = found(&whole, words);
        assert_eq!((found_pods, found_runs), (owned(pods), owned(runs)), "{words:?}");
        assert_eq!(problems, Vec::<String>::new(), "{words:?}");
    }
    let (_, _, problems) = found(&whole, &["nobody", &none, "/none/other.yaml"]);
    assert!(problems[0].contains("there is no pod, Job, Deployment or run `nobody`"), "{problems:?}");
    assert!(problems[1].contains("cannot read /none/other.yaml") && problems[2] == none, "{problems:?}");
    let all = whole.find(Targets { all: true, ..Targets::default() }, |_| true);
    assert!(all.pods.len() == 3 && all.runs.iter().all(|run| run.is_whole), "{all:?}");
}

#[test]
fn what_is_over_keeps_no_run_that_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut whole = whole(dir.path());
    let many = ["many-1", "many-2"];
    whole.runs[0].1.subjects.workloads[0].is_over = true;
    assert_eq!(found(&whole, &["many"]), (owned(&many), owned(&["aaaa"]), Vec::new()));
    assert_eq!(found(&whole, &["web"]), (owned(&["web"]), owned(&["aaaa: default/web"]), Vec::new()));
    // Where nothing else is left, all has to be named.
    whole.runs[0].1.subjects.workloads[1].is_over = true;
    assert_eq!(found(&whole, &["web"]).1, owned(&["aaaa: default/web"]));
    assert_eq!(found(&whole, &["web", "many"]).1, owned(&["aaaa"]));
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_kubelets_pods_are_of_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let named = |name: &str| NamedWorkload { kind: "Pod".into(), namespace: "default".into(), name: name.into() };
    let file =
        NamedFile { identity: ManifestIdentity::of("/none/pod.yaml"), workloads: vec![named("web"), named("many-1")] };
    assert!(file.has(&pod(dir.path(), ("aa", "web", None), "/none/other.yaml")));
    assert!(file.has(&pod(dir.path(), ("aa", "other", None), "/none/pod.yaml")));
    assert!(!file.has(&pod(dir.path(), ("aa", "other", None), "/none/other.yaml")));
    assert!(!file.has(&pod(dir.path(), ("aa", "many-1", Some("Deployment/many")), "/none/other.yaml")));
    let mut of_kubelet = pod(dir.path(), ("aa", "web", None), "/none/pod.yaml");
    of_kubelet.annotations.insert(labels::KUBELET.to_owned(), "file".to_owned());
    assert!(!file.has(&of_kubelet), "whatever its manifest says");
}

#[test]
fn kept_pods_of_a_name_go_with_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut whole = whole(dir.path());
    let kept = pod(dir.path(), ("cccc", "kept", None), "");
    let kept = v1::PodSandbox { state: v1::PodSandboxState::SandboxNotready.into(), ..kept };
    let mut newer = kept.clone();
    (newer.id, newer.metadata.as_mut().unwrap().uid) = ("newer".into(), "newer".into());
    whole.pods.extend([kept, newer]);
    let words = ["kept".to_owned()];
    let named = Targets { words: &words, ..Targets::default() };
    assert_eq!(whole.find(named, |_| true).pods.len(), 1);
    assert_eq!(whole.find(Targets { all_of_a_name: true, ..named }, |_| true).pods.len(), 2);
}

/// A folder goes by the same words as where it was run, and what was of it goes with it though its files are gone.
#[test]
fn a_folder_is_found_by_its_name_and_when_it_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let folder = std::fs::canonicalize(dir.path()).unwrap().join("ab");
    std::fs::create_dir(&folder).unwrap();
    let (file, path) = (folder.join("a.yaml").display().to_string(), folder.display().to_string());
    let runs = vec![(dir.path().to_owned(), run("aaaa", &[&path], &[("Pod", "a", &file)]))];
    let whole = Whole { pods: vec![pod(dir.path(), ("aaaa", "a", None), &file)], runs, ..Whole::default() };
    let all = (owned(&["a"]), owned(&["aaaa"]), Vec::new());
    assert_eq!(found(&whole, &[&path]), all, "the only file is gone");
    std::fs::write(folder.join("b.yaml"), "kind: Pod\nmetadata: {name: b}\n").unwrap();
    assert_eq!(found(&whole, &[&path]), all, "that file is gone");
    // A word that is a folder where the test runs.
    assert!(Path::new("src").is_dir());
    let (_, _, problems) = found(&whole, &["src"]);
    assert!(problems[0].starts_with("cannot read src: no manifest is in src"), "{problems:?}");
    let mut whole = whole;
    whole.pods.push(pod(dir.path(), ("bbbb", "src", None), "/none/other.yaml"));
    assert_eq!(found(&whole, &["src"]), (owned(&["src"]), Vec::new(), Vec::new()), "what is called so comes first");
}
