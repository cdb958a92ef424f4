//! Arguments of commands that are about several pods.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{DEFAULT_RUN_DIR, OutputFormat, RUN_DIR_VARIABLE, absolute};

/// Arguments of `peapod apply`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Pods of a `peapod run`, also one with -d, are replaced one by one where their manifests have \
changed, and it comes back when all are ready. Where nothing of the files runs yet it is `peapod run -d`. A run that was \
killed is gone on with, of all its files and with its options; what has ended is run once more only after `peapod down`.")]
pub struct ApplyArgs {
    /// Pod manifests, or folders of them, as they were given to `peapod run`.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where logs and emptyDir volumes of running pods are kept.
    #[arg(long, env = RUN_DIR_VARIABLE, value_name = "DIR", default_value = DEFAULT_RUN_DIR, value_parser = absolute())]
    pub dir: PathBuf,
}

impl ApplyArgs {
    /// The words of a `peapod run -d` of these files, with its options in words.
    pub(crate) fn words(&self, endpoint: Option<&str>, options: Vec<OsString>, files: &[PathBuf]) -> Vec<OsString> {
        let endpoint = endpoint.map(|endpoint| [OsString::from("--endpoint"), endpoint.into()]);
        let words = endpoint.into_iter().flatten().chain(["run", "--detach"].map(OsString::from));
        let words = words.chain(options).chain(["--dir".into(), self.dir.clone().into_os_string(), "--".into()]);
        words.chain(files.iter().map(|file| file.clone().into_os_string())).collect()
    }
}

/// Arguments of `peapod logs`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Lines of several containers come in the order of their times. Of a log that was rotated all \
files are read that are there and not compressed.")]
pub struct LogsArgs {
    /// Pods: name, `namespace/name`, or the start of the id. Or manifests, of whose pods it shows the logs.
    #[arg(value_name = "POD|FILE", required_unless_present = "all")]
    pub pods: Vec<String>,
    /// Only containers of this name; may be given several times.
    #[arg(short, long = "container", value_name = "NAME")]
    pub containers: Vec<String>,
    /// The logs of all pods.
    #[arg(long)]
    pub all: bool,
    /// Goes on printing, also those of containers that are started again, until the pods have stopped.
    #[arg(short, long)]
    pub follow: bool,
    /// Starts with the last N lines of each container.
    #[arg(short = 'n', long, value_name = "N")]
    pub tail: Option<usize>,
    /// Only lines that were written since then: a time such as 2026-11-28T12:00:00Z, or how long ago, such as 90s or
    /// 1h30m.
    #[arg(long, value_name = "TIME|DURATION")]
    pub since: Option<Since>,
    /// What the containers wrote before they were started for the last time.
    #[arg(short, long, conflicts_with = "follow")]
    pub previous: bool,
    /// Shows when each line was written.
    #[arg(short, long)]
    pub timestamps: bool,
    /// Lines as they were written, without the container's name.
    #[arg(long)]
    pub no_prefix: bool,
}

/// A moment of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// In nanoseconds since 1970.
    pub(crate) nanoseconds: i128,
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write a time such as 2026-11-28T12:00:00Z, or how long ago, such as 90s, 10m, 1h30m or 2d";
        if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
            return Ok(Self { nanoseconds: time.unix_timestamp_nanos() });
        }
        let ago = duration(text).ok_or_else(wrong)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Self { nanoseconds: nanoseconds(now) - nanoseconds(ago) })
    }
}

fn nanoseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX / 2)
}

/// Numbers with units, the largest first or not.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut sum) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| digits + length);
        let seconds = match &rest[digits..unit] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(sum)
}

/// Arguments of `peapod top`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "On a terminal it is shown anew every two seconds, until Ctrl-C. Processors are in thousandths \
of one: 1500m are one and a half. Memory is what can't be reclaimed easily, as kubectl top shows it."
)]
pub struct TopArgs {
    /// Pods: name, `namespace/name`, or the start of the id. Or manifests. Default: all.
    #[arg(value_name = "POD|FILE")]
    pub pods: Vec<String>,
    /// Once, also on a terminal.
    #[arg(long)]
    pub no_stream: bool,
    /// Form of the output; JSON comes once.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Arguments of `peapod stop`.
#[derive(Args, Clone, Debug)]
pub struct StopArgs {
    /// Pods, Jobs, Deployments: name or `namespace/name`. Pods and runs: the start of the id. Or manifests.
    #[arg(value_name = "POD|FILE", required_unless_present_any = ["files", "all"])]
    pub pods: Vec<String>,
    /// The pods of this manifest, or of all in this folder; may be given several times.
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// All pods that `peapod run` made and that run.
    #[arg(short, long)]
    pub all: bool,
    /// Seconds before what still runs is killed. Default: what the pod's manifest says, or 30.
    #[arg(short, long, value_name = "SECONDS")]
    pub grace: Option<u32>,
}

/// Arguments of `peapod rm`.
#[derive(Args, Clone, Debug)]
pub struct RmArgs {
    /// Pods, Jobs, Deployments: name or `namespace/name`. Pods and runs: the start of the id. Or manifests.
    #[arg(value_name = "POD|FILE", required_unless_present_any = ["files", "all"])]
    pub pods: Vec<String>,
    /// The pods of this manifest, or of all in this folder; may be given several times.
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// All pods that `peapod run` made and that have stopped; with --force those that run as well.
    #[arg(short, long)]
    pub all: bool,
    /// Kills what still runs.
    #[arg(short, long)]
    pub force: bool,
}

/// Arguments of `peapod down`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "That nothing of a manifest runs is no error: then there is nothing to do.")]
pub struct DownArgs {
    /// Manifests, folders of them. Or pods, Jobs, Deployments: name or `namespace/name`. Pods, runs: an id's start.
    #[arg(value_name = "FILE|POD", required_unless_present_any = ["files", "all"])]
    pub pods: Vec<String>,
    /// The pods of this manifest, or of all in this folder; may be given several times.
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// All pods that `peapod run` made.
    #[arg(short, long)]
    pub all: bool,
    /// Seconds before what still runs is killed. Default: what the pod's manifest says, or 30.
    #[arg(short, long, value_name = "SECONDS")]
    pub grace: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_past() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("0s", 0)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "5", "5x", "1h30", "-1s", "1.5h", "99999999999999999999s", "18446744073709551615d"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
        let at: Since = "2026-01-01T00:00:00+01:00".parse().unwrap();
        assert_eq!(at.nanoseconds, 1_767_222_000_000_000_000);
        let now = nanoseconds(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap());
        let ago = now - "1m".parse::<Since>().unwrap().nanoseconds;
        assert!((55..=61).contains(&(ago / 1_000_000_000)), "{ago}");
    }
}
