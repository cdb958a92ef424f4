//! A Pod by itself: it is run once, and made anew if it was lost. Pure.

use super::{FleetAction, FleetEnd, FleetInput, Moment, PodNumber};
use crate::run::machine::BackOff;

/// A Pod on its way.
#[derive(Debug, Default)]
pub(super) struct PodController {
    course: PodCourse,
    back_off: BackOff,
    next: PodNumber,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PodCourse {
    /// It is made, but not before this time.
    Due {
        not_before: Moment,
    },
    Running {
        since: Moment,
    },
    Stopping,
    Over,
}

impl Default for PodCourse {
    fn default() -> Self {
        Self::Due { not_before: Moment::ZERO }
    }
}

impl PodController {
    pub(super) fn step(&mut self, now: Moment, input: FleetInput) -> Vec<FleetAction> {
        self.course = match (self.course, input) {
            (PodCourse::Due { .. }, FleetInput::Stop)
            | (PodCourse::Running { .. }, FleetInput::Ended { .. })
            | (PodCourse::Stopping, FleetInput::Ended { .. } | FleetInput::Lost { .. }) => {
                self.course = PodCourse::Over;
                return vec![FleetAction::Over(FleetEnd::Done)];
            }
            (PodCourse::Running { .. }, FleetInput::Stop) => PodCourse::Stopping,
            (PodCourse::Running { since }, FleetInput::Lost { .. }) => {
                PodCourse::Due { not_before: now + self.back_off.after(now.saturating_sub(since)) }
            }
            (course, _) => course,
        };
        if !matches!(self.course, PodCourse::Due { not_before } if not_before <= now) {
            return Vec::new();
        }
        self.course = PodCourse::Running { since: now };
        let number = self.next;
        self.next += 1;
        vec![FleetAction::StartPod { number }]
    }

    /// When it has to be told the time.
    pub(super) fn next(&self) -> Option<Moment> {
        match self.course {
            PodCourse::Due { not_before } => Some(not_before),
            PodCourse::Running { .. } | PodCourse::Stopping | PodCourse::Over => None,
        }
    }
}
