//! Who hears of what: which plugins there are, and which pods and containers each of them knows. Pure.
//!
//! A plugin that comes is told what there is already, and from that moment on what happens. Between the two nothing may
//! be lost, and nothing told twice, while pods and containers go on being made and removed:
//!
//! ```text
//!   a container:  begin ─ plugins are asked ─ made ─ shown ─ …  ─ leave ─ plugins are told ─ gone
//!   a plugin:                   join ─ a look at what is shown ─ it is synchronised ─ it is called
//! ```
//!
//! From its joining on a plugin is among those that are asked and told; these calls wait until it is synchronised. So
//! what begins after that waits for it, and is not shown before, whenever the look is taken. What had begun before is
//! waited for, which takes moments, until it is shown or gone: then the look tells. Of what is leaving, whose removal
//! it would not hear of, it hears nothing.

use std::collections::{BTreeMap, BTreeSet};

/// Plugins, in the order in which they are called, and what is on its way.
#[derive(Debug)]
pub(crate) struct Roster<P> {
    members: Vec<P>,
    /// Ids of what is being made and may not be shown yet.
    making: BTreeSet<String>,
    /// Of what is being removed and may be shown still, with its pod's.
    leaving: BTreeMap<String, String>,
    /// Of containers of which plugins know that they run.
    running: BTreeSet<String>,
}

/// What has to be known when a plugin comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joining {
    making: BTreeSet<String>,
    leaving: BTreeSet<String>,
}

impl Joining {
    /// Whether the plugin is told of this, if a look finds it that was taken after [`Roster::is_settled`].
    pub(crate) fn tells(&self, id: &str) -> bool {
        !self.leaving.contains(id)
    }
}

impl<P> Default for Roster<P> {
    fn default() -> Self {
        let (making, leaving, running) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        Self { members: Vec::new(), making, leaving, running }
    }
}

impl<P: Clone + Ord> Roster<P> {
    /// A plugin comes.
    pub(crate) fn join(&mut self, plugin: P) -> Joining {
        let place = self.members.partition_point(|other| *other < plugin);
        self.members.insert(place, plugin);
        Joining { making: self.making.clone(), leaving: self.leaving.keys().cloned().collect() }
    }

    /// Whether everything is shown, or gone, that had begun when a plugin came.
    pub(crate) fn is_settled(&self, joining: &Joining) -> bool {
        self.making.is_disjoint(&joining.making)
    }

    /// A plugin goes. False if it was not there.
    pub(crate) fn part(&mut self, plugin: &P) -> bool {
        let before = self.members.len();
        self.members.retain(|other| other != plugin);
        self.members.len() != before
    }

    /// All plugins, in their order.
    pub(crate) fn members(&self) -> &[P] {
        &self.members
    }

    /// Something begins to be made. Answers who is asked, and hears of it.
    pub(crate) fn begin(&mut self, id: &str) -> Vec<P> {
        self.making.insert(id.to_owned());
        self.members.clone()
    }

    /// It is shown, or nothing is left of it; in that case those that were asked have heard so before. False if that
    /// was known.
    pub(crate) fn settle(&mut self, id: &str) -> bool {
        self.making.remove(id)
    }

    /// How much is on its way.
    pub(crate) fn under_way(&self) -> usize {
        self.making.len() + self.leaving.len()
    }

    /// What is shown begins to be removed. Answers who is told.
    pub(crate) fn leave(&mut self, id: &str, pod: &str) -> Vec<P> {
        self.leaving.insert(id.to_owned(), pod.to_owned());
        self.running.remove(id);
        self.members.clone()
    }

    /// Its removal came to nothing.
    pub(crate) fn stays(&mut self, id: &str) {
        self.leaving.remove(id);
    }

    /// A pod is shown otherwise: with these ids, its own among them; with none, it is shown no more. False if nothing
    /// of it was on its way.
    pub(crate) fn shows(&mut self, pod: &str, is_shown: impl Fn(&str) -> bool) -> bool {
        let before = self.under_way();
        self.making.retain(|id| !is_shown(id));
        self.leaving.retain(|id, of| of != pod || is_shown(id));
        self.under_way() != before
    }

    /// Plugins know that a container runs.
    pub(crate) fn runs(&mut self, id: &str) {
        self.running.insert(id.to_owned());
    }

