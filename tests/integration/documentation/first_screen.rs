//! What README.md promises of its first screen: how soon the page answers, and that it goes on answering while the
//! daemon is killed below the pod, and comes back.

use std::time::Duration;

use peapod_tests::at_most;

use super::machine::{Ended, Machine};

/// With the images there, from `peapod run` to the page.
const FIRST_PAGE: Duration = Duration::from_secs(3);

/// Behind those of the documents.
const NUMBER: usize = 50;

/// What a script prints, which has to succeed.
fn done(machine: &Machine, script: &str) -> String {
    let Ended { code, text } = machine.run(script);
    assert_eq!(code, 0, "{script}\n{text}");
    text
}

#[test]
fn the_page_comes_soon_and_stays_while_the_daemon_dies() {
    let machine = Machine::start(NUMBER);
    done(&machine, "unit start; for image in nginx:alpine busybox:1; do peapod pull $image; done");
    let milliseconds = done(
        &machine,
        "begin=$(date +%s%3N)
        peapod run -d examples/web.yaml 2>/dev/null
        until curl -fs http://127.0.0.1:8080/ >/dev/null; do sleep 0.01; done
        echo $(($(date +%s%3N) - begin))",
    );
    let took = Duration::from_millis(milliseconds.trim().parse().expect("milliseconds"));
    assert!(took < at_most(FIRST_PAGE), "the first page came after {took:?}");

    let why = done(&machine, "peapod why web");
    for stage in ["RunPodSandbox default/web", " shim", " network", "StartContainer default/web", "runtime create crun"]
    {
        assert!(why.contains(stage), "no {stage}:\n{why}");
    }

    // Each page is asked for by a connection of its own; one that fails ends the script.
    let asked = done(
        &machine,
        "set -e
        known() { pgrep -x nginx; pgrep -f '^[^ ]*containerd-shim-peapod-v1'; peapod ps -o json | grep '\"id\"'; }
        before=$(known) pages=0
        page() { curl -fsS -m 2 http://127.0.0.1:8080/ >/dev/null; pages=$((pages + 1)); }
        page
        pkill -9 -f 'peapod serve'
        peapod ps >/dev/null & asks=$!
        while kill -0 $asks 2>/dev/null; do page; done
        wait $asks
        page
        test \"$before\" = \"$(known)\"
        echo $pages",
    );
    assert!(asked.trim().parse::<u32>().expect("pages") > 2, "{asked}");
    done(&machine, "peapod down examples/web.yaml");
    done(
        &machine,
        "until [ -z \"$(pgrep -f '^[^ ]*containerd-shim'; ls /var/run/netns; peapod ps -a -o json | grep -v '^\\[\\]$')\" ]; do
            sleep 0.05
        done",
    );
}
