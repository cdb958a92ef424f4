//! The machine of a reader: a node inside the tests' own, with peapod installed in its usual places.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use peapod_tests::{Programs, at_most};

/// Longer than any command of a document takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A node that ends when this is dropped, with all that is in it.
pub(crate) struct Machine {
    name: String,
    address: String,
    dir: PathBuf,
    beside: Vec<Child>,
}

/// What a command ended with.
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// Both of its outputs, as a terminal shows them.
    pub(crate) text: String,
}

impl Machine {
    /// Starts one. Of a number there is one at a time.
    pub(crate) fn start(number: usize) -> Self {
        let name = format!("reader{number}");
        let dir = Programs::get().node.join(&name);
        let machine = Self { address: format!("10.88.0.{}", 150 + number), dir, name, beside: Vec::new() };
        assert!(machine.node().arg("up").status().expect("node.sh").success(), "no node");
        fs::create_dir(machine.folder()).expect("the reader's folder");
        let Ended { code, text } = machine.run(&format!("exec {}", tests().join("documents/setup.sh").display()));
        assert_eq!(code, 0, "{text}");
        machine
    }

    /// Where the reader is.
    fn folder(&self) -> PathBuf {
        self.dir.join("reader")
    }

    fn node(&self) -> Command {
        let mut command = Command::new(tests().join("node.sh"));
        let variables = [("NODE", &self.name), ("NODE_ADDRESS", &self.address)];
        command.envs(variables).env("NODE_DIR", &self.dir).env("PEAPOD_CHECKOUT", checkout()).stdin(Stdio::null());
        // What a reader has not set.
        for name in ["PEAPOD_ENDPOINT", "PEAPOD_RUN_DIR", "CONTAINER_RUNTIME_ENDPOINT"] {
            command.env_remove(name);
        }
        command
    }

    /// A script that bash reads from a file, and what it writes into.
    fn script(&self, text: &str) -> (Command, PathBuf) {
        let number = fs::read_dir(&self.dir).expect("the node's folder").count();
        let (script, output) = (self.dir.join(format!("{number}.sh")), self.dir.join(format!("{number}.txt")));
        fs::write(&script, text).expect("the script");
        let out = File::create(&output).expect("the output");
        let mut command = self.node();
        let limit = at_most(LIMIT).as_secs().to_string();
        command.current_dir(self.folder()).args(["run", "timeout", "--kill-after=5", &limit, "bash"]).arg(script);
        command.stdout(out.try_clone().expect("a descriptor")).stderr(out);
        (command, output)
    }

    /// Runs a script of bash to its end.
    pub(crate) fn run(&self, text: &str) -> Ended {
        let (mut command, output) = self.script(text);
        let status = command.status().expect("node.sh");
        let text = fs::read(output).expect("the output");
        Ended { code: status.code().unwrap_or(-1), text: String::from_utf8_lossy(&text).into_owned() }
    }

    /// Starts one that stays.
    pub(crate) fn run_beside(&mut self, text: &str) {
        let (mut command, _) = self.script(text);
        self.beside.push(command.spawn().expect("node.sh"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With its PID 1 all ends that runs in it.
        let _ = self.node().arg("down").status();
        for child in &mut self.beside {
            let _ = child.wait();
        }
    }
}

/// The checkout.
pub(crate) fn checkout() -> &'static Path {
    tests().parent().expect("tests/ is in the checkout")
}

/// The folder of the tests.
fn tests() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
