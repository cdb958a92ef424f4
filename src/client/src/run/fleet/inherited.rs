//! What an earlier process of this run has left, which was killed: its pods run, and nobody looks after them. No probe
//! and no restart of theirs can be taken up, so others take their places as after a change: a Deployment's one by one,
//! each of the rest once the one before has ended.

use peapod_api::v1;

use super::lives::{FleetPod, PodReadiness};
use super::past::PastRun;
use super::{Fleet, FleetAction};
use crate::manifest::{Pod, Workload};
use crate::manifest_files::NamedWorkload;
use crate::run::asked::stop_line;
use crate::run::left_pod;
use crate::run::readiness::{PodKey, PodSigns};
use crate::run::remains::{RemainsPolicy, RemainsWish};
use crate::run::renewal::volume_line;

/// Takes over the pods, before anything else is begun.
pub(super) async fn inherit(fleet: &mut Fleet<'_>, past: &PastRun) {
    for index in 0..fleet.controllers.len() {
        let controller = &fleet.controllers[index];
        let (named, wish) = (NamedWorkload::of(controller.workload()), controller.workload().clone());
        let own: Vec<_> = past.pods_of(&named).collect();
        if own.is_empty() || controller.is_over() {
            continue;
        }
        let title = controller.title();
        fleet.context.console.note(format!("{title} replaced; nobody has looked after it")).await;
        if let Workload::Deployment(deployment) = &wish {
            let slots: Vec<u32> = own.iter().map(|pod| slot(pod)).collect();
            let numbers = fleet.controllers[index].inherit(&slots);
            for ((sandbox, slot), number) in own.into_iter().zip(slots).zip(numbers) {
                let action = FleetAction::StartReplica { number, slot };
                take_over(fleet, (index, number), action, (deployment.pod(slot), sandbox));
            }
            let now = fleet.begun.elapsed();
            let actions = fleet.controllers[index].change(now, deployment.clone());
            for action in actions {
                fleet.carry_out(index, action).await;
            }
        } else {
            let mut number = 0;
            for sandbox in own {
                let action = FleetAction::StartPod { number };
                take_over(fleet, (index, number), action, (wish.pattern().clone(), sandbox));
                number += 1;
            }
            fleet.controllers[index].become_past(number);
            fleet.successors.push((index, wish));
            fleet.end(index).await;
        }
    }
}

/// The place of a Deployment's pod, which its name ends with.
fn slot(pod: &v1::PodSandbox) -> u32 {
    let name = pod.metadata.as_ref().map(|metadata| metadata.name.as_str()).unwrap_or_default();
    name.rsplit_once('-').and_then(|(_, slot)| slot.parse().ok()).unwrap_or(u32::MAX)
}

fn take_over(fleet: &mut Fleet<'_>, key: PodKey, action: FleetAction, (mut pod, sandbox): (Pod, &v1::PodSandbox)) {
    pod.name = sandbox.metadata.clone().unwrap_or_default().name;
    let ((stop, line), (volumes, _)) = (stop_line(), volume_line(&pod.volumes));
    let signs = PodSigns { is_ready: true, ..PodSigns::default() };
    let remains = RemainsWish::new(RemainsPolicy::Never);
    let known =
        FleetPod { pod: pod.into(), action, volumes, stop, remains, signs: Some(signs), readiness: PodReadiness::Was };
    fleet.pods.insert(key, known);
    let (connection, sandbox) = (fleet.context.connection, sandbox.clone());
    let events = fleet.news.events.of(&sandbox.id);
    fleet.lives.push(Box::pin(async move { (key, left_pod::live(connection, &sandbox, &line, events).await) }));
}
