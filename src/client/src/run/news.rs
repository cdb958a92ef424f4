//! What a pod's machine has to tell, in words.

use std::time::Duration;

use super::jobs::ContainerEnd;
use super::machine::LifeNews;
use crate::manifest::RestartPolicy;
use crate::units;

/// The container that it is about.
pub(super) struct NewsSubject<'a> {
    pub(super) name: &'a str,
    /// How it ended last.
    pub(super) end: &'a ContainerEnd,
    /// What its last probe, or its last start, said.
    pub(super) saying: &'a str,
    pub(super) policy: RestartPolicy,
}

impl NewsSubject<'_> {
    /// Nothing if there is no need to say it; the first readiness is told with the pod's.
    pub(super) fn text(&self, news: LifeNews, is_first: bool) -> Option<String> {
        let Self { name, end, saying, policy } = self;
        Some(match news {
            LifeNews::Ended { again: Some(wait), .. } => format!("{name} {end}; starting it again {}", soon(wait)),
            LifeNews::Ended { again: None, .. } => format!("{name} {end}"),
            LifeNews::RestartsAll { wait, .. } => {
                format!("{name} {end}; starting all containers again {}", soon(wait))
            }
            LifeNews::StartsAgain { wait, .. } => format!("{saying}; trying again {}", soon(wait)),
            LifeNews::ProbeFailed { kind, .. } => format!("{name}: its {kind} failed: {saying}"),
            LifeNews::ProbeRefused { kind, .. } => {
                format!("{name}: its {kind} can't be made, so it says nothing: {saying}")
            }
            LifeNews::Unhealthy { kind, .. } => {
                let then = if *policy == RestartPolicy::Never { "" } else { ", to be started again" };
                format!("{name} is not healthy, stopping it{then}; its {kind} failed: {saying}")
            }
            LifeNews::NotReady { .. } => format!("{name} is not ready any more: {saying}"),
            LifeNews::Ready { .. } if !is_first => format!("{name} is ready"),
            LifeNews::Ready { .. } | LifeNews::DeadlineExceeded => return None,
        })
    }
}

/// When something is tried again.
pub(super) fn soon(wait: Duration) -> String {
    if wait.is_zero() { "now".to_owned() } else { format!("in {}", units::duration(wait)) }
}
