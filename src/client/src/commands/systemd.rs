//! `peapod generate systemd`: units that run manifests after the daemon, and again after a reboot.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use peapod_text::one_line;

use crate::cli::{ConnectArgs, SystemdArgs};
use crate::manifest::Workload;
use crate::manifest_files::located;
use crate::run_files::RunFiles;

/// What ends and removal of a pod take beside its grace.
const BESIDE_GRACE: u32 = 30;

/// The most of a unit that is looked at.
const LONGEST_UNIT: u64 = 1 << 20;

/// A unit to be.
struct MadeUnit {
    name: String,
    text: String,
    /// The file that it runs, as it stands in its command line.
    runs: String,
}

/// Prints the units, or writes them and prints their paths. None is written if one can't be.
pub(crate) fn systemd(connect: &ConnectArgs, args: &SystemdArgs) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("cannot tell where peapod is")?;
    let (mut units, endpoint) = (Vec::<MadeUnit>::new(), connect.said());
    for file in &args.files {
        let about = || format!("cannot write a unit for {}", file.display());
        anyhow::ensure!(file.as_os_str() != "-", "a unit runs a file: standard input is gone when it starts");
        let workloads = RunFiles::new(std::slice::from_ref(file))?.read().with_context(about)?.workloads;
        let (file, dir) = (located(file), std::path::absolute(&args.dir)?);
        let unit = UnitFile {
            program: &program,
            endpoint: endpoint.as_deref(),
            file: &file,
            dir: &dir,
            workloads: &workloads,
        };
        let made = unit.made().with_context(about)?;
        if let Some(other) = units.iter().find(|other| other.name == made.name) {
            let (name, one, two) = (&made.name, &other.runs, &made.runs);
            anyhow::bail!(
                "the units of {one} and {two} would both be called {name}: rename one of the files, or what it runs"
            );
        }
        units.push(made);
    }
    let mut printed = String::new();
    match &args.output {
        Some(folder) => {
            for unit in &units {
                unit.is_free(&folder.join(&unit.name))?;
            }
            for unit in &units {
                let path = write(folder, &unit.name, &unit.text)?;
                let _ = writeln!(printed, "{}", path.display());
            }
        }
        None => {
            for MadeUnit { name, text, .. } in &units {
                let _ = write!(printed, "# {name}\n{text}\n");
            }
        }
    }
    Ok(printed)
}

impl MadeUnit {
    /// Whether nothing is there, or what was made of the same file before.
    fn is_free(&self, path: &Path) -> anyhow::Result<()> {
        let mut there = String::new();
        match File::open(path).and_then(|file| file.take(LONGEST_UNIT).read_to_string(&mut there)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => drop(read.with_context(|| format!("cannot read {}", path.display()))?),
        }
        let runs = there.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap_or("nothing");
        anyhow::ensure!(
            runs.ends_with(&format!(" {}", self.runs)),
            "{} runs something else ({}): remove it first, or write the unit of {} into another folder",
            path.display(),
            one_line(runs),
            self.runs
        );
        Ok(())
    }
}

/// Whole or not at all.
fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let (path, own) = (folder.join(name), folder.join(format!(".{name}.{}", std::process::id())));
    let written = std::fs::write(&own, text).and_then(|()| std::fs::rename(&own, &path));
    if written.is_err() {
        // Not there, or of no use.
        let _ = std::fs::remove_file(&own);
    }
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

struct UnitFile<'a> {
    program: &'a Path,
    /// Where it was said to be, if it was.
    endpoint: Option<&'a str>,
    file: &'a Path,
    dir: &'a Path,
    workloads: &'a [Workload],
}

