//! A container's own task: it waits for the end, kills at the deadline, records, closes the log, tells.

use std::sync::Arc;
use std::time::Duration;

use peapod_shim_protocol::exit::Exit;
use peapod_shim_protocol::extension::Exited;
use peapod_shim_protocol::extension::event::Kind;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::create::Parts;
use super::oom::Oom;
use super::{Container, Phase, process, record};
use crate::clock;
use crate::core::Core;
use crate::log;
use crate::reaper::Ended;

/// Processes that are not gone so long after KILL are named.
const EMPTY: Duration = Duration::from_secs(5);
/// How long something outside the container may hold its output open.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);
/// Between two looks at a group, and between two KILLs.
const AGAIN: Duration = Duration::from_millis(5);
/// From here on a look every so often is enough.
const SLOWLY: Duration = Duration::from_millis(100);
/// A process that hangs in the kernel (a dead server's file system) may do so for days.
const SELDOM: Duration = Duration::from_secs(1);

pub(crate) async fn run(core: Arc<Core>, container: Arc<Container>, mut parts: Parts) {
    let ended = until_ended(&container, parts.ended, &mut parts.oom).await;
    parts.oom.look();
    container.interrupt();
    let killed = container.stop.borrow().left().is_some_and(|left| left.is_zero());
    // What `start` says comes first.
    let mut phase = container.phase.subscribe();
    let failed =
        phase.wait_for(|phase| *phase != Phase::Starting).await.is_ok_and(|phase| *phase == Phase::StartFailed);
    empty(&container).await;
    let exit = Exit {
        code: ended.code,
        signal: ended.signal,
        oom: parts.oom.verdict(&container.id, &ended, killed),
        started_at: container.started_at(),
        finished_at: ended.at.max(container.started_at()),
    };
    if !failed && let Err(error) = record::exit(&container.bundle, &exit) {
        log::error("a container's end can't be written down", &[("container", &container.id), ("error", &error)]);
    }
    drain(&container, parts.output).await;
    if let Some(input) = parts.input {
        input.abort();
    }
    container.close_stdin();
    container.phase.send_replace(Phase::Exited);
    if !failed {
        let exited = Exited {
            code: exit.code,
            signal: exit.signal.unwrap_or(0),
            oom: exit.oom,
            started_at: exit.started_at,
            finished_at: exit.finished_at,
            ..Exited::default()
        };
        core.events.push(&container.id, Kind::Exited(exited));
    }
    container.exit.send_replace(Some(exit));
}

/// Waits for the first process; sends KILL at the deadline, and again until it is heard.
async fn until_ended(container: &Container, mut ended: oneshot::Receiver<Ended>, oom: &mut Oom) -> Ended {
    let mut stop = container.stop.subscribe();
    let lost = || Ended { code: 255, signal: None, at: clock::now_ns() };
    loop {
        let left = stop.borrow_and_update().left();
        let deadline = async {
            match left {
                Some(left) => sleep(left.max(Duration::ZERO)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = &mut ended => return ended.unwrap_or_else(|_| lost()),
            // The sender is the container's.
            _ = stop.changed() => {}
            () = oom.note() => {}
            () = deadline => {
                container.interrupt();
                if let Err(error) = container.kill_group() {
                    log::warn("a container can't be killed", &[("container", &container.id), ("error", &error)]);
                }
                if let Ok(ended) = timeout(SLOWLY, &mut ended).await {
                    return ended.unwrap_or_else(|_| lost());
                }
            }
        }
    }
}

/// Kills what is left and waits until the group is empty, however long that takes: a container has not ended before.
async fn empty(container: &Container) {
    let Some(cgroup) = &container.cgroup else { return };
    let start = Instant::now();
    let mut told = false;
    while !cgroup.is_empty().unwrap_or(true) {
        if let Err(error) = cgroup.kill() {
            log::warn("a container's group can't be killed", &[("container", &container.id), ("error", &error)]);
        }
        let waited = start.elapsed();
        if waited > EMPTY && !told {
            told = true;
            for pid in cgroup.pids().unwrap_or_default() {
                let stuck = process::wait_channel(pid);
                log::warn("a process won't die", &[("container", &container.id), ("process", &stuck)]);
            }
        }
        let pause = match waited {
            _ if told => SELDOM,
            waited if waited > SLOWLY => SLOWLY,
            _ => AGAIN,
        };
        sleep(pause).await;
    }
}

/// Reads the output to its end.
async fn drain(container: &Container, output: Option<JoinHandle<()>>) {
    let Some(mut output) = output else { return };
    if timeout(DRAIN, &mut output).await.is_err() {
        output.abort();
        // An aborted task has ended before anybody is told of the exit.
        let _ = output.await;
        log::warn("something outside holds a container's output open", &[("container", &container.id)]);
    }
}
