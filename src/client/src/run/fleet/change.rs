//! What becomes of a run whose manifests say something else.

use super::controller::Controller;
use super::{Fleet, FleetInput, RunContext, StopAsked, WishChange};
use crate::manifest::{Workload, WorkloadChange};
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
                let (unchanged, said) = self.change(workloads, is_asked_for).await;
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
    async fn change(&mut self, workloads: Vec<Workload>, is_asked_for: bool) -> (Vec<String>, Vec<String>) {
        let (mut unchanged, mut said) = (Vec::new(), Vec::new());
        self.successors.clear();
        let mut new: Vec<Option<Workload>> = workloads.into_iter().map(Some).collect();
        for index in 0..self.controllers.len() {
            let controller = &self.controllers[index];
            let is_same = |wish: &Option<Workload>| wish.as_ref().is_some_and(|wish| controller.is_named_as(wish));
            let at = new.iter().position(is_same);
            if controller.is_over() {
                unchanged.extend(self.over(index, at.map(|at| &mut new[at]), is_asked_for));
                continue;
            }
            let title = controller.title();
            let wish = at.and_then(|at| new[at].take());
            let change =
                wish.as_ref().filter(|_| !self.leaving.contains(&index)).map(|wish| controller.change_to(wish));
            match (change, wish) {
                (Some(WorkloadChange::Nothing), _) => unchanged.push(format!("{title} unchanged")),
                (Some(WorkloadChange::Files), Some(wish)) => {
                    self.controllers[index].adopt(wish);
                    self.renew_files(index);
                    said.push(format!("{title} updated; its pods go on, and get the new files"));
                }
                (Some(WorkloadChange::Pods), Some(Workload::Deployment(wish))) => {
                    let actions = self.controllers[index].change(self.begun.elapsed(), wish);
                    for action in actions {
                        self.carry_out(index, action).await;
                    }
                    self.renew_files(index);
                    said.push(format!("{title} changed"));
                }
                (_, wish) => {
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

    /// What has ended by itself is not begun again because something else has changed; only if it is another one now,
    /// was not wished meanwhile, or was cut short and somebody asks. What there is to say of it.
    fn over(&mut self, index: usize, wish: Option<&mut Option<Workload>>, is_asked_for: bool) -> Option<String> {
        let controller = &self.controllers[index];
        let is_past = self.controllers[index + 1..].iter().any(|later| later.is_twin_of(controller));
        if is_past || self.leaving.contains(&index) {
            return None;
        }
        let Some(wish) = wish else {
            self.leaving.insert(index);
            return None;
        };
        let is_same = wish.as_ref().is_some_and(|wish| controller.change_to(wish) != WorkloadChange::Pods);
        if !is_same || is_asked_for && controller.was_cut() {
            return None;
        }
        let title = controller.title();
        self.controllers[index].adopt(wish.take()?);
        Some(format!("{title} unchanged; it has ended"))
    }

    /// Tells the pods of a controller which files their volumes are to have, as far as they are what it wants by now.
    fn renew_files(&self, index: usize) {
        for (_, pod) in self.pods.iter().filter(|((of, _), _)| *of == index) {
            let wished = self.controllers[index].pod(pod.action);
            if let Some(wished) = wished.filter(|wished| wished.fixed() == pod.pod.fixed()) {
                pod.volumes.wish(wished.volumes);
            }
        }
    }
}
