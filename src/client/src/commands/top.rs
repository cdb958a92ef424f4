//! `peapod top`: what pods and their containers use.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use peapod_api::v1;
use serde::Serialize;

use crate::cli::{OutputFormat, TopArgs};
use crate::connect::{CriClient, QUICK, call};
use crate::streaming::EndingSignals;
use crate::table::table;
use crate::targets::{self, Targets};
use crate::{labels, units};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(2);
/// Puts the cursor to a terminal's top.
const TOP: &str = "\x1b[H";
/// Clears the rest of a line.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears all below.
const CLEAR_BELOW: &str = "\x1b[J";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodUse {
    id: String,
    name: String,
    namespace: String,
    #[serde(flatten)]
    used: Used,
    processes: Option<u64>,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
    containers: Vec<ContainerUse>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerUse {
    id: String,
    name: String,
    #[serde(flatten)]
    used: Used,
}

/// Of a pod or a container; what the runtime does not tell is missing.
#[derive(Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    /// Thousandths of a processor.
    cpu_millicores: Option<u64>,
    memory_bytes: Option<u64>,
    /// Until the limit; missing without one.
    memory_available_bytes: Option<u64>,
}

/// The last counts of processor time, by id: when, and how much, in nanoseconds.
#[derive(Default)]
struct Counts(BTreeMap<String, (i64, u64)>);

/// Shows it once, or again and again on a terminal.
pub(crate) async fn top(connection: &CriClient, args: &TopArgs) -> anyhow::Result<()> {
    let mut counts = Counts::default();
    if args.no_stream || args.output == OutputFormat::Json || !io::stdout().is_terminal() {
        let pods = look(connection, args, &mut counts).await?;
        let text = if args.output == OutputFormat::Json { super::json(&pods)? } else { shown(&pods) };
        return Ok(super::print(text.as_bytes())?);
    }
    let mut signals = EndingSignals::listen()?;
    // The second look is the first that knows what processors did in between, where the runtime tells only sums.
    loop {
        let looked = unless_ended(&mut signals, look(connection, args, &mut counts)).await;
        let Some(pods) = looked else { return Ok(super::print(b"\n")?) };
        super::print(page(&shown(&pods?), screen()).as_bytes())?;
        if unless_ended(&mut signals, tokio::time::sleep(PERIOD)).await.is_none() {
            return Ok(super::print(b"\n")?);
        }
    }
}

/// What comes of something; nothing if a signal comes first, as while a runtime does not answer.
async fn unless_ended<T>(signals: &mut EndingSignals, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        _ = signals.next() => None,
        done = work => Some(done),
    }
}

/// Rows and columns of the terminal.
fn screen() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let size = size.map(|size| (usize::from(size.ws_row), usize::from(size.ws_col)));
    size.filter(|(rows, columns)| *rows > 1 && *columns > 1).unwrap_or((24, 80))
}

/// As much of a line as stays in its row. Letters that are none of ASCII's may be twice as wide.
fn cut(line: &str, columns: usize) -> &str {
    let mut left = columns - 1;
    for (at, c) in line.char_indices() {
        match left.checked_sub(if c.is_ascii() { 1 } else { 2 }) {
            Some(rest) => left = rest,
            None => return &line[..at],
        }
    }
    line
}

/// As many lines as a screen has, over what stood there.
fn page(text: &str, (rows, columns): (usize, usize)) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (fit, more) = if lines.len() < rows { (lines.len(), 0) } else { (rows - 2, lines.len() + 2 - rows) };
    let row = |line: &str| format!("{}{CLEAR_LINE}\n", cut(line, columns));
    let mut page: Vec<String> = lines[..fit].iter().map(|line| row(line)).collect();
    if more > 0 {
        page.push(row(&format!("and {more} lines more: name pods to see them")));
    }
    format!("{TOP}{}{CLEAR_BELOW}", page.concat())
}

async fn look(connection: &CriClient, args: &TopArgs, counts: &mut Counts) -> anyhow::Result<Vec<PodUse>> {
    let named = Targets { words: &args.pods, all: args.pods.is_empty(), ..Targets::default() };
    let mut found = targets::find(connection, named, targets::is_ready).await?;
    let pods = std::mem::take(&mut found.pods);
    found.conclude_strictly(Vec::new())?;
    let request = v1::ListPodSandboxStatsRequest { filter: None };
    let list = call("ListPodSandboxStats", QUICK, connection.runtime.clone().list_pod_sandbox_stats(request)).await?;
    let mut stats: BTreeMap<String, v1::PodSandboxStats> = BTreeMap::new();
    for pod in list.stats {
        stats.insert(pod.attributes.as_ref().map(|known| known.id.clone()).unwrap_or_default(), pod);
    }
    Ok(pods.into_iter().map(|pod| pod_use(&stats.remove(&pod.id).unwrap_or_default(), pod, counts)).collect())
}

