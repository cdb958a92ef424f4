//! Many pods at once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use peapod_tests::{SHELL, at_most, peapod};

const PODS: usize = 12;
const LOOPS: usize = 8;
const ROUNDS: usize = 3;

#[test]
fn pods_come_and_go_beside_others_and_lists_stay_quick() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let stays = join_all((0..PODS).map(async |number| {
            let pod = daemon.pod(&format!("stays-{number}")).run().await;
            for name in ["one", "two"] {
                pod.container(name).sh("sleep 1000").start().await;
            }
        }));
        stays.await;
        let mut lists = Vec::new();
        let mut loops = std::pin::pin!(join_all((0..LOOPS).map(async |number| {
            for round in 0..ROUNDS {
                let pod = daemon.pod(&format!("loop-{number}-{round}")).run().await;
                pod.container("main").sh("sleep 1000").start().await;
                pod.stop().await.unwrap();
                pod.remove().await.unwrap();
            }
        })));
        loop {
            let start = Instant::now();
            tokio::select! {
                _ = &mut loops => break,
                listed = daemon.containers() => {
                    assert!(listed.len() >= 2 * PODS);
                    lists.push(start.elapsed());
                }
            }
        }
        lists.sort_unstable();
        // Far from what it takes, and far from what a list that waits for work would take.
        assert!(lists[lists.len() / 2] < at_most(Duration::from_millis(500)), "{lists:?}");
        assert_eq!((daemon.pods().await.len(), daemon.containers().await.len()), (PODS, 2 * PODS));
    });
}
