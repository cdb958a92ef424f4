//! The tables.

use peapod_tests::Samples;

use crate::call_log::CallLog;
use crate::holdings::Holdings;
use crate::lists::Found;
use crate::options::Options;

/// Everything that was seen.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) log: CallLog,
    pub(crate) lists: Found,
    /// In the order of time.
    pub(crate) holdings: Vec<(&'static str, Holdings)>,
    /// What commands left.
    pub(crate) left: Vec<String>,
}

impl Report {
    pub(crate) fn held(&self, when: &str) -> Holdings {
        self.holdings.iter().find(|(name, _)| *name == when).map(|(_, held)| *held).unwrap_or_default()
    }
}

pub(crate) fn print(report: &Report, options: &Options) {
    println!(
        "\n{} pods of {} containers stay, {} loops for {} s, {} commands in {} pods, {}",
        options.pods,
        options.containers,
        options.loops,
        options.seconds,
        options.execs,
        options.exec_pods,
        options.runtime
    );
    println!(
        "\n{:<26}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "calls, ms", "waited", "p50", "p99", "most", "retried", "given up"
    );
    for (name, calls) in report.log.calls() {
        row(name, &calls.times, &format!("{:>10}{:>10}", calls.retried, calls.given_up));
    }
    row("ListPodSandbox", &report.lists.pods, "");
    row("ListContainers", &report.lists.containers, "");
    row("a pause between, too late", &report.lists.late, "");

    println!("\nerrors");
    for ((name, code), (count, words)) in report.log.errors() {
        println!("  {count:>6} {name}: {code}, the first: {words}");
    }
    for error in &report.lists.errors {
        println!("         list: {error}");
    }
    if report.log.errors().is_empty() && report.lists.errors.is_empty() {
        println!("  none");
    }

    let head = format!("{:>9}{:>9}{:>9}{:>7}{:>9}{:>10}", "RSS", "PSS", "anonym.", "files", "threads", "children");
    println!("\n{:<20}{:^53}    {:^53}", "KiB, counts", "daemon", "the most of the shims of these pods");
    println!("{:<20}{head}    {head}", "");
    for (name, held) in &report.holdings {
        let cells = [held.daemon, held.shims].map(|one| {
            let memory = format!("{:>9}{:>9}{:>9}", one.rss, one.pss, one.anonymous);
            format!("{memory}{:>7}{:>9}{:>10}", one.descriptors, one.threads, one.children)
        });
        println!("{name:<20}{}    {}", cells[0], cells[1]);
    }
    println!();
}

fn row(name: &str, times: &Samples, more: &str) {
    let [p50, p99, most] = [50, 99, 100].map(|percent| times.percentile(percent));
    println!("{name:<26}{:>8}{p50:>10.2}{p99:>10.2}{most:>10.2}{more}", times.len());
}
