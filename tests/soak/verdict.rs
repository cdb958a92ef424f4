//! What has to hold.

use crate::options::Options;
use crate::report::Report;

/// KiB that a daemon may hold more at the end than in the middle: caches of its allocator differ from moment to moment,
/// and more so in a short run, in which its threads are young.
const DAEMON_GROWTH: u64 = 4 << 10;
const YOUNG_DAEMON_GROWTH: u64 = 8 << 10;
/// Files that a daemon may hold more: connections and pipes of what is just going on. Each of the hundreds of rounds
/// would leave one if one was kept.
const DAEMON_FILES: usize = 24;
/// KiB of memory of shims that only hold their pods: what is mapped, as their mean, and what is the worst one's own or
/// its share of what they have in common.
const IDLE_SHIMS: u64 = 2 << 10;
const IDLE_SHARE: u64 = 512;
/// KiB of memory of a shim that runs a dozen commands at a time.
const BUSY_SHIM: u64 = 2560;
/// KiB that a shim may hold more at the end than in the middle: the most that it had to do at once differs a little.
const SHIM_GROWTH: u64 = 128;
/// Milliseconds of 99 of 100 lists.
const LISTS: f64 = 5.0;

/// Prints each promise and whether it was kept; answers whether all were.
pub(crate) fn print(report: &Report, options: &Options) -> bool {
    let mut kept = (0, 0);
    let mut check = |what: String, holds: bool| {
        println!("{} {what}", if holds { "kept  " } else { "BROKEN" });
        if holds { kept.0 += 1 } else { kept.1 += 1 }
    };
    let errors: usize = report.log.errors().values().map(|(count, _)| count).sum();
    check(format!("every call is answered as it should: {errors} errors"), errors == 0);
    let lists = &report.lists;
    let wrong = lists.incomplete + lists.errors.len();
    check(
        format!("every list is complete: {wrong} of {} are not", 2 * lists.pods.len()),
        wrong == 0 && !lists.pods.is_empty(),
    );
    if options.strict {
        let p99 = lists.pods.percentile(99).max(lists.containers.percentile(99));
        let late = lists.late.percentile(99);
        let what = format!(
            "99 of 100 lists take less than {LISTS} ms: {p99:.2}; the machine woke their client up to {late:.2} late"
        );
        check(what, p99 < LISTS);
    }

    for phase in ["loops", "commands"] {
        let [begin, middle, end] =
            ["begin", "middle", "end"].map(|when| report.held(&format!("{phase}, {when}")).daemon);
        let most = middle.rss + if options.strict { DAEMON_GROWTH } else { YOUNG_DAEMON_GROWTH };
        check(format!("{phase}: the daemon's memory is flat: {} KiB of at most {most}", end.rss), end.rss <= most);
        let most = begin.descriptors + DAEMON_FILES;
        check(
            format!("{phase}: the daemon keeps no file: {} of at most {most}", end.descriptors),
            end.descriptors <= most,
        );
    }

    let idle = report.held("idle");
    let (mean, share) = (idle.mean_shim_rss, idle.shims.pss);
    check(format!("idle: shims take less than {IDLE_SHIMS} KiB in the mean: {mean}"), mean < IDLE_SHIMS);
    check(format!("idle: a shim's share is less than {IDLE_SHARE} KiB: {share}"), share < IDLE_SHARE);
    for phase in ["loops", "commands"] {
        let [begin, middle, end] =
            ["begin", "middle", "end"].map(|when| report.held(&format!("{phase}, {when}")).shims);
        check(format!("{phase}: a shim takes less than {BUSY_SHIM} KiB: {}", end.rss), end.rss < BUSY_SHIM);
        let most = middle.anonymous + SHIM_GROWTH;
        check(
            format!("{phase}: a shim's memory is flat: {} KiB of at most {most}", end.anonymous),
            end.anonymous <= most,
        );
        let (now, before) = (end.descriptors, begin.descriptors);
        check(format!("{phase}: a shim keeps no file: {now}, {before} before"), now <= before);
        let (now, before) = (end.children, begin.children);
        check(format!("{phase}: a shim keeps no child: {now}, {before} before"), now <= before);
    }
    check(format!("commands leave nothing: {}", report.left.join(", ")), report.left.is_empty());
    println!("\ncounted {} passed, {} failed", kept.0, kept.1);
    kept.1 == 0
}
