//! Events: what happens, in one order for all who listen, with the statuses of that moment; and what becomes of
//! listeners that are slow, many, or cut off.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use peapod_tests::{
    Client, Container, Daemon, Options, Pod, default_timeout, on_each_runtime, peapod, peapod_with, v1,
};
use tonic::{Code, Status, Streaming};
use v1::ContainerEventType::{
    ContainerCreatedEvent as Created, ContainerDeletedEvent as Deleted, ContainerStartedEvent as Started,
    ContainerStoppedEvent as Stopped,
};

type Told = (String, v1::ContainerEventType);

/// One who listens.
struct Events(Streaming<v1::ContainerEventResponse>);

impl Events {
    async fn subscribe(client: &Client) -> Result<Self, Status> {
        client.runtime().get_container_events(v1::GetEventsRequest {}).await.map(|answer| Self(answer.into_inner()))
    }

    async fn try_next(&mut self) -> Result<v1::ContainerEventResponse, Status> {
        let next = tokio::time::timeout(default_timeout(), self.0.message()).await.expect("an event in time");
        Ok(next?.expect("the stream goes on"))
    }

    async fn next(&mut self) -> v1::ContainerEventResponse {
        self.try_next().await.unwrap()
    }

    /// So many events, by whom they are about.
    async fn take(&mut self, count: usize) -> Vec<Told> {
        let mut told = Vec::new();
        for _ in 0..count {
            let event = self.next().await;
            let kind = event.container_event_type();
            told.push((event.container_id, kind));
        }
        told
    }

    /// Why it ends, after what is left.
    async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.try_next().await {
                return status;
            }
        }
    }
}

fn client(daemon: &Daemon) -> Client {
    Client::new(daemon.socket())
}

/// What is told of a life of a pod with a container, which begin and end one after the other.
fn whole_life(pod: &Pod<'_>, container: &Container<'_>) -> Vec<Told> {
    let (pod, container) = (pod.id.as_str(), container.id.as_str());
    let life = [
        (pod, Created),
        (pod, Started),
        (container, Created),
        (container, Started),
        (container, Stopped),
        (container, Deleted),
        (pod, Stopped),
        (pod, Deleted),
    ];
    life.map(|(id, kind)| (id.to_owned(), kind)).to_vec()
}

/// What an event says of its container, or of its pod.
fn state(event: &v1::ContainerEventResponse) -> (v1::PodSandboxState, Option<v1::ContainerState>) {
    let pod = event.pod_sandbox_status.as_ref().expect("a pod's status");
    let container = event.containers_statuses.iter().find(|status| status.id == event.container_id);
    (pod.state(), container.map(v1::ContainerStatus::state))
}

#[test]
fn a_life_is_told_to_all_in_order_with_the_statuses_of_each_moment() {
    use v1::ContainerState::{ContainerCreated, ContainerExited, ContainerRunning};
    use v1::PodSandboxState::{SandboxNotready, SandboxReady};
    on_each_runtime(async |daemon| {
        let mut events = Events::subscribe(&client(daemon)).await.unwrap();
        let mut others = Events::subscribe(&client(daemon)).await.unwrap();
        let pod = daemon.pod("told").run().await;
        let container = pod.container("main").sh("exit 3").create().await;
        container.start().await.unwrap();
        container.wait_exit().await;
        container.remove().await.unwrap();
        pod.stop().await.unwrap();
        pod.remove().await.unwrap();
        let mut told = Vec::new();
        for _ in 0..8 {
            told.push(events.next().await);
        }
        let what: Vec<_> =
            told.iter().map(|event| (event.container_id.clone(), event.container_event_type())).collect();
        assert_eq!(what, whole_life(&pod, &container));
        let states: Vec<_> = told.iter().map(state).collect();
        assert_eq!(
            states,
            [
                (SandboxReady, None),
                (SandboxReady, None),
                (SandboxReady, Some(ContainerCreated)),
                (SandboxReady, Some(ContainerRunning)),
                (SandboxReady, Some(ContainerExited)),
                (SandboxReady, None),
                (SandboxNotready, None),
                (SandboxNotready, None),
            ]
        );
        for event in &told {
            let pod = event.pod_sandbox_status.as_ref().unwrap();
            assert_eq!(pod.metadata.as_ref().unwrap().name, "told");
            assert!(!pod.network.as_ref().unwrap().ip.is_empty(), "{event:?}");
        }
        let end = &told[4].containers_statuses[0];
        assert_eq!((end.exit_code, end.reason.as_str()), (3, "Error"));
        assert!(told[3].containers_statuses[0].started_at > 0 && end.finished_at > end.started_at);
        assert!(told.windows(2).all(|pair| pair[0].created_at <= pair[1].created_at), "times are in order");
        assert_eq!(others.take(8).await, what, "all are told the same");
    });
}

