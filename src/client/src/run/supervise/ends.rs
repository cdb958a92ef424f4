//! What jobs end with, and what is told of it.

use super::Supervisor;
use crate::run::jobs::JobEnd;
use crate::run::machine::{HookKind, LifeInput, LifeNews, Probed};
use crate::run::news::NewsSubject;
use crate::run::report::RunReport;

impl Supervisor<'_> {
    /// A job has come to its end, or there was none.
    pub(super) async fn job_ended(&mut self, end: Option<JobEnd>) {
        match end {
            None => {}
            Some(JobEnd::Started { member, took, result }) => {
                match result {
                    Ok(started) => {
                        let seen = &mut self.members[member];
                        seen.id = Some(started.id.clone());
                        seen.started = Some(started);
                        if let Some(stages) = &mut self.stages {
                            stages.add(&seen.container.name, took);
                        }
                        self.feed(LifeInput::Started { member }).await;
                    }
                    Err(error) => {
                        self.members[member].saying = peapod_text::chain(&error);
                        self.start_error = Some(error);
                        self.feed(LifeInput::StartFailed { member }).await;
                    }
                }
                // It may have ended before anybody listened.
                self.watch.want();
            }
            Some(JobEnd::Exited { member, id, end }) => {
                self.exits -= 1;
                let (code, out_of_memory) = (end.code, end.reason == "OOMKilled");
                let seen = &mut self.members[member];
                seen.end = end;
                seen.id = Some(id);
                self.feed(LifeInput::Exited { member, code, out_of_memory }).await;
            }
            Some(JobEnd::ExitUnknown { member, started, error }) => {
                self.exits -= 1;
                self.members[member].started = Some(started);
                if !error.is_unanswered() {
                    self.pod.run.voice.note(error).await;
                }
            }
            Some(JobEnd::Hook { member, attempt, hook, answer }) => {
                let is_done = answer.as_ref().is_some_and(|answer| answer.result == Probed::Success);
                if !is_done {
                    let seen = &self.members[member];
                    let name = match hook {
                        HookKind::PostStart => "postStart",
                        HookKind::PreStop => "preStop",
                    };
                    let why = answer.map_or_else(|| "it took all of the grace period".to_owned(), |answer| answer.text);
                    let then = if hook == HookKind::PostStart { "; stopping it" } else { "" };
                    let text = format!("{}: its {name} hook failed: {why}{then}", seen.container.name);
                    self.pod.run.voice.note(text).await;
                }
                self.feed(LifeInput::HookDone { member, attempt, hook, is_done }).await;
            }
            Some(JobEnd::Probe { member, attempt, kind, answer }) => {
                self.members[member].saying = answer.text;
                let result = answer.result;
                self.feed(LifeInput::ProbeDone { member, attempt, kind, result }).await;
            }
            Some(JobEnd::Stopped { member, result }) => {
                if let Err(error) = result {
                    self.pod.run.voice.note(error).await;
                    self.feed(LifeInput::StopFailed { member }).await;
                }
                self.watch.want();
            }
        }
    }

    pub(super) async fn tell(&mut self, news: LifeNews) {
        let is_first = self.stages.is_some();
        let (LifeNews::Ended { member, .. }
        | LifeNews::RestartsAll { member, .. }
        | LifeNews::StartsAgain { member, .. }
        | LifeNews::ProbeFailed { member, .. }
        | LifeNews::ProbeRefused { member, .. }
        | LifeNews::Unhealthy { member, .. }
        | LifeNews::Ready { member }
        | LifeNews::NotReady { member }) = news
        else {
            return self.pod.run.voice.note("the pod's activeDeadlineSeconds are over; stopping it").await;
        };
        let seen = &self.members[member];
        let policy = seen.container.life.restart.unwrap_or(self.pod.run.pod.restart);
        let about = NewsSubject { name: &seen.container.name, end: &seen.end, saying: &seen.saying, policy };
        if let Some(text) = about.text(news, is_first) {
            if !matches!(news, LifeNews::Ready { .. }) {
                self.line.complain(&text);
            }
            self.pod.run.voice.note(text).await;
        }
    }

    /// The state of the pod to its directory, and its readiness to the console.
    pub(super) async fn show(&mut self) {
        let report = self.machine.report();
        self.line.say(&report);
        if report.is_ready
            && let Some(stages) = self.stages.take()
        {
            self.pod.run.voice.note(stages.ready()).await;
        }
        let words: Vec<String> = self.members.iter().map(|seen| seen.end.words.clone()).collect();
        let report = RunReport::new(&report, &words);
        if self.shown.as_ref() != Some(&report) {
            if let Err(error) = report.write(&self.pod.run.dir.path) {
                self.pod.run.voice.note(format_args!("cannot write the pod's state: {error}")).await;
            }
            self.shown = Some(report);
        }
    }
}
