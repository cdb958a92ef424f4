//! Looking at file systems of the node that may never answer: who waits for a dead one can't be called back, and keeps
//! a thread of the process for as long as it is dead. So few may look at a time, of a pod and in all, and every other
//! pod has threads for its own work.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use peapod_sys::sync::lock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::bounds::{LOOK_UPS, LOOK_UPS_OF_POD};
use crate::id::PodId;

/// Of the process, as its threads are.
static SLOTS: LazyLock<LookUpSlots> =
    LazyLock::new(|| LookUpSlots { all: Semaphore::new(LOOK_UPS), pods: Mutex::default() });

/// How many may look.
struct LookUpSlots {
    all: Semaphore,
    /// Of pods that look or wait for it.
    pods: Mutex<HashMap<PodId, Arc<Semaphore>>>,
}

/// May look, as long as this is there.
pub(super) struct LookUpSlot<'a> {
    _pod: OwnedSemaphorePermit,
    _all: SemaphorePermit<'a>,
}

impl LookUpSlot<'static> {
    /// Waits for a slot of the pod's, then for one of the node's. There is always one in the end.
    pub(super) async fn take(pod: &PodId) -> Option<Self> {
        SLOTS.take(pod).await
    }
}

impl LookUpSlots {
    async fn take(&self, pod: &PodId) -> Option<LookUpSlot<'_>> {
        let own = {
            let mut pods = lock(&self.pods);
            // A permit holds its semaphore.
            pods.retain(|_, own| Arc::strong_count(own) > 1);
            let own = pods.entry(pod.clone()).or_insert_with(|| Arc::new(Semaphore::new(LOOK_UPS_OF_POD)));
            Arc::clone(own)
        };
        // Nobody closes them.
        let pod = own.acquire_owned().await.ok()?;
        let all = self.all.acquire().await.ok()?;
        Some(LookUpSlot { _pod: pod, _all: all })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pod_has_its_few_and_all_together_theirs() {
        let slots = LookUpSlots { all: Semaphore::new(LOOK_UPS_OF_POD + 1), pods: Mutex::default() };
        let take =
            async |pod: &PodId| tokio::time::timeout(Duration::from_secs(1), slots.take(pod)).await.ok().flatten();
        let [one, two, three] = std::array::from_fn(|_| PodId::random().unwrap());
        let mut held = Vec::new();
        for _ in 0..LOOK_UPS_OF_POD {
            held.push(take(&one).await.expect("a slot"));
        }
        assert!(take(&one).await.is_none(), "more than a pod's");
        let other = take(&two).await.expect("a slot of another pod");
        assert!(take(&three).await.is_none(), "more than all");
        drop(other);
        assert!(take(&three).await.is_some());
        held.pop();
        assert!(take(&one).await.is_some());
        assert_eq!(slots.pods.lock().unwrap().len(), 1, "pods that are done are forgotten");
    }
}
