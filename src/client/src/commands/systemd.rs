//! `peapod generate systemd`: units that run manifests after the daemon, and again after a reboot.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::{ConnectArgs, SystemdArgs};
use crate::manifest::Workload;
use crate::run_files::RunFiles;

/// What ends and removal of a pod take beside its grace.
const BESIDE_GRACE: u32 = 30;

/// Prints the units, or writes them and prints their paths.
pub(crate) fn systemd(connect: &ConnectArgs, args: &SystemdArgs) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("cannot tell where peapod is")?;
    let (mut printed, endpoint) = (String::new(), connect.said());
    for file in &args.files {
        let about = || format!("cannot write a unit for {}", file.display());
        anyhow::ensure!(file.as_os_str() != "-", "a unit runs a file: standard input is gone when it starts");
        let workloads = RunFiles::new(std::slice::from_ref(file))?.read().with_context(about)?.workloads;
        let (file, dir) = (std::path::absolute(file)?, std::path::absolute(&args.dir)?);
        let unit = UnitFile {
            program: &program,
            endpoint: endpoint.as_deref(),
            file: &file,
            dir: &dir,
            workloads: &workloads,
        };
        let (name, text) = (unit.name(), unit.text().with_context(about)?);
        match &args.output {
            Some(folder) => {
                let path = write(folder, &name, &text)?;
                let _ = writeln!(printed, "{}", path.display());
            }
            None => {
                let _ = write!(printed, "# {name}\n{text}\n");
            }
        }
    }
    Ok(printed)
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
    /// That of the only thing that it runs, else that of the file. Names of pods have no character that systemd
    /// escapes.
    fn name(&self) -> String {
        if let [only] = self.workloads {
            let (_, namespace, name) = only.key();
            let namespace = if namespace == "default" { String::new() } else { format!("{namespace}-") };
            return format!("peapod-{namespace}{name}.service");
        }
        let stem = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let stem: String = stem.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        format!("peapod-{stem}.service")
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
# What an end without a goodbye has left, such as that of the machine.
ExecStartPre=-{down}
ExecStart={run}
# The pod's restartPolicy decides over its containers. The unit begins again where peapod itself could not go on.
Restart=on-abnormal
RestartForceExitStatus=125
RestartSec=2
SuccessExitStatus=143
KillMode=mixed
TimeoutStopSec={stop}

[Install]
WantedBy=multi-user.target
",
            down = line(&["down", "--grace", "0", file]),
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
        assert_eq!(unit.name(), "peapod-shop-web.a.service");
        let text = unit.text().unwrap();
        for line in [
            "ExecStart=/usr/bin/peapod --endpoint unix:///run/x.sock run --dir /var/lib/peapod-run \"/srv/my pods/100%%.yaml\"",
            "ExecStartPre=-/usr/bin/peapod --endpoint unix:///run/x.sock down --grace 0 \"/srv/my pods/100%%.yaml\"",
            "TimeoutStopSec=35",
            "After=peapod.service network-online.target",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in:\n{text}");
        }
        let both = UnitFile { workloads: &workloads, ..unit };
        assert_eq!(both.name(), "peapod-100_.service");
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
}