    /// A container has ended. Answers whether that is new to plugins.
    pub(crate) fn ended(&mut self, id: &str) -> bool {
        self.running.remove(id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Containers and plugins that take their steps in any order.
    #[derive(Default)]
    struct World {
        roster: Roster<u8>,
        /// What lists show.
        shown: BTreeSet<u8>,
        containers: BTreeMap<u8, Step>,
        plugins: BTreeMap<u8, Plugin>,
    }

    #[derive(Clone)]
    enum Step {
        /// These were asked, and these have to be.
        Asked(Vec<u8>, Vec<u8>),
        Made,
        Shown,
        Told(Vec<u8>),
        Gone,
    }

    #[derive(Default)]
    struct Plugin {
        joining: Option<Joining>,
        synchronised: bool,
        created: Vec<u8>,
        removed: Vec<u8>,
    }

    impl World {
        fn id(container: u8) -> String {
            container.to_string()
        }

        fn shows(&mut self) {
            let shown: BTreeSet<_> = self.shown.iter().map(|id| Self::id(*id)).collect();
            self.roster.shows("pod", |id| shown.contains(id));
        }

        /// One step of a container, if it can take one now.
        fn container(&mut self, number: u8, fails: bool) {
            let step = self.containers.get(&number).cloned();
            let next = match step {
                None => Step::Asked(Vec::new(), self.roster.begin(&Self::id(number))),
                Some(Step::Asked(mut asked, mut plugins)) => match plugins.first().copied() {
                    // Those hear of it that heard of its beginning.
                    _ if fails => Step::Told(asked),
                    None => Step::Made,
                    Some(plugin) if self.plugins[&plugin].synchronised => {
                        plugins.remove(0);
                        asked.push(plugin);
                        self.plugins.get_mut(&plugin).unwrap().created.push(number);
                        Step::Asked(asked, plugins)
                    }
                    // It waits.
                    Some(_) => return,
                },
                // Shown first, and told a moment later.
                Some(Step::Made) if self.shown.insert(number) => Step::Made,
                Some(Step::Made) => {
                    self.shows();
                    Step::Shown
                }
                Some(Step::Shown) => Step::Told(self.roster.leave(&Self::id(number), "pod")),
                Some(Step::Told(mut plugins)) => match plugins.first().copied() {
                    Some(plugin) if self.plugins[&plugin].synchronised => {
                        plugins.remove(0);
                        self.plugins.get_mut(&plugin).unwrap().removed.push(number);
                        Step::Told(plugins)
                    }
                    Some(_) => return,
                    None if self.shown.remove(&number) => Step::Told(plugins),
                    None => {
                        self.roster.settle(&Self::id(number));
                        self.shows();
                        Step::Gone
                    }
                },
                Some(Step::Gone) => return,
            };
            self.containers.insert(number, next);
        }

        /// One step of a plugin.
        fn plugin(&mut self, number: u8) {
            match self.plugins.get_mut(&number) {
                None => {
                    let joining = Some(self.roster.join(number));
                    self.plugins.insert(number, Plugin { joining, ..Plugin::default() });
                }
                Some(plugin) => match &plugin.joining {
                    Some(joining) if !self.roster.is_settled(joining) => {}
                    Some(joining) => {
                        let told = self.shown.iter().filter(|id| joining.tells(&Self::id(**id)));
                        plugin.created = told.copied().collect();
                        plugin.joining = None;
                    }
                    None => plugin.synchronised = true,
                },
            }
        }
    }

    #[test]
    fn nothing_is_lost_and_nothing_told_twice_in_whatever_order_things_happen() {
        let mut seed = 1_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..20_000 {
            let mut world = World::default();
            for _ in 0..next(60) {
                match next(8) {
                    0 | 1 => world.plugin(u8::try_from(next(2)).unwrap()),
                    _ => world.container(u8::try_from(next(4)).unwrap(), next(8) == 0),
                }
            }
            // All comes to rest; nobody waits for ever.
            let is_busy = |step: &Step| matches!(step, Step::Asked(..) | Step::Made | Step::Told(_));
            for _ in 0..20 {
                let plugins: Vec<_> = world.plugins.keys().copied().collect();
                plugins.into_iter().for_each(|plugin| world.plugin(plugin));
                let busy: Vec<_> =
                    world.containers.iter().filter(|(_, step)| is_busy(step)).map(|(id, _)| *id).collect();
                busy.into_iter().for_each(|container| world.container(container, false));
            }
            assert!(world.plugins.values().all(|plugin| plugin.synchronised));
            for (name, plugin) in &world.plugins {
                let known: Vec<_> = plugin.created.iter().filter(|id| !plugin.removed.contains(id)).copied().collect();
                let mut once = plugin.created.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), plugin.created.len(), "{name} was told twice: {:?}", plugin.created);
                let there: BTreeSet<_> = world.shown.iter().copied().collect();
                assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), there, "what {name} knows is not what there is");
                assert!(plugin.removed.iter().all(|id| plugin.created.contains(id)), "{name} never heard of it");
            }
            assert_eq!(world.roster.under_way(), 0);
        }
    }

    #[test]
    fn plugins_are_called_in_their_order() {
        let mut roster = Roster::<u8>::default();
        for plugin in [5, 1, 3] {
            roster.join(plugin);
        }
        assert_eq!(roster.members(), [1, 3, 5]);
        assert!(roster.part(&3) && !roster.part(&3));
        assert_eq!(roster.begin("a"), [1, 5]);
    }

    #[test]
    fn an_end_is_told_once() {
        let mut roster = Roster::<u8>::default();
        assert!(!roster.ended("a"), "nobody knows");
        roster.runs("a");
        assert!(roster.ended("a") && !roster.ended("a"));
    }
}
