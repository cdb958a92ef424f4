//! Configuration files, damaged in every way.

use super::problem::Problems;
use super::ready::Config;
use super::{DEFAULT_TEXT, tree};

#[test]
fn configuration_file() {
    // Every commented key, taken literally.
    let keys = DEFAULT_TEXT.lines().filter_map(|line| line.strip_prefix('#').or(Some(line)));
    let keys = keys.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
    let all = keys.collect::<Vec<_>>().join("\n");
    peapod_fuzz::target!("configuration")
        .seeds([all.as_str(), "[log]\nlevel = \"info\"\n"])
        .tokens([
            "[",
            "]",
            "[[",
            "= {a={a=",
            "\"\"\"",
            "= -1\n",
            "= 99999999999999999999\n",
            "= \"x\"\n",
            "= []\n",
            ".",
            "\u{0}",
            "\n",
        ])
        .budget(peapod_fuzz::FuzzBudget { factor: 1024, ..peapod_fuzz::FuzzBudget::default() })
        .check(|input| {
            let problems = Problems::default();
            let tree = tree::parse("file.toml", &String::from_utf8_lossy(input), &problems);
            let config = Config::read(tree, &problems);
            if let Err(error) = problems.into_result(config) {
                assert!(error.problems().iter().all(|problem| !problem.reason.is_empty()), "{error}");
            }
        });
}
