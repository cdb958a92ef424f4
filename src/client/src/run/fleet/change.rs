//! What becomes of a run whose manifests say something else.

use super::controller::Controller;
use super::{Fleet, FleetInput, RunContext, StopAsked, WishChange};
use crate::manifest::Workload;
use crate::runs::{self, AppliedFiles};

impl Fleet<'_> {
    /// The files say something else, or nothing that can be run; then all stays as it is.
    pub(super) async fn is_told(&mut self, WishChange { wishes, is_asked_for }: WishChange) {
        if self.asked != StopAsked::No {
            return;
        }
        let times = self.applied.take().map_or(self.times(), |applied| applied.times) + u64::from(is_asked_for);
        let mut applied = AppliedFiles { times, ..AppliedFiles::default() };
        let said = match wishes {
            Ok(workloads) => {
                let (unchanged, said) = self.change(workloads).await;
                if is_asked_for {
                    applied.lines.extend(unchanged);
                }
                said
            }
            Err(error) => {
                applied.status = 1;
                vec![format!("what runs stays as it is: {error}")]
            }
        };
        for text in &said {
            self.context.console.note(text.clone()).await;
        }
        applied.lines.extend(said);
        self.applied = Some(applied);
    }

    /// How often somebody has asked to read the files again.
    fn times(&self) -> u64 {
        let RunContext { args, record, .. } = self.context;
        runs::known(&args.dir, &record.id).map_or(0, |run| run.applied(&args.dir).times)
    }

    /// What is wished has changed; what stays as it is, and what is done, in words.
    async fn change(&mut self, workloads: Vec<Workload>) -> (Vec<String>, Vec<String>) {
        let (mut unchanged, mut said) = (Vec::new(), Vec::new());
        self.successors.clear();
        let mut new: Vec<Option<Workload>> = workloads.into_iter().map(Some).collect();
        for index in 0..self.controllers.len() {
            if self.controllers[index].is_over() {
                continue;
            }
            let is_same =
                |wish: &Option<Workload>| wish.as_ref().is_some_and(|wish| self.controllers[index].is_named_as(wish));
            let wish = new.iter().position(is_same).and_then(|at| new[at].take());
            let title = self.controllers[index].title();
            match wish {
                Some(wish) if self.controllers[index].is_for(&wish) && !self.leaving.contains(&index) => {
                    unchanged.push(format!("{title} unchanged"));
                }
                Some(Workload::Deployment(wish)) if !self.leaving.contains(&index) => {
                    let actions = self.controllers[index].change(self.begun.elapsed(), wish);
                    for action in actions {
                        self.carry_out(index, action).await;
                    }
                    said.push(format!("{title} changed"));
                }
                wish => {
                    let done = if wish.is_some() { "replaced" } else { "removed" };
                    // What leaves has been said to go.
                    if wish.is_some() || self.leaving.insert(index) {
                        said.push(format!("{title} {done}"));
                    }
                    self.leaving.insert(index);
                    self.successors.extend(wish.map(|wish| (index, wish)));
                    for (_, pod) in self.pods.iter().filter(|((of, _), _)| *of == index) {
                        pod.stop.ask(StopAsked::Gracefully);
                    }
                    self.feed(index, FleetInput::Stop).await;
                    self.succeed(index).await;
                }
            }
        }
        for wish in new.into_iter().flatten() {
            said.push(format!("{wish} created"));
            self.controllers.push(Controller::new(&wish));
            self.feed(self.controllers.len() - 1, FleetInput::Time).await;
        }
        (unchanged, said)
    }
}