#[test]
fn one_that_can_not_start_and_one_that_is_stopped_are_told() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("ends").run().await;
        let broken = pod.container("broken").command(&["/does/not/exist"]).create().await;
        let running = pod.container("running").sh("sleep 1000").start().await;
        let mut events = Events::subscribe(&client(daemon)).await.unwrap();
        events.take(3).await;
        broken.start().await.unwrap_err();
        running.stop(0).await.unwrap();
        let own = |id: &str, kind| (id.to_owned(), kind);
        assert_eq!(events.take(2).await, [own(&broken.id, Stopped), own(&running.id, Stopped)]);
        // With the pod everything goes at once, and each is told by itself.
        pod.remove().await.unwrap();
        let mut told = events.take(4).await;
        assert_eq!(told.pop().unwrap(), own(&pod.id, Deleted));
        assert_eq!(told.remove(0), own(&pod.id, Stopped));
        told.sort();
        let mut gone = [own(&broken.id, Deleted), own(&running.id, Deleted)];
        gone.sort();
        assert_eq!(told, gone);
    });
}

#[test]
fn a_status_is_no_older_than_an_event_and_shows_it() {
    peapod(async |daemon| {
        let mut events = Events::subscribe(&client(daemon)).await.unwrap();
        let pod = daemon.pod("status").run().await;
        let container = pod.container("main").sh("exit 0").start().await;
        let mut last = events.next().await;
        while last.container_event_type() != Stopped {
            last = events.next().await;
        }
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.id.clone(), verbose: false };
        let status = daemon.runtime().pod_sandbox_status(request).await.unwrap().into_inner();
        assert!(status.timestamp >= last.created_at, "{} and {}", status.timestamp, last.created_at);
        assert_eq!(status.containers_statuses, last.containers_statuses);
        assert_eq!(status.status, last.pod_sandbox_status);
        container.remove().await.unwrap();
        assert!(events.next().await.created_at > status.timestamp, "what a status does not show comes after it");
    });
}

#[test]
fn who_comes_back_sees_the_present_first() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("lasting").run().await;
        let over = daemon.pod("over").run().await;
        over.stop().await.unwrap();
        let created = pod.container("created").sh("sleep 1000").create().await;
        let running = pod.container("running").sh("sleep 1000").start().await;
        let ending = pod.container("ending").sh("while [ ! -e /end/now ]; do sleep 0.1; done");
        let signal = daemon.path("end");
        std::fs::create_dir(&signal).unwrap();
        let ending = ending.mount(signal.clone(), "/end").start().await;
        let mut events = Events::subscribe(&client(daemon)).await.unwrap();
        let expected = |ending_is: v1::ContainerEventType| {
            let all = [(&pod.id, Started), (&over.id, Stopped), (&created.id, Created), (&running.id, Started)];
            let all = all.into_iter().chain([(&ending.id, ending_is)]);
            all.map(|(id, kind)| (id.clone(), kind)).collect::<BTreeMap<_, _>>()
        };
        let present = async |events: &mut Events| {
            let told = events.take(5).await;
            // A kubelet keeps of each pod what it heard last, so older sandboxes come first.
            assert_eq!((&told[0].0, &told[4].0), (&pod.id, &over.id), "by age");
            told.into_iter().collect::<BTreeMap<_, _>>()
        };
        assert_eq!(present(&mut events).await, expected(Started));
        daemon.kill().await;
        assert!(matches!(events.end().await.code(), Code::Unknown | Code::Unavailable | Code::Internal));
        // Nobody is there to tell of it.
        std::fs::write(signal.join("now"), "").unwrap();
        peapod_tests::wait_for("it ends", async || {
            let folder = daemon.run_root().join("pods").join(&pod.id).join("containers").join(&ending.id);
            folder.join("exit").exists()
        })
        .await;
        daemon.start_again().await;
        let mut events = Events::subscribe(&client(daemon)).await.unwrap();
        assert_eq!(present(&mut events).await, expected(Stopped));
        // Then it goes on.
        created.start().await.unwrap();
        running.stop(0).await.unwrap();
        let own = |id: &str, kind| (id.to_owned(), kind);
        assert_eq!(events.take(2).await, [own(&created.id, Started), own(&running.id, Stopped)]);
    });
}

