//! Which containers' logs are read: those that are there, and with `--follow` those that begin and end meanwhile.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peapod_api::v1;
use tokio::sync::mpsc;

use crate::cli::LogsArgs;
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::runs::{self, KnownRun, KnownWorkload};
use crate::select;
use crate::targets::{FoundRun, Whole, is_ready};

/// How late a container's start or end may be seen.
const LOOK: Duration = Duration::from_millis(500);
/// How long a runtime may be away, for an upgrade for example.
const AWAY: Duration = Duration::from_secs(120);

/// A container whose log is read.
pub(crate) struct LoggedContainer {
    pub(super) id: String,
    /// The container's name, behind the pod's if there are several.
    pub(crate) label: String,
    pub(super) path: PathBuf,
    pub(super) ended: bool,
}

/// What the runtime says while logs are followed.
pub(crate) enum Happened {
    Began(LoggedContainer),
    /// The container with that id.
    Ended(String),
    /// All pods have stopped.
    Over,
}

/// Looks at the pods.
pub(crate) struct LogLook<'a> {
    pub(crate) connection: &'a CriClient,
    pub(crate) args: &'a LogsArgs,
    pub(crate) pods: &'a [v1::PodSandbox],
    /// Those that may make further ones of what was named.
    pub(crate) runs: &'a [FoundRun],
}

impl LogLook<'_> {
    /// The last container of each name, or with `--previous` what the one before it left.
    pub(crate) async fn containers(&self) -> anyhow::Result<Vec<LoggedContainer>> {
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

    /// Whether lines need the pod's name.
    fn are_many(&self) -> bool {
        self.pods.len() > 1 || self.args.follow && self.runs.iter().any(makes_pods)
    }

    fn is_wanted(&self, container: &v1::Container) -> bool {
        let wanted = &self.args.containers;
        wanted.is_empty() || wanted.iter().any(|name| name == select::container_name(container))
    }

    async fn told(&self, pod: &v1::PodSandbox, container: &v1::Container) -> anyhow::Result<LoggedContainer> {
        let status = status(self.connection, &container.id).await?;
        let name = select::container_name(container);
        let label = if self.are_many() { format!("{}/{name}", select::pod_label(pod)) } else { name.to_owned() };
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
    pub(crate) async fn go_on(&self, news: mpsc::Sender<Happened>) -> anyhow::Error {
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
        let more = self.runs.iter().any(makes_pods);
        let there = if more { Whole::look(self.connection).await?.pods } else { select::pods(self.connection).await? };
        let runs = |pod: &v1::PodSandbox| there.iter().any(|other| other.id == pod.id && is_ready(other));
        let is_ours = |pod: &&v1::PodSandbox| {
            self.pods.iter().all(|own| own.id != pod.id) && self.runs.iter().any(|run| run.has(pod))
        };
        let (being_made, new): (Vec<_>, Vec<_>) = there.iter().filter(is_ours).partition(|pod| pod.id.is_empty());
        let (mut present, first) = (Vec::new(), known.is_empty());
        let mut go_on = !being_made.is_empty() || self.runs.iter().any(goes_on);
        for pod in self.pods.iter().chain(new) {
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

/// Whether other pods may come of what was named.
fn makes_pods(run: &FoundRun) -> bool {
    run.wanted.iter().any(|workload| workload.kind != "Pod")
}

/// Whether they still may when none is there.
fn goes_on(run: &FoundRun) -> bool {
    runs::known(&run.base, &run.known.id).is_some_and(|known| known.lives && makes_further(run, &known))
}

/// Whether a run, as it is by now, may make further pods of what was named: a Pod by itself is made anew if it was
/// lost.
fn makes_further(run: &FoundRun, known: &KnownRun) -> bool {
    let is_on = |known: &KnownWorkload| !known.is_over && run.wanted.contains(&known.named);
    run.is_whole && makes_pods(run) || known.subjects.workloads.iter().any(is_on)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::Targets;
    use crate::targets::samples::whole;

    #[test]
    fn logs_go_on_as_long_as_a_run_looks_after_what_was_named() {
        let dir = tempfile::tempdir().unwrap();
        let whole = whole(dir.path());
        let further = |word: &str, is_over: [bool; 2]| {
            let words = [word.to_owned()];
            let found = whole.find(Targets { words: &words, ..Targets::default() }, |_| true);
            let mut known = whole.runs[0].1.clone();
            for (workload, is_over) in known.subjects.workloads.iter_mut().zip(is_over) {
                workload.is_over = is_over;
            }
            found.runs.iter().any(|run| makes_further(run, &known))
        };
        // A Pod that is lost comes back, and one that is over does not, whatever goes on beside it.
        assert!(further("web", [false, false]) && !further("web", [true, false]));
        assert!(further("many", [true, false]) && !further("many", [false, true]));
        // One of many is not made anew under its name.
        assert!(!further("many-1", [false, false]));
    }
}
