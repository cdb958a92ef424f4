//! `peapod logs`: what containers of one or several pods wrote, in the order of its times.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use peapod_api::v1;
use tokio::sync::mpsc;

use crate::cli::LogsArgs;
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::console::Console;
use crate::logs::{Joiner, LogFile, LogLine, LogMerge};
use crate::select;
use crate::targets::{self, Targets, is_ready};

/// How late a line may be seen.
const POLL: Duration = Duration::from_millis(100);
/// How late a container's start or end may be seen.
const LOOK: Duration = Duration::from_millis(500);
/// How long a runtime may be away, for an upgrade for example.
const AWAY: Duration = Duration::from_secs(120);

/// A container whose log is read.
struct LoggedContainer {
    id: String,
    /// The container's name, behind the pod's if there are several.
    label: String,
    path: PathBuf,
    ended: bool,
}

/// What the runtime says while logs are followed.
enum Happened {
    Began(LoggedContainer),
    /// The container with that id.
    Ended(String),
    /// All pods have stopped.
    Over,
}

/// Prints what containers wrote; with `--follow` until their pods have stopped.
pub(crate) async fn logs(connection: &CriClient, args: &LogsArgs) -> anyhow::Result<()> {
    let named = Targets { words: &args.pods, files: &[], all: args.all };
    let mut found = targets::find(connection, named, |_| true).await?;
    let pods = std::mem::take(&mut found.pods);
    found.conclude_strictly(Vec::new())?;
    let look = Look { connection, args, pods: &pods };
    let there = look.containers().await?;
    let width = if args.no_prefix { 0 } else { there.iter().map(|told| told.label.len()).max().unwrap_or_default() };
    let (console, writer) = Console::start(width)?;
    let mut printer = Printer { args, console: &console, merge: LogMerge::default(), logs: Vec::new() };
    for told in there {
        printer.add(told, args.tail)?;
    }
    let (news, heard) = mpsc::channel(16);
    let printed = tokio::select! {
        printed = printer.print(heard) => printed,
        error = look.go_on(news) => Err(error),
    };
    drop(console);
    let lost = writer.finish();
    printed?;
    anyhow::ensure!(lost == 0, "not all lines could be written: {lost} are missing");
    Ok(())
}

/// Looks at the pods.
struct Look<'a> {
    connection: &'a CriClient,
    args: &'a LogsArgs,
    pods: &'a [v1::PodSandbox],
}

