//! What becomes of a run whose manifests say something else.

use std::collections::BTreeSet;

use super::controller::Controller;
use super::pulls::ChangePulls;
use super::{Fleet, FleetInput, OWN_FAILURE, RunContext, StopAsked, WishChange};
use crate::manifest::{Workload, WorkloadChange};
use crate::manifest_files::NamedWorkload;
use crate::runs::{self, AppliedFiles};

/// Why something else is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeReason {
    /// A file was saved.
    Saved,
    /// Somebody waits for what becomes of it.
    Applied,
}

/// What became of the last change, for who waits for that.
pub(super) enum LastChange<'a> {
    /// There was none, or nothing of it is left to tell.
    Told,
    /// Its images come first.
    Pulling(ChangePulls<'a>),
    /// It can't be: what runs stays as it is.
    Refused(AppliedFiles),
    /// It is told once all is ready again.
    Settling(AppliedFiles),
}

/// How often the files were to be read again, with a change; whether somebody waits for what becomes of it; and what
/// became so far of another one that others wait for.
type AskedChange = (u64, bool, Option<AppliedFiles>);

impl LastChange<'_> {
    /// Waits for the images of a change, if there is one that needs some.
    pub(super) async fn pulled(&mut self) -> Result<(), String> {
        match self {
            Self::Pulling(pulls) => pulls.done().await,
            _ => std::future::pending().await,
        }
    }

    /// How often the files were to be read again, if nobody was told of it yet.
    fn untold_times(&self) -> Option<u64> {
        match self {
            Self::Told => None,
            Self::Pulling(pulls) => Some(pulls.times),
            Self::Refused(applied) | Self::Settling(applied) => Some(applied.times),
        }
    }

    /// What became so far of a change that is under way.
    pub(super) fn so_far(&mut self) -> Option<&mut AppliedFiles> {
        match self {
            Self::Settling(applied) => Some(applied),
            Self::Pulling(pulls) => pulls.before.as_mut(),
            Self::Told | Self::Refused(_) => None,
        }
    }
}

