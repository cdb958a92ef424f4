//! Every command of the documents is run, each document's on a machine of its own, from its first line to its last;
//! what a document shows is what it prints, and the files that it names can be read.

mod first_screen;
mod machine;
mod scenes;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use machine::{Ended, Machine, checkout};
use peapod_tests::Programs;
use peapod_tests::documents::{Step, Task, shows, spoken, steps};
use scenes::{EVERYWHERE, SCENES, Scene, Way};

/// The text of a document of the checkout.
fn text(name: &str) -> String {
    fs::read_to_string(checkout().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A command without the remark behind it.
fn bare(command: &str) -> &str {
    command.split("  #").next().unwrap_or_default().trim_end()
}

/// One document that is followed.
struct Reading<'a> {
    scene: &'a Scene,
    machine: Machine,
    /// What the scene says and was needed.
    used: BTreeSet<&'a str>,
    heading: String,
}

impl<'a> Reading<'a> {
    fn begin(number: usize, scene: &'a Scene) -> Self {
        Self { scene, machine: Machine::start(number), used: BTreeSet::new(), heading: String::new() }
    }

    fn follow(&mut self, step: &Step) {
        if self.heading != step.heading {
            self.heading.clone_from(&step.heading);
            self.prepare(&step.heading);
        }
        let place = format!("{}:{}", self.scene.document, step.line);
        match &step.task {
            Task::Run(command) => self.carry_out(&place, command, None),
            Task::Show(command, lines) => self.carry_out(&place, command, Some(lines)),
            Task::File(name, content) => self.write(&place, name, content),
        }
    }

    /// What has to be so before the first step below a heading.
    fn prepare(&mut self, heading: &str) {
        let Some((key, what)) = self.scene.given.iter().find(|(at, _)| *at == heading) else { return };
        self.used.insert(key);
        let Ended { code, text } = self.machine.run(&format!("given {what}"));
        assert_eq!(code, 0, "{}: {what}, before \"{heading}\": {text}", self.scene.document);
    }

    fn carry_out(&mut self, place: &str, command: &str, lines: Option<&[String]>) {
        let words = bare(command);
        let own = self.scene.ways.iter().find(|(other, _)| *other == words);
        if let Some((key, _)) = own {
            self.used.insert(key);
        }
        let way = own.or_else(|| EVERYWHERE.iter().find(|(other, _)| *other == words)).map(|(_, way)| way);
        let script = match way {
            None => command.to_owned(),
            Some(Way::Instead(other)) => (*other).to_owned(),
            Some(Way::Typing(input)) => format!("printf '{input}' | script -qec {words:?} /dev/null"),
            Some(Way::Beside(other, until)) => {
                self.machine.run_beside(if other.is_empty() { command } else { other });
                format!("until {until} >/dev/null 2>&1; do sleep 0.1; done")
            }
        };
        let Ended { code, text } = self.machine.run(&script);
        match lines {
            None => assert_eq!(code, 0, "{place}: `{words}` fails:\n{text}"),
            Some(lines) => assert!(shows(lines, &text), "{place}: `{words}` shows:\n{text}"),
        }
    }

    /// Writes a file, and has peapod read it if it is peapod's.
    fn write(&self, place: &str, name: &str, content: &str) {
        let check = match name {
            _ if name.starts_with("/etc/peapod/conf") => "peapod serve --check-config".to_owned(),
            // Wrong on purpose: what is said of it is shown.
            "mistaken.yaml" => "true".to_owned(),
            _ if content.contains("\nkind: Pod\n") => format!("peapod run --explain {name}"),
            _ => "true".to_owned(),
        };
        let script = format!("install -D -m 644 /dev/stdin {name} <<'END' && {check}\n{content}END\n");
        let Ended { code, text } = self.machine.run(&script);
        assert_eq!(code, 0, "{place}: {name}: {text}");
    }
}

fn read(document: &str) {
    let number = SCENES.iter().position(|scene| scene.document == document).expect("a scene");
    let scene = &SCENES[number];
    let steps = steps(&text(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
    let mut reading = Reading::begin(number, scene);
    reading.prepare("");
    for step in &steps {
        reading.follow(step);
    }
    let said = scene.given.iter().map(|(key, _)| *key).chain(scene.ways.iter().map(|(key, _)| *key));
    let idle: Vec<_> = said.filter(|key| !key.is_empty() && !reading.used.contains(key)).collect();
    assert!(idle.is_empty(), "{document} has nothing of this any more: {idle:?}");
}

#[test]
fn readme() {
    read("README.md");
}

#[test]
fn configuration() {
    read("docs/configuration.md");
}

#[test]
fn devices() {
    read("docs/devices.md");
}

#[test]
fn images() {
    read("docs/images.md");
}

#[test]
fn in_place_of_containerd() {
    read("docs/in-place-of-containerd.md");
}

#[test]
fn kubelet() {
    read("docs/kubelet.md");
}

#[test]
fn metrics() {
    read("docs/metrics.md");
}

#[test]
fn pods() {
    read("docs/pods.md");
}

#[test]
fn registries() {
    read("docs/registries.md");
}

#[test]
fn troubleshooting() {
    read("docs/troubleshooting.md");
}

#[test]
fn volumes() {
    read("docs/volumes.md");
}

/// README.md, SECURITY.md and the chapters.
fn documents() -> Vec<String> {
    let chapters = fs::read_dir(checkout().join("docs")).expect("docs/").flatten();
    let mut names: Vec<String> = chapters.map(|entry| format!("docs/{}", entry.file_name().display())).collect();
    names.extend(["README.md", "SECURITY.md"].map(str::to_owned));
    names.sort();
    names
}

#[test]
fn every_document_with_commands_is_read() {
    let has_steps = |name: &String| !steps(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}")).is_empty();
    let wanted: Vec<String> = documents().into_iter().filter(has_steps).collect();
    let mut read: Vec<&str> = SCENES.iter().map(|scene| scene.document).collect();
    read.sort_unstable();
    assert_eq!(wanted, read, "documents with commands, and scenes");
}

#[test]
fn what_a_node_has_no_systemd_for_is_done_in_the_virtual_machine() {
    let real = text("tests/vm/unit.sh");
    for (command, _) in EVERYWHERE.iter().filter(|(command, _)| command.starts_with("systemctl")) {
        assert!(real.contains(command), "tests/vm/unit.sh does not run `{command}`");
    }
}

/// The words of a command of peapod that its help has to know: subcommands and options.
fn known(words: &str) -> (Vec<&str>, Vec<String>) {
    let words: Vec<&str> = words.split(' ').skip(1).take_while(|word| *word != "--").collect();
    let is_name = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let has_two = words.first().is_some_and(|first| matches!(*first, "check" | "generate"));
    let commands = words.iter().take(if has_two { 2 } else { 1 }).take_while(is_name);
    let commands = commands.filter(|word| !word.starts_with('-')).copied().collect();
    let mut options = Vec::new();
    for word in words {
        match (word.starts_with("--"), word.strip_prefix('-')) {
            (true, _) => options.extend(word.split('=').next().map(str::to_owned)),
            (false, Some(letters)) => options.extend(letters.chars().map(|letter| format!("-{letter}"))),
            _ => {}
        }
    }
    (commands, options)
}

#[test]
fn commands_that_the_text_names_are_there() {
    let mut wrong = Vec::new();
    for name in documents() {
        for (line, words) in spoken(&text(&name)) {
            let (commands, options) = known(&words);
            let mut help = Command::new(&Programs::get().peapod);
            let help = help.args(&commands).arg("--help").output().expect("peapod");
            let said = String::from_utf8_lossy(&help.stdout).into_owned();
            let is_known = |option: &String| said.split([' ', ',', '\n']).any(|word| word == option);
            if commands.is_empty() && options.is_empty() || !help.status.success() || !options.iter().all(is_known) {
                wrong.push(format!("{name}:{line}: {words}"));
            }
        }
    }
    assert!(wrong.is_empty(), "peapod does not know: {wrong:#?}");
}