impl Look<'_> {
    /// The last container of each name, or with `--previous` what the one before it left.
    async fn containers(&self) -> anyhow::Result<Vec<LoggedContainer>> {
        let mut all = Vec::new();
        for pod in self.pods {
            let containers = select::containers(self.connection, pod, &self.args.containers).await;
            // Of several pods, one without containers has nothing to say, and of them not each has each container.
            let containers = match containers {
                Err(select::SelectError::NoContainers { .. }) if self.pods.len() > 1 || self.args.follow => continue,
                Err(select::SelectError::NoContainer { .. }) if self.pods.len() > 1 => {
                    let own = select::containers(self.connection, pod, &[]).await?;
                    let wanted = |c: &v1::Container| self.is_wanted(c);
                    own.into_iter().filter(wanted).collect()
                }
                other => other?,
            };
            for container in containers {
                all.push(self.told(pod, &container).await?);
            }
        }
        let named = self.args.containers.iter().find(|name| !all.iter().any(|told| told.is_called(name)));
        if let Some(name) = named.filter(|_| self.pods.len() > 1) {
            anyhow::bail!("none of these pods has a container `{name}`");
        }
        Ok(all)
    }

    fn is_wanted(&self, container: &v1::Container) -> bool {
        let wanted = &self.args.containers;
        wanted.is_empty() || wanted.iter().any(|name| name == select::container_name(container))
    }

    async fn told(&self, pod: &v1::PodSandbox, container: &v1::Container) -> anyhow::Result<LoggedContainer> {
        let status = status(self.connection, &container.id).await?;
        let name = select::container_name(container);
        let label = if self.pods.len() > 1 { format!("{}/{name}", select::pod_label(pod)) } else { name.to_owned() };
        let mut path = PathBuf::from(status.log_path);
        anyhow::ensure!(path.is_absolute(), "container {label} keeps no log");
        let mut ended = !self.args.follow || has_ended(container.state());
        if self.args.previous {
            path = previous(&path).ok_or_else(|| {
                anyhow::anyhow!("nothing is left of an earlier start of container {label}: it was started once, or its logs were removed")
            })?;
            ended = true;
        }
        Ok(LoggedContainer { id: container.id.clone(), label, path, ended })
    }

    /// With `--follow`, says what happens to the containers; comes back only with an error.
    async fn go_on(&self, news: mpsc::Sender<Happened>) -> anyhow::Error {
        let mut known = Vec::new();
        let mut away: Option<Instant> = None;
        loop {
            match self.look(&mut known, &news).await {
                Ok(true) => away = None,
                Ok(false) => break,
                Err(error) => {
                    let lost = error.downcast_ref::<CallError>().is_some_and(CallError::is_unanswered);
                    if !lost || away.get_or_insert_with(Instant::now).elapsed() > AWAY {
                        return error;
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        // The printer ends when all is printed.
        let _ = news.send(Happened::Over).await;
        std::future::pending().await
    }

    /// One look; whether there will be another one.
    async fn look(&self, known: &mut Vec<(String, bool)>, news: &mpsc::Sender<Happened>) -> anyhow::Result<bool> {
        if !self.args.follow {
            return Ok(false);
        }
        // The pods first: what has stopped starts nothing any more.
        let there = select::pods(self.connection).await?;
        let runs = |pod: &v1::PodSandbox| there.iter().any(|other| other.id == pod.id && is_ready(other));
        let (mut go_on, mut present, first) = (false, Vec::new(), known.is_empty());
        for pod in self.pods {
            go_on |= runs(pod);
            let mut containers = crate::teardown::containers(self.connection, &pod.id).await?;
            containers.sort_by_key(|container| (container.created_at, container.id.clone()));
            for (index, container) in containers.iter().enumerate().filter(|(_, one)| self.is_wanted(one)) {
                present.push(container.id.clone());
                let name = select::container_name(container);
                if first && containers[index + 1..].iter().any(|later| select::container_name(later) == name) {
                    // Of an earlier start, before anybody asked.
                    known.push((container.id.clone(), true));
                    continue;
                }
                let is_over = has_ended(container.state());
                match known.iter_mut().find(|(id, _)| *id == container.id) {
                    Some((_, true)) => {}
                    Some((_, ended)) if is_over => {
                        *ended = true;
                        tell(news, Happened::Ended(container.id.clone())).await;
                    }
                    Some(_) => {}
                    None => match self.told(pod, container).await {
                        Ok(told) => {
                            known.push((container.id.clone(), is_over));
                            tell(news, Happened::Began(told)).await;
                        }
                        // Removed this moment.
                        Err(error) if error.downcast_ref::<CallError>().is_some_and(CallError::is_not_found) => {}
                        Err(error) => return Err(error),
                    },
                }
            }
        }
        for (id, ended) in known.iter_mut().filter(|(id, ended)| !*ended && !present.contains(id)) {
            *ended = true;
            tell(news, Happened::Ended(id.clone())).await;
        }
        Ok(go_on)
    }
}

impl LoggedContainer {
    fn is_called(&self, name: &str) -> bool {
        self.label == name || self.label.rsplit('/').next() == Some(name)
    }
}

async fn tell(news: &mpsc::Sender<Happened>, what: Happened) {
    // Nobody hears when the printer has ended, and this ends with it.
    let _ = news.send(what).await;
}

fn has_ended(state: v1::ContainerState) -> bool {
    matches!(state, v1::ContainerState::ContainerExited | v1::ContainerState::ContainerUnknown)
}

async fn status(connection: &CriClient, id: &str) -> Result<v1::ContainerStatus, CallError> {
    let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    let answer = call("ContainerStatus", QUICK, connection.runtime.clone().container_status(request)).await?;
    Ok(answer.status.unwrap_or_default())
}

/// The log of the start before: kubelets and `peapod run` name them by the number of the start.
fn previous(path: &Path) -> Option<PathBuf> {
    let start: u32 = path.file_name()?.to_str()?.strip_suffix(".log")?.parse().ok()?;
    let before = path.with_file_name(format!("{}.log", start.checked_sub(1)?));
    before.is_file().then_some(before)
}

/// A log that is read.
struct ReadLog {
    told: LoggedContainer,
    file: LogFile,
    joiner: Joiner,
    /// Lines that `--tail` leaves out.
    skip: usize,
    colour: usize,
}

/// Reads the logs and prints their lines.
struct Printer<'a> {
    args: &'a LogsArgs,
    console: &'a Console,
    merge: LogMerge,
    /// By their numbers in `merge`.
    logs: Vec<ReadLog>,
}

impl Printer<'_> {
    fn add(&mut self, told: LoggedContainer, tail: Option<usize>) -> anyhow::Result<()> {
        if self.logs.iter().any(|log| log.told.id == told.id) {
            return Ok(());
        }
        let (mut file, mut skip) = (LogFile::new(&told.path), 0);
        if let Some(tail) = tail {
            skip = count(&mut file).map_err(|error| unreadable(&told.path, &error))?.saturating_sub(tail);
        }
        // A container that is started again keeps its colour.
        let twin = self.logs.iter().find(|log| log.told.label == told.label);
        let names = |logs: &[ReadLog]| logs.iter().map(|log| log.colour + 1).max().unwrap_or_default();
        let colour = twin.map_or_else(|| names(&self.logs), |twin| twin.colour);
        self.merge.add();
        self.logs.push(ReadLog { told, file, joiner: Joiner::default(), skip, colour });
        Ok(())
    }

    /// Until everything is printed or nobody reads any more.
    async fn print(&mut self, mut heard: mpsc::Receiver<Happened>) -> anyhow::Result<()> {
        let mut over = !self.args.follow;
        loop {
            while let Ok(what) = heard.try_recv() {
                match what {
                    Happened::Began(told) => self.add(told, None)?,
                    Happened::Ended(id) => {
                        self.logs.iter_mut().filter(|log| log.told.id == id).for_each(|log| log.told.ended = true);
                    }
                    Happened::Over => {
                        over = true;
                        self.logs.iter_mut().for_each(|log| log.told.ended = true);
                    }
                }
            }
            let more = self.read()?;
            while let Some((log, line)) = self.merge.pop(now()) {
                if !self.show(log, line).await {
                    return Ok(());
                }
            }
            if over && self.merge.is_over() {
                return Ok(());
            }
            if more {
                // Signals and the runtime want their turns.
                tokio::task::yield_now().await;
            } else if tokio::time::timeout(POLL, self.console.closed()).await.is_ok() {
                return Ok(());
            }
        }
    }

    /// Reads on where the merge wants more; whether something came.
    fn read(&mut self) -> anyhow::Result<bool> {
        let mut came = false;
        for (number, log) in self.logs.iter_mut().enumerate() {
            while self.merge.wants(number) {
                // Taken before the read, so that nothing is written after it that it does not stand for.
                let (at, last) = (now(), log.told.ended);
                let raw = log.file.read().map_err(|error| unreadable(&log.told.path, &error))?;
                let at_its_end = raw.is_empty();
                if log.file.turns() > 0 {
                    // They were those of the file that was there first.
                    log.skip = 0;
                }
                let mut lines: Vec<LogLine> = raw.iter().filter_map(|raw| log.joiner.push(raw)).collect();
                if at_its_end && last {
                    lines.extend(log.joiner.rest());
                }
                for line in lines {
                    came = true;
                    let is_old = self
                        .args
                        .since
                        .is_some_and(|since| line.nanoseconds().is_some_and(|written| written < since.nanoseconds));
                    if log.skip > 0 {
                        log.skip -= 1;
                    } else if !is_old {
                        self.merge.push(number, line, at);
                    }
                }
                if at_its_end {
                    self.merge.read_to_its_end(number, at);
                    if last {
                        self.merge.end(number);
                        came = true;
                    }
                    break;
                }
            }
        }
        Ok(came)
    }

    /// Whether somebody still reads.
    async fn show(&self, log: usize, mut line: LogLine) -> bool {
        let Some(log) = self.logs.get(log) else { return true };
        if self.args.timestamps {
            line.text.splice(..0, format!("{} ", line.time).into_bytes());
        }
        let label = if self.args.no_prefix { "" } else { &log.told.label };
        self.console.line(log.colour, label, line.stream, line.text).await
    }
}

fn now() -> i128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or_default()
}

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    anyhow::anyhow!("cannot read the log {}: {error}", path.display())
}

/// How many lines a log has by now; it is read from the first of them on.
fn count(file: &mut LogFile) -> std::io::Result<usize> {
    let (mut joiner, mut count) = (Joiner::default(), 0);
    file.survey(|raw| count += usize::from(joiner.push(raw).is_some()))?;
    Ok(count + joiner.rest().len())
}
