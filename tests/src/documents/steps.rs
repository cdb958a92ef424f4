//! What a document tells to be done.

/// One thing to do, and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// Its line in the document.
    pub line: usize,
    /// The closest heading above it.
    pub heading: String,
    /// What it is.
    pub task: Task,
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Task {
    /// A command that succeeds.
    Run(String),
    /// A command that prints these lines.
    Show(String, Vec<String>),
    /// A file with this content; its name is absolute, or relative to the reader's folder.
    File(String, String),
}

/// All that a document tells to be done, in its order.
///
/// # Errors
/// The first block that says nothing which could be tested, with its line.
pub fn steps(document: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut heading = String::new();
    let mut lines = document.lines().enumerate();
    while let Some((number, text)) = lines.next() {
        if let Some(title) = text.strip_prefix('#') {
            title.trim_start_matches('#').trim().clone_into(&mut heading);
        }
        let Some(language) = text.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let tasks = tasks(language, &block).map_err(|error| format!("line {}: {error}", number + 1))?;
        steps.extend(tasks.into_iter().map(|(at, task)| Step {
            line: number + 2 + at,
            heading: heading.clone(),
            task,
        }));
    }
    Ok(steps)
}

/// The tasks of a block, each with its line there.
fn tasks(language: &str, block: &[&str]) -> Result<Vec<(usize, Task)>, String> {
    match language {
        "sh" => Ok(commands(block).into_iter().map(|(at, command)| (at, Task::Run(command))).collect()),
        "console" => shown(block),
        "toml" | "yaml" | "json" | "ini" => {
            let first = block.first().copied().unwrap_or_default();
            let name = first.strip_prefix("# ").or_else(|| first.strip_prefix("// "));
            let name = name.filter(|name| name.contains('.') && !name.contains(' '));
            let name = name.ok_or("a file's first line is a comment with its name: `# /etc/peapod/config.toml`")?;
            Ok(vec![(0, Task::File(name.to_owned(), block.join("\n") + "\n"))])
        }
        _ => Err(format!("blocks are sh, console, toml, yaml, json or ini, and this is {language:?}")),
    }
}

fn commands(block: &[&str]) -> Vec<(usize, String)> {
    let mut commands: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (at, line) in block.iter().enumerate() {
        match commands.last_mut() {
            Some((_, command)) if goes_on => *command = format!("{command}\n{line}"),
            _ if line.trim().is_empty() || line.starts_with('#') => {}
            _ => commands.push((at, (*line).to_owned())),
        }
        goes_on = line.ends_with('\\');
    }
    commands
}

fn shown(block: &[&str]) -> Result<Vec<(usize, Task)>, String> {
    let mut tasks: Vec<(usize, Task)> = Vec::new();
    for (at, line) in block.iter().enumerate() {
        match (line.strip_prefix("$ "), tasks.last_mut()) {
            (Some(command), _) => tasks.push((at, Task::Show(command.to_owned(), Vec::new()))),
            (None, Some((_, Task::Show(_, output)))) => output.push((*line).to_owned()),
            _ => return Err("a console's first line is `$ ` and a command".to_owned()),
        }
    }
    Ok(tasks)
}

/// The commands of peapod that the text names between backquotes, outside of blocks, with their lines.
#[must_use]
pub fn spoken(document: &str) -> Vec<(usize, String)> {
    let mut is_block = false;
    let mut found = Vec::new();
    for (number, line) in document.lines().enumerate() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            let quoted = line.split('`').skip(1).step_by(2).filter(|words| words.starts_with("peapod "));
            found.extend(quoted.map(|words| (number + 1, words.to_owned())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Task, spoken, steps};

    const DOCUMENT: &str = "\
# Title
Say `peapod ps` and `not this`.
```sh
first                 # with a word
# a remark

second \\
    goes on
```
## Part
```console
$ third
one
two
$ fourth
```
```toml
# /etc/x.toml
key = 1
```
";

    #[test]
    fn steps_are_found_with_their_places() {
        let found = steps(DOCUMENT).expect("a good document");
        let short: Vec<_> = found.iter().map(|step| (step.line, step.heading.as_str(), step.task.clone())).collect();
        let show = |command: &str, output: &[&str]| {
            Task::Show(command.to_owned(), output.iter().map(|line| (*line).to_owned()).collect())
        };
        assert_eq!(
            short,
            [
                (4, "Title", Task::Run("first                 # with a word".to_owned())),
                (7, "Title", Task::Run("second \\\n    goes on".to_owned())),
                (12, "Part", show("third", &["one", "two"])),
                (15, "Part", show("fourth", &[])),
                (18, "Part", Task::File("/etc/x.toml".to_owned(), "# /etc/x.toml\nkey = 1\n".to_owned())),
            ]
        );
        assert_eq!(spoken(DOCUMENT), [(2, "peapod ps".to_owned())]);
    }

    #[test]
    fn what_nobody_could_test_is_refused() {
        for (document, says) in [
            ("```\nplain\n```", "line 1: blocks are"),
            ("\n```toml\nkey = 1\n```", "line 2: a file's first line"),
            ("```console\nno command\n```", "line 1: a console's first line"),
        ] {
            let error = steps(document).expect_err("nothing to test");
            assert!(error.starts_with(says), "{error}");
        }
    }
}