impl UnitFile<'_> {
    fn made(&self) -> anyhow::Result<MadeUnit> {
        let runs = quoted(self.file.to_str().context("its path is no text")?);
        Ok(MadeUnit { name: self.name()?, text: self.text()?, runs })
    }

    /// That of the only thing that it runs, else that of the file. Names of pods have no character that systemd
    /// escapes, and no `_`, so that no two of them lead to one name.
    fn name(&self) -> anyhow::Result<String> {
        if let [only] = self.workloads {
            let (_, namespace, name) = only.key();
            let namespace = if namespace == "default" { String::new() } else { format!("{namespace}_") };
            return Ok(format!("peapod-{namespace}{name}.service"));
        }
        let whole = match self.file.file_name() {
            Some(_) => self.file.to_owned(),
            // Such as `..`.
            None => self.file.canonicalize()?,
        };
        let stem = whole.file_stem().context("a unit can't be named after the root: name a folder in it")?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let stem: String = stem.to_string_lossy().chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        Ok(format!("peapod-{stem}.service"))
    }

    /// What it runs, in words.
    fn about(&self) -> String {
        match self.workloads {
            [only @ Workload::Pod(_)] => format!("Pod {only}"),
            all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }
    }

    fn text(&self) -> anyhow::Result<String> {
        let (about, grace) = (self.about(), self.workloads.iter().map(Workload::grace_seconds).max());
        let mut program = vec![self.program.to_str().context("peapod's own path is no text")?];
        if let Some(endpoint) = self.endpoint {
            program.extend(["--endpoint", endpoint]);
        }
        let file = self.file.to_str().context("its path is no text")?;
        let dir = self.dir.to_str().context("the path of the run directory is no text")?;
        let line = |rest: &[&str]| program.iter().chain(rest).map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        // What is printed goes to the journal with the unit's name.
        Ok(format!(
            "[Unit]
Description={about}, run by peapod
Documentation=man:peapod-run(1)
Wants=peapod.service network-online.target
After=peapod.service network-online.target

[Service]
Type=exec
# What an end without a goodbye has left: it has its grace, as it may run on.
ExecStartPre=-{down}
ExecStart={run}
# The pod's restartPolicy decides over its containers. The unit begins again where peapod itself could not go on.
Restart=on-abnormal
RestartForceExitStatus=125
RestartSec=2
SuccessExitStatus=143
KillMode=mixed
TimeoutStartSec={stop}
TimeoutStopSec={stop}

[Install]
WantedBy=multi-user.target
",
            down = line(&["down", file]),
            run = line(&["run", "--dir", dir, file]),
            stop = grace.unwrap_or_default().saturating_add(BESIDE_GRACE),
        ))
    }
}

