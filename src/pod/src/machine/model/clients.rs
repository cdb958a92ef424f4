//! The daemon's clients: requests, retries, and their leaving.

use std::path::PathBuf;
use std::sync::Arc;

use peapod_spec::container::Resources;

use super::checks::Asked;
use super::life::{Life, layout};
use crate::id::{ContainerId, PodId};
use crate::listed::Listed;
use crate::machine::{Identity, Input, Machine, NewContainer, Request, Ticket};
use crate::record::PodCgroup;
use crate::samples::{container_spec, pod_spec};

impl Life {
    pub(super) fn run(&mut self, name: &str) {
        if self.machine.is_none() {
            let left = self.world.left();
            assert!(left.is_empty(), "a new pod finds of the one before: {left:?}");
            let identity = Identity {
                id: PodId::parse(&format!("{:064x}", self.next())).expect("an id"),
                spec: Arc::new(pod_spec(name)),
                created_at: self.world.now,
                boot_id: "boot".to_owned(),
                socket: PathBuf::from("/run/s/x"),
                cgroup: PodCgroup::default(),
                layout: layout(),
            };
            self.machine = Some(Machine::new(identity, Listed::new(u64::MAX).recorded(1)));
            self.forgotten = false;
            self.step(Input::Begin);
        }
        self.ask(Asked::Run, Request::Run(Arc::new(pod_spec(name))));
    }

    pub(super) fn create(&mut self, which: usize) {
        let id = ContainerId::parse(&format!("{:064x}", self.next())).expect("an id");
        let name = ["a", "b", "c"][which % 3];
        let spec = container_spec(name, u32::try_from(which / 3 % 2).expect("small"));
        let admitted = Ok(Listed::new(u64::MAX).recorded(1));
        self.ask(Asked::Create, Request::Create(Box::new(NewContainer { id, spec, admitted })));
    }

    pub(super) fn update(&mut self, which: usize) {
        let limit = format!("{}", self.next());
        let mut change = Resources::default();
        change.hugepage_limits.insert(limit.clone(), 1);
        self.ask_of(which, |id| (Asked::Update(id.clone(), limit), Request::Update(id, Box::new(change))));
    }

    pub(super) fn ask_of(&mut self, which: usize, request: impl FnOnce(ContainerId) -> (Asked, Request)) {
        if self.known.is_empty() {
            return;
        }
        // Mostly a recent one.
        let id = self.known[self.known.len() - 1 - which % self.known.len().min(4)].clone();
        let (asked, request) = request(id);
        self.ask(asked, request);
    }

    pub(super) fn ask(&mut self, asked: Asked, request: Request) {
        if self.machine.is_none() || self.forgotten {
            return;
        }
        let ticket = Ticket(self.next());
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