fn pod_use(stats: &v1::PodSandboxStats, pod: v1::PodSandbox, counts: &mut Counts) -> PodUse {
    let metadata = pod.metadata.unwrap_or_default();
    let linux = stats.linux.clone().unwrap_or_default();
    let network = linux.network.and_then(|network| network.default_interface);
    let value = |value: Option<v1::UInt64Value>| value.map(|value| value.value);
    let mut containers: Vec<ContainerUse> = linux.containers.iter().map(|stats| container_use(stats, counts)).collect();
    containers.sort_by(|one, other| one.name.cmp(&other.name));
    PodUse {
        used: counts.used(&pod.id, linux.cpu.as_ref(), linux.memory.as_ref()),
        id: pod.id,
        name: metadata.name,
        namespace: metadata.namespace,
        processes: linux.process.and_then(|process| value(process.process_count)),
        received_bytes: network.as_ref().and_then(|network| value(network.rx_bytes)),
        sent_bytes: network.as_ref().and_then(|network| value(network.tx_bytes)),
        containers,
    }
}

fn container_use(stats: &v1::ContainerStats, counts: &mut Counts) -> ContainerUse {
    let attributes = stats.attributes.clone().unwrap_or_default();
    let named = attributes.labels.get(labels::CONTAINER).cloned();
    let name = named.unwrap_or_else(|| attributes.metadata.map(|metadata| metadata.name).unwrap_or_default());
    let used = counts.used(&attributes.id, stats.cpu.as_ref(), stats.memory.as_ref());
    ContainerUse { id: attributes.id, name, used }
}

impl Counts {
    /// What processors did since the last look; else what the runtime says that they do.
    fn used(&mut self, id: &str, cpu: Option<&v1::CpuUsage>, memory: Option<&v1::MemoryUsage>) -> Used {
        let sum = cpu.and_then(|cpu| Some((cpu.timestamp, cpu.usage_core_nano_seconds.as_ref()?.value)));
        let before = sum.and_then(|sum| self.0.insert(id.to_owned(), sum));
        let since = before.zip(sum).and_then(|((then, before), (now, after))| {
            let nanoseconds = u64::try_from(now.checked_sub(then)?).ok().filter(|time| *time > 0)?;
            let used = u128::from(after.checked_sub(before)?) * 1000 / u128::from(nanoseconds);
            u64::try_from(used).ok()
        });
        let told = cpu.and_then(|cpu| Some(cpu.usage_nano_cores.as_ref()?.value / 1_000_000));
        let value = |value: &Option<v1::UInt64Value>| value.as_ref().map(|value| value.value);
        Used {
            cpu_millicores: since.or(told),
            memory_bytes: memory.and_then(|memory| value(&memory.working_set_bytes)),
            // Without a limit some runtimes tell what the node has left.
            memory_available_bytes: memory.and_then(|memory| value(&memory.available_bytes)).filter(|free| *free > 0),
        }
    }
}

/// A row for each pod, and below it one for each container.
fn shown(pods: &[PodUse]) -> String {
    let head = ["POD", "CONTAINER", "CPU", "MEMORY", "OF", "PROCESSES", "RECEIVED", "SENT"];
    let rows: Vec<Vec<String>> = pods
        .iter()
        .flat_map(|pod| {
            let name =
                if pod.namespace == "default" { pod.name.clone() } else { format!("{}/{}", pod.namespace, pod.name) };
            let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
            let size = |size: Option<u64>| size.map_or("-".to_owned(), units::bytes);
            let mut own = vec![name, String::new()];
            own.extend(used(&pod.used));
            own.extend([number(pod.processes), size(pod.received_bytes), size(pod.sent_bytes)]);
            let containers = pod
                .containers
                .iter()
                .map(|container| [vec![String::new(), container.name.clone()], used(&container.used)].concat());
            std::iter::once(own).chain(containers).collect::<Vec<_>>()
        })
        .collect();
    table(&head, &rows)
}

