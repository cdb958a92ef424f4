//! How pods come to be.

use std::sync::Arc;

use peapod_spec::pod::PodSpec;
use peapod_trace::Span;

use super::Pods;
use super::call::ActorCall;
use crate::actor::{self, Handle, Machine};
use crate::clock;
use crate::defaults::PodDefaults;
use crate::disk;
use crate::error::Error;
use crate::id::PodId;
use crate::listed;
use crate::machine::{Identity, Request};
use crate::runtimes::Handler;
use crate::stages;

/// How many owners of a pod's name may vanish while a pod of that name is asked for.
const RUN_TRIES: usize = 8;

impl Pods {
    /// Makes a pod. A retry with an equal spec joins a running call, or gets the same id until a container was asked
    /// for in the pod: only then is it sure that a client has received it.
    ///
    /// # Errors
    /// After one nothing of the pod is left, and its name is free.
    pub async fn run_pod(&self, spec: PodSpec, span: &Span) -> Result<PodId, Error> {
        self.run_with(spec, span, |_| ()).await.map(|(id, _)| id)
    }

    /// The same. `made` is told of a pod that was not there before, as soon as its making begins; what it answers is
    /// kept as long as that takes.
    pub(super) async fn run_with<T>(
        &self,
        spec: PodSpec,
        span: &Span,
        made: impl Fn(&Handle) -> T,
    ) -> Result<(PodId, Option<T>), Error> {
        let handler = self.actors.runtimes.handler(&spec.runtime_handler);
        handler.admits().await?;
        let spec = Arc::new(spec);
        for _ in 0..RUN_TRIES {
            span.enter(&stages::ADMISSION);
            let (handle, is_new) = self.actor_named(&spec, &handler).await?;
            let kept = is_new.then(|| made(&handle));
            span.about(|subject| subject.set_pod_id(handle.id().as_str()));
            let call = ActorCall { what: "the pod", span, handle: &handle };
            if let Some(outcome) = self.call_or_gone(&call, Request::Run(Arc::clone(&spec))).await {
                return outcome.map(|_| (handle.id().clone(), kept));
            }
            // What had the name is gone this moment: it was removed, or an earlier daemon had left it half made.
        }
        Err(self.gone(|| Error::no_pod(format!("{}/{}", spec.metadata.namespace, spec.metadata.name))))
    }

    /// The actor of the pod with that name; if there is none, a new one, and whether it is.
    async fn actor_named(&self, spec: &Arc<PodSpec>, handler: &Handler) -> Result<(Handle, bool), Error> {
        let registry = &self.actors.registry;
        if let Some(handle) = registry.named(&spec.metadata)? {
            return Ok((handle, false));
        }
        match self.admit(spec, handler).await {
            Ok(pod) => {
                // Another call may have been quicker: then this pod was never begun.
                let mut is_new = false;
                let start = || {
                    is_new = true;
                    actor::start(Arc::clone(&self.actors), pod, true)
                };
                registry.reserve(&spec.metadata, start).map(|handle| (handle, is_new))
            }
            Err(refused) => registry.named(&spec.metadata)?.map(|handle| (handle, false)).ok_or(refused),
        }
    }

    /// A new pod, if there is room for one.
    async fn admit(&self, spec: &Arc<PodSpec>, handler: &Handler) -> Result<actor::ActorInput, Error> {
        let PodDefaults { layout, boot_id, categories, .. } = &self.actors.defaults;
        let id = PodId::random().map_err(|error| Error::failed("make an id", &error))?;
        let cgroup = self.actors.defaults.cgroup_of(&id, spec)?;
        self.first_listing.over("the pod", self.timeouts.get().operation).await?;
        disk::has_room(layout).await?;
        let name = format!("pod {}/{}", spec.metadata.namespace, spec.metadata.name);
        let share = self.actors.listed.reserve(&name, listed::of_pod(spec), &self.snapshot())?;
        let identity = Identity {
            socket: layout.socket(&id),
            id,
            spec: Arc::clone(spec),
            created_at: clock::now(),
            boot_id: boot_id.clone(),
            cgroup,
            categories: categories.of_new(self.actors.containers.facts.selinux.as_ref(), spec)?,
            layout: Arc::clone(layout),
        };
        Ok(actor::ActorInput { machine: Machine::new(identity, share), handler: handler.clone(), connection: None })
    }
}
