//! The daemon's clients: requests, retries, and their leaving.

use std::path::PathBuf;
use std::sync::Arc;

use peapod_spec::container::Resources;
use peapod_spec::pod::PodResources;

use super::checks::Asked;
use super::facts::Facts;
use super::simulation::{Simulation, layout};
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::listed::Listed;
use crate::machine::{Identity, Input, Machine, NewContainer, Request, Ticket};
use crate::parent_kind::ParentKind;
use crate::record::PodCgroup;
use crate::samples::{container_spec, pod_spec};

impl Simulation {
    pub(super) fn run(&mut self, name: &str) {
        if self.machine.is_none() {
            let left = self.world.left();
            assert!(left.is_empty(), "a new pod finds of the one before: {left:?}");
            // Every second life is that of a pod with a cgroup of its own.
            let kind = if self.weak.is_multiple_of(2) { ParentKind::Own } else { ParentKind::Shared };
            let identity = Identity {
                id: PodId::parse(&format!("{:064x}", self.next())).expect("an id"),
                spec: Arc::new(pod_spec(name)),
                created_at: self.world.now,
                boot_id: "boot".to_owned(),
                socket: PathBuf::from("/run/s/x"),
                cgroup: PodCgroup { kind, ..PodCgroup::default() },
                categories: None,
                layout: layout(),
            };
            self.machine = Some(Machine::new(identity, Listed::new(u64::MAX).recorded(1)));
            (self.facts, self.forgotten) = (Facts::default(), false);
            self.step(Input::Begin);
        }
        self.ask(Asked::Run, Request::Run(Arc::new(pod_spec(name))));
    }

    pub(super) fn create(&mut self, which: usize) {
        let id = ContainerId::parse(&format!("{:064x}", self.next())).expect("an id");
        let name = ["a", "b", "c"][which % 3];
        let spec = container_spec(name, u32::try_from(which / 3 % 2).expect("small"));
        let admitted = if which.is_multiple_of(17) { Err(no_room()) } else { Ok(Listed::new(u64::MAX).recorded(1)) };
        self.ask(Asked::Create, Request::Create(Box::new(NewContainer { id, spec, admitted })));
    }

    pub(super) fn start(&mut self, which: usize) {
        let room = if which.is_multiple_of(17) { Err(no_room()) } else { Ok(()) };
        self.ask_of(which, |id| (Asked::Start(id.clone()), Request::Start(id, room)));
    }

    pub(super) fn stop(&mut self, which: usize) {
        let deadline = self.world.now + [0, 50, 1_000_000][which / 7 % 3];
        self.ask_of(which, |id| (Asked::Stop(id.clone()), Request::Stop(id, deadline)));
    }

    pub(super) fn update(&mut self, which: usize) {
        let limit = format!("{}", self.next());
        let mut change = Resources::default();
        change.hugepage_limits.insert(limit.clone(), 1);
        self.ask_of(which, |id| (Asked::Update(id.clone(), limit), Request::Update(id, Box::new(change))));
    }

    pub(super) fn update_pod(&mut self) {
        let cpu_shares = i64::try_from(self.next()).expect("small");
        let resources = Some(Resources { cpu_shares, ..Resources::default() });
        let told = PodResources { resources, ..PodResources::default() };
        self.ask(Asked::UpdatePod(cpu_shares), Request::UpdatePod(Box::new(told)));
    }

    pub(super) fn ask_of(&mut self, which: usize, request: impl FnOnce(ContainerId) -> (Asked, Request)) {
        // Mostly of one that exists, else of a recent one.
        let existing = self.tried.containers.keys();
        let of: Vec<_> =
            if which % 8 != 7 && existing.len() != 0 { existing.collect() } else { self.known.iter().collect() };
        if !of.is_empty() {
            let id = of[of.len() - 1 - which / 8 % of.len().min(3)].clone();
            let (asked, request) = request(id);
            self.ask(asked, request);
        }
    }

    pub(super) fn ask(&mut self, asked: Asked, request: Request) {
        if self.machine.is_none() || self.forgotten {
            return;
        }
        let ticket = Ticket(self.next());
        self.facts.ask(&asked);
        self.waiting.insert(ticket, asked);
        self.step(Input::Request(ticket, request));
    }

    pub(super) fn leave(&mut self, which: usize) {
        let Some(ticket) = self.waiting.keys().nth(which % self.waiting.len().max(1)).copied() else { return };
        self.waiting.remove(&ticket);
        self.answered.insert(ticket);
        self.step(Input::Left(vec![ticket]));
    }
}

fn no_room() -> Error {
    Error::Failed { step: "look for room".to_owned(), reason: "made to fail".to_owned() }
}