impl Fleet<'_> {
    /// The files say something else, or nothing that can be run; then all stays as it is.
    pub(super) async fn is_told(&mut self, change: WishChange) {
        if self.asked != StopAsked::No {
            return;
        }
        match change {
            WishChange::Left(named) => self.let_go(&named).await,
            WishChange::Wished { wishes, reason } => {
                let is_asked_for = reason == ChangeReason::Applied;
                let times = self.change.untold_times().unwrap_or_else(|| times(self.context)) + u64::from(is_asked_for);
                // Who has asked for a change whose images have not come waits for this one now.
                let is_asked_for =
                    is_asked_for || matches!(&self.change, LastChange::Pulling(pulls) if pulls.is_asked_for);
                // Who asks anew waits for what becomes of that, and so do those who have asked before.
                let before = self.change.so_far().filter(|_| reason != ChangeReason::Applied).map(std::mem::take);
                self.forget_pulls().await;
                let asked = (times, is_asked_for, before);
                match wishes {
                    Ok(workloads) => self.begin_change(workloads, asked).await,
                    Err(error) => self.refuse(&error, 1, asked).await,
                }
            }
        }
    }

    /// Carries it out, once images are there of what takes the place of something that runs.
    async fn begin_change(&mut self, workloads: Vec<Workload>, asked: AskedChange) {
        let replaced: Vec<Workload> = workloads.iter().filter(|wish| is_replaced_by(self, wish)).cloned().collect();
        if replaced.is_empty() {
            self.carry_out_change(workloads, asked).await;
        } else {
            self.change = LastChange::Pulling(ChangePulls::begin(self.context, &replaced, workloads, asked));
        }
    }

    /// Ends what these names mean, whatever images have to come for the rest.
    async fn let_go(&mut self, named: &BTreeSet<NamedWorkload>) {
        let goes = |wish: &Workload| named.contains(&NamedWorkload::of(wish));
        let going: Vec<usize> = self
            .controllers
            .iter()
            .enumerate()
            .filter(|(index, controller)| named.contains(&controller.known().named) && !self.leaving.contains(index))
            .map(|(index, _)| index)
            .collect();
        self.leaving.extend(&going);
        self.successors.retain(|(_, wish)| !goes(wish));
        // Who has asked hears as soon as this waits for anything, and asks what is left then.
        self.tell_subjects();
        for index in going {
            // What has ended begins again only when somebody applies the files.
            if !self.controllers[index].is_over() {
                let text = format!("{} removed", self.controllers[index].title());
                self.end(index).await;
                self.context.console.note(text).await;
            }
        }
        if let LastChange::Pulling(pulls) = &mut self.change
            && pulls.wishes.iter().any(goes)
        {
            let rest = std::mem::take(&mut pulls.wishes).into_iter().filter(|wish| !goes(wish)).collect();
            let asked = (pulls.times, pulls.is_asked_for, pulls.before.take());
            self.forget_pulls().await;
            self.begin_change(rest, asked).await;
        }
    }

    /// Ends all pods of a controller; what follows it comes then.
    pub(super) async fn end(&mut self, index: usize) {
        self.leaving.insert(index);
        for (_, pod) in self.pods.iter().filter(|((of, _), _)| *of == index) {
            pod.stop.ask(StopAsked::Gracefully);
        }
        self.feed(index, FleetInput::Stop).await;
        self.succeed(index).await;
    }

    /// The images of a change are there, or can't be had: then what serves goes on.
    pub(super) async fn has_pulled(&mut self, pulled: Result<(), String>) {
        let LastChange::Pulling(pulls) = std::mem::replace(&mut self.change, LastChange::Told) else { return };
        match pulled {
            Ok(()) => self.carry_out_change(pulls.wishes, (pulls.times, pulls.is_asked_for, pulls.before)).await,
            Err(error) => self.refuse(&error, OWN_FAILURE, (pulls.times, pulls.is_asked_for, pulls.before)).await,
        }
    }

    /// Nobody waits for the images of a change any more.
    pub(super) async fn forget_pulls(&mut self) {
        if let LastChange::Pulling(ChangePulls { before, .. }) = &mut self.change {
            self.change = before.take().map_or(LastChange::Told, LastChange::Settling);
            // What it showed of a pull.
            self.context.console.show(Vec::new()).await;
        }
    }

    async fn refuse(&mut self, error: &str, status: u8, (times, is_asked_for, before): AskedChange) {
        let text = format!("what runs stays as it is: {error}");
        self.context.console.note(text.clone()).await;
        self.change = match before {
            // Not this was asked for, but what goes on.
            Some(before) if !is_asked_for => LastChange::Settling(before),
            _ => LastChange::Refused(AppliedFiles { times, status, lines: vec![text], untold: 0 }),
        };
    }

    async fn carry_out_change(&mut self, workloads: Vec<Workload>, (times, is_asked_for, before): AskedChange) {
        // From here on: what fails meanwhile belongs to it.
        let before = before.unwrap_or_default();
        let at = before.lines.len();
        self.change = LastChange::Settling(AppliedFiles { times, ..before });
        let (unchanged, said) = self.change(workloads, is_asked_for).await;
        for text in &said {
            self.context.console.note(text.clone()).await;
        }
        if let LastChange::Settling(applied) = &mut self.change {
            let unchanged = if is_asked_for { unchanged } else { Vec::new() };
            applied.lines.splice(at..at, unchanged.into_iter().chain(said));
        }
    }

    /// Tells who waits: of what can't be at once, of other things once all is settled.
    pub(super) async fn tell_change(&mut self, is_settled: bool) {
        let is_refused = matches!(self.change, LastChange::Refused(_));
        let (LastChange::Refused(applied) | LastChange::Settling(applied)) = &mut self.change else { return };
        if !(is_settled || is_refused) {
            return;
        }
        let RunContext { console, record, .. } = self.context;
        let Err(error) = record.tell(applied) else {
            self.change = LastChange::Told;
            return;
        };
        applied.untold += 1;
        if applied.untold == 1 {
            console.note(format!("cannot tell `peapod apply` yet what became of it: {error}")).await;
        }
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
            let change = wish
                .as_ref()
                .filter(|_| !self.leaving.contains(&index))
                .map(|wish| controller.workload().change_to(wish));
            match (change, wish) {
                (Some(WorkloadChange::Nothing), _) => unchanged.push(format!("{title} unchanged")),
                (Some(WorkloadChange::Files), Some(wish)) => {
                    let is_resized = controller.workload().is_resized_by(&wish);
                    self.controllers[index].adopt(wish);
                    renew_files(self, index);
                    said.push(match is_resized {
                        true => format!("{title} changed; its pods go on"),
                        false => format!("{title} updated; its pods go on, and get the new files"),
                    });
                    self.feed(index, FleetInput::Time).await;
                }
                (Some(WorkloadChange::Pods), Some(Workload::Deployment(wish))) => {
                    let actions = self.controllers[index].change(self.begun.elapsed(), wish);
                    for action in actions {
                        self.carry_out(index, action).await;
                    }
                    renew_files(self, index);
                    said.push(format!("{title} changed"));
                }
                (_, wish) => {
                    let done = if wish.is_some() { "replaced" } else { "removed" };
                    // What leaves has been said to go.
                    if wish.is_some() || self.leaving.insert(index) {
                        said.push(format!("{title} {done}"));
                    }
                    self.successors.extend(wish.map(|wish| (index, wish)));
                    self.end(index).await;
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
        let is_past = self.controllers[index + 1..].iter().any(|later| later.is_named_as(controller.workload()));
        if is_past || self.leaving.contains(&index) {
            return None;
        }
        let Some(wish) = wish else {
            self.leaving.insert(index);
            return None;
        };
        let is_same = wish.as_ref().is_some_and(|wish| controller.workload().change_to(wish) != WorkloadChange::Pods);
        if !is_same || is_asked_for && controller.was_cut() {
            return None;
        }
        let title = controller.title();
        self.controllers[index].adopt(wish.take()?);
        Some(format!("{title} unchanged; it has ended"))
    }
}

/// Tells the pods of a controller which files their volumes are to have, as far as they are what it wants by now.
fn renew_files(fleet: &Fleet<'_>, index: usize) {
    for (_, pod) in fleet.pods.iter().filter(|((of, _), _)| *of == index) {
        let wished = fleet.controllers[index].pod(pod.action);
        if let Some(wished) = wished.filter(|wished| wished.fixed() == pod.pod.fixed()) {
            pod.volumes.wish(wished.volumes);
        }
    }
}

/// How often somebody has asked to read the files again.
fn times(RunContext { args, record, .. }: RunContext<'_>) -> u64 {
    runs::known(&args.dir, &record.id).map_or(0, |run| run.applied(&args.dir).times)
}

/// Whether something that runs is to end for a wish.
fn is_replaced_by(fleet: &Fleet<'_>, wish: &Workload) -> bool {
    fleet.controllers.iter().enumerate().any(|(index, controller)| {
        let goes_on = !controller.is_over() && !fleet.leaving.contains(&index);
        goes_on && controller.is_named_as(wish) && controller.workload().is_replaced_by(wish)
    })
}
