//! The variables of a container when it starts: pure, with what is known as arguments.

use std::collections::BTreeMap;

use super::facts::LaunchFacts;
use crate::manifest::{Container, EnvSource, expand};

/// The variables of the files that a container's variables are read from, by volume and path.
pub(super) type EnvFiles = BTreeMap<(String, String), BTreeMap<String, String>>;

/// Why a variable has no value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EnvError {
    #[error("variable {name}: the file {path} of volume {volume} has no {key}")]
    NoKey { name: String, volume: String, path: String, key: String },
}

/// What is wrong with a file of variables.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {text}")]
pub(crate) struct EnvSyntaxError {
    line: usize,
    text: &'static str,
}

/// All variables in their order; of equal names the last value counts, in the place of the first.
pub(super) fn resolve(
    container: &Container,
    facts: &LaunchFacts<'_>,
    files: &EnvFiles,
) -> Result<Vec<(String, String)>, EnvError> {
    let mut resolved: Vec<(String, String)> = Vec::new();
    for variable in &container.process.env {
        let value = match &variable.source {
            EnvSource::Text(text) => expand(text, &resolved),
            EnvSource::Plain(text) => text.clone(),
            EnvSource::Field(field) => facts.field(field),
            EnvSource::Amount(amount) => facts.amount(amount, Some(container)),
            EnvSource::File { volume, path, key, optional } => {
                match files.get(&(volume.clone(), path.clone())).and_then(|file| file.get(key)) {
                    Some(value) => value.clone(),
                    None if *optional => continue,
                    None => {
                        let (name, volume, path) = (variable.name.clone(), volume.clone(), path.clone());
                        return Err(EnvError::NoKey { name, volume, path, key: key.clone() });
                    }
                }
            }
        };
        match resolved.iter_mut().find(|(name, _)| *name == variable.name) {
            Some((_, old)) => *old = value,
            None => resolved.push((variable.name.clone(), value)),
        }
    }
    Ok(resolved)
}

/// Reads a file of variables: lines of `NAME='value'`, in which a value may go over several lines, and comments.
pub(super) fn parse_file(text: &str) -> Result<BTreeMap<String, String>, EnvSyntaxError> {
    let mut variables = BTreeMap::new();
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() {
        let (first, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = first.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            (rest, line) = (after, line + 1);
            continue;
        }
        let wrong = |text| EnvSyntaxError { line, text };
        let (name, value) = rest.split_once('=').ok_or_else(|| wrong("there is no `=` behind a name"))?;
        let name = name.trim_start();
        let is_name = |name: &str| {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if !is_name(name) {
            return Err(wrong("a name has letters, digits and underscores, and stands right before the `=`"));
        }
        let value = value.strip_prefix('\'').ok_or_else(|| wrong("a value stands in single quotes"))?;
        let (value, behind) = value.split_once('\'').ok_or_else(|| wrong("the quote is not closed"))?;
        let (behind, after) = behind.split_once('\n').unwrap_or((behind, ""));
        if !behind.trim().is_empty() && !behind.trim_start().starts_with('#') {
            return Err(wrong("something stands behind the closing quote"));
        }
        variables.insert(name.to_owned(), value.to_owned());
        (rest, line) = (after, line + 1 + value.matches('\n').count());
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_variables() {
        let text = "# one\n\n A='1'  # behind\nB='two\nlines'\nA_2=''\nB='again'";
        let read = parse_file(text).unwrap();
        let all: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(all, [("A", "1"), ("A_2", ""), ("B", "again")]);
        for (text, line) in
            [("\nA", 2), ("A=1", 1), ("A='1", 1), ("A='x\ny'\nB='2' C", 3), ("1A='2'", 1), ("A ='1'", 1)]
        {
            assert!(parse_file(text).is_err_and(|error| error.line == line), "{text}");
        }
    }
}