fn used(used: &Used) -> Vec<String> {
    let size = |size: Option<u64>| size.map_or("-".to_owned(), units::bytes);
    let limit = used.memory_bytes.zip(used.memory_available_bytes).map(|(used, free)| used.saturating_add(free));
    let cpu = used.cpu_millicores.map_or("-".to_owned(), |cores| format!("{cores}m"));
    vec![cpu, size(used.memory_bytes), size(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(timestamp: i64, sum: u64, now: Option<u64>) -> v1::CpuUsage {
        v1::CpuUsage {
            timestamp,
            usage_core_nano_seconds: Some(v1::UInt64Value { value: sum }),
            usage_nano_cores: now.map(|value| v1::UInt64Value { value }),
            psi: None,
        }
    }

    #[test]
    fn processors_between_two_looks() {
        let mut counts = Counts::default();
        let second = 1_000_000_000;
        let first = counts.used("a", Some(&cpu(second, 5_000_000_000, None)), None);
        assert_eq!(first.cpu_millicores, None);
        let told = counts.used("b", Some(&cpu(second, 0, Some(250_000_000))), None);
        assert_eq!(told.cpu_millicores, Some(250));
        let then = counts.used("a", Some(&cpu(3 * second, 8_000_000_000, Some(1))), None);
        assert_eq!(then.cpu_millicores, Some(1500));
        // Counted anew: the container was started again under its id, or the runtime counts nothing new.
        assert_eq!(counts.used("a", Some(&cpu(4 * second, 0, Some(7_000_000))), None).cpu_millicores, Some(7));
        assert_eq!(counts.used("a", Some(&cpu(4 * second, 0, None)), None).cpu_millicores, None);
    }

    #[test]
    fn a_pod_stands_above_its_containers() {
        let containers = vec![ContainerUse { id: "c".into(), name: "main".into(), used: Used::default() }];
        let used =
            Used { cpu_millicores: Some(12), memory_bytes: Some(1_000_000), memory_available_bytes: Some(3_000_000) };
        let pod = PodUse {
            id: "p".into(),
            name: "web".into(),
            namespace: "default".into(),
            used,
            processes: Some(3),
            received_bytes: Some(10),
            sent_bytes: None,
            containers,
        };
        let text = shown(&[pod]);
        assert_eq!(
            text,
            "POD   CONTAINER   CPU   MEMORY   OF       PROCESSES   RECEIVED   SENT\n\
             web               12m   1.0 MB   4.0 MB   3           10 B       -\n      \
             main        -     -        -\n"
        );
        assert_eq!(page(&text, (24, 80)).matches('\n').count(), 3);
        assert!(page(&text, (3, 80)).contains("and 2 lines more"), "{}", page(&text, (3, 80)));
        // A row of the screen each, however narrow that is.
        for columns in 2..100 {
            let page = page(&text, (3, columns));
            let rows = page.trim_start_matches(TOP).trim_end_matches(CLEAR_BELOW).lines();
            let longest = rows.map(|row| row.trim_end_matches(CLEAR_LINE).len()).max();
            assert!(longest.unwrap() < columns, "{columns}: {page:?}");
        }
    }

    #[test]
    fn lines_are_cut_where_a_row_ends() {
        for (line, shown) in [
            ("abcd", "abcd"),
            ("abcde", "abcd"),
            ("", ""),
            ("ab\u{4e2d}\u{4e2d}", "ab\u{4e2d}"),
            ("abc\u{4e2d}", "abc"),
        ] {
            assert_eq!(cut(line, 5), shown);
        }
    }

    #[test]
    fn numbers_of_a_runtime_may_be_any() {
        let most = Used { cpu_millicores: None, memory_bytes: Some(u64::MAX), memory_available_bytes: Some(1) };
        assert_eq!(used(&most).len(), 3);
        let mut counts = Counts::default();
        counts.used("a", Some(&cpu(i64::MIN, 0, None)), None);
        assert_eq!(counts.used("a", Some(&cpu(i64::MAX, 9, None)), None).cpu_millicores, None);
    }

    #[tokio::test]
    async fn a_runtime_that_does_not_answer_holds_up_no_signal() {
        let mut signals = EndingSignals::listen().unwrap();
        assert_eq!(unless_ended(&mut signals, async { 1 }).await, Some(1));
        let raise = async {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR2).unwrap();
            std::future::pending::<u32>().await
        };
        assert_eq!(unless_ended(&mut signals, raise).await, None);
    }
}