#[test]
fn who_is_too_slow_is_told_so_and_begins_again() {
    peapod(async |daemon| {
        let pod = daemon.pod("slow").run().await;
        let long = pod.container("long").sh("sleep 1000");
        let long = long.config(|c| drop(c.annotations.insert("long".to_owned(), "x".repeat(3 << 20)))).create().await;
        let (slow_client, quick_client) = (client(daemon), client(daemon));
        let mut slow = Events::subscribe(&slow_client).await.unwrap();
        let mut quick = Events::subscribe(&quick_client).await.unwrap();
        quick.take(2).await;
        // Each has a record of its own, and no event tells of any: a quick one has nothing to do.
        for shares in 2..40 {
            long.update(|limits| limits.cpu_shares = shares).await.unwrap();
        }
        let refused = slow.end().await;
        assert_eq!(refused.code(), Code::Aborted, "{refused}");
        assert!(refused.message().contains("are lost: begin again"), "{refused}");
        let mut again = Events::subscribe(&slow_client).await.unwrap();
        again.take(2).await;
        long.start().await.unwrap();
        for events in [&mut again, &mut quick] {
            let event = events.next().await;
            assert_eq!((&event.container_id, event.container_event_type()), (&long.id, Started));
            let limits = event.containers_statuses[0].resources.as_ref().unwrap().linux.as_ref().unwrap();
            assert_eq!(limits.cpu_shares, 39, "as of that event");
        }
    });
}

#[test]
fn so_many_may_listen_and_no_more() {
    peapod(async |daemon| {
        let client = client(daemon);
        let mut all = Vec::new();
        let refused = loop {
            match Events::subscribe(&client).await {
                Ok(events) => all.push(events),
                Err(refused) => break refused,
            }
        };
        assert_eq!((all.len(), refused.code()), (32, Code::ResourceExhausted), "{refused}");
        let pod = daemon.pod("heard").run().await;
        for events in &mut all {
            assert_eq!(events.take(1).await, [(pod.id.clone(), Created)]);
        }
        all.pop();
        peapod_tests::wait_for("a place is free", async || Events::subscribe(&client).await.is_ok()).await;
    });
}

/// Longer than an answer may take to be taken, nothing happens.
#[test]
fn a_stream_without_events_stays() {
    peapod_with(&Options::new().set("grpc.transfer_timeout=\"300ms\""), async |daemon| {
        let mut events = Events::subscribe(&client(daemon)).await.unwrap();
        let pod = daemon.pod("quiet").run().await;
        let container = pod.container("main").sh("sleep 2").start().await;
        let told = events.take(5).await;
        assert_eq!(told.last().unwrap(), &(container.id.clone(), Stopped));
    });
}

#[test]
fn a_daemon_that_ends_says_so() {
    peapod(async |daemon| {
        let mut events = Events::subscribe(&client(daemon)).await.unwrap();
        let pod = daemon.pod("ended").run().await;
        events.take(2).await;
        let (ended, ()) = tokio::join!(events.end(), daemon.end(Signal::SIGTERM));
        assert_eq!(ended.code(), Code::Unavailable, "{ended}");
        daemon.start_again().await;
        assert!(pod.is_ready().await);
    });
}