/// A word of a command line as systemd reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '%' => text.push_str("%%"),
            '$' => text.push_str("$$"),
            '\n' => text.push_str("\\n"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(text, "\\x{byte:02x}");
                }
            }
            c => text.push(c),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web.a, namespace: shop}, spec: \
                       {terminationGracePeriodSeconds: 5, containers: [{name: a, image: x}]}}";

    #[test]
    fn a_unit() {
        let workload = |text: &str| crate::manifest::read_workload(text).unwrap();
        let workloads = [workload(POD), workload(&POD.replace("web.a", "other").replace("Seconds: 5", "Seconds: 9"))];
        let unit = UnitFile {
            program: Path::new("/usr/bin/peapod"),
            endpoint: Some("unix:///run/x.sock"),
            file: Path::new("/srv/my pods/100%.yaml"),
            dir: Path::new("/var/lib/peapod-run"),
            workloads: &workloads[..1],
        };
        assert_eq!(unit.name().unwrap(), "peapod-shop_web.a.service");
        let text = unit.text().unwrap();
        for line in [
            "ExecStart=/usr/bin/peapod --endpoint unix:///run/x.sock run --dir /var/lib/peapod-run \"/srv/my pods/100%%.yaml\"",
            "ExecStartPre=-/usr/bin/peapod --endpoint unix:///run/x.sock down \"/srv/my pods/100%%.yaml\"",
            "TimeoutStartSec=35",
            "TimeoutStopSec=35",
            "After=peapod.service network-online.target",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in:\n{text}");
        }
        let both = UnitFile { workloads: &workloads, ..unit };
        assert_eq!(both.name().unwrap(), "peapod-100_.service");
        let text = both.text().unwrap();
        assert!(text.contains("Description=shop/web.a, shop/other, run by") && text.contains("StopSec=39"), "{text}");
    }

    #[test]
    fn words_as_systemd_reads_them() {
        for (word, expected) in [
            ("/a/b-c.yaml", "/a/b-c.yaml"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            (r#"$x"\"#, r#""$$x\"\\""#),
            ("a\nb\u{1b}", r#""a\nb\x1b""#),
            (";", r#"";""#),
        ] {
            assert_eq!(quoted(word), expected, "{word:?}");
        }
    }

    #[test]
    fn a_file_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), "a.service", "one").unwrap();
        write(dir.path(), "a.service", "two").unwrap();
        assert_eq!(
            (std::fs::read_to_string(path).unwrap().as_str(), dir.path().read_dir().unwrap().count()),
            ("two", 1)
        );
        assert!(write(&dir.path().join("none"), "a.service", "").is_err());
    }

    /// A folder with manifests of one pod each: path, namespace, name.
    fn manifests(pods: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, namespace, name) in pods {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = POD.replace("web.a", name).replace("namespace: shop", &format!("namespace: {namespace}"));
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn generated(dir: &Path, files: &[&str], output: Option<&Path>) -> Result<String, String> {
        let files = files.iter().map(|file| dir.join(file)).collect();
        let args = SystemdArgs { files, output: output.map(Path::to_owned), dir: "/var/lib/peapod-run".into() };
        systemd(&ConnectArgs::default(), &args).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn no_two_units_have_one_name() {
        let dir = manifests(&[
            ("1.yaml", "default", "shop-web"),
            ("2.yaml", "shop", "web"),
            ("3.yaml", "a-b", "c"),
            ("4.yaml", "a", "b-c"),
            ("x/pods/1.yaml", "default", "one"),
            ("x/pods/2.yaml", "default", "two"),
            ("y/pods/1.yaml", "default", "three"),
            ("y/pods/2.yaml", "default", "four"),
        ]);
        let text = generated(dir.path(), &["1.yaml", "2.yaml", "3.yaml", "4.yaml"], None).unwrap();
        let names: Vec<&str> = text.lines().filter(|line| line.starts_with("# peapod-")).collect();
        assert_eq!(names, ["shop-web", "shop_web", "a-b_c", "a_b-c"].map(|name| format!("# peapod-{name}.service")));
        for twice in [["x/pods", "y/pods"], ["1.yaml", "1.yaml"]] {
            let out = tempfile::tempdir().unwrap();
            let refused = generated(dir.path(), &twice, Some(out.path())).unwrap_err();
            assert!(refused.contains("would both be called peapod-"), "{refused}");
            assert_eq!(out.path().read_dir().unwrap().count(), 0);
        }
        let up = generated(dir.path(), &["x/pods/.."], None);
        assert!(up.unwrap_err().contains("no manifest is in"));
        let up = generated(dir.path(), &["x/pods/../../y/pods/."], None).unwrap();
        assert!(up.starts_with("# peapod-pods.service\n"), "{up}");
        std::fs::create_dir(dir.path().join("y/pods/below")).unwrap();
        let up = generated(dir.path(), &["y/pods/below/.."], None).unwrap();
        assert!(up.starts_with("# peapod-pods.service\n"), "{up}");
    }

    #[test]
    fn a_unit_of_something_else_stays() {
        let dir = manifests(&[("x/a.yaml", "default", "web"), ("y/a.yaml", "default", "web")]);
        let out = tempfile::tempdir().unwrap();
        let unit = out.path().join("peapod-web.service");
        generated(dir.path(), &["x/a.yaml"], Some(out.path())).unwrap();
        generated(dir.path(), &["y/../x/./a.yaml"], Some(out.path())).unwrap();
        let refused = generated(dir.path(), &["y/a.yaml"], Some(out.path())).unwrap_err();
        assert!(refused.contains("/x/a.yaml): remove it first"), "{refused}");
        assert!(std::fs::read_to_string(&unit).unwrap().contains("/x/a.yaml"));
        std::fs::write(&unit, "[Unit]\n").unwrap();
        let refused = generated(dir.path(), &["x/a.yaml"], Some(out.path())).unwrap_err();
        assert!(refused.contains("runs something else (nothing)"), "{refused}");
    }
}
