//! Where the calls of a connection run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};

use hyper::rt::Executor;

/// Begins each call on the connection's own task; one that has to wait goes on in a task of its own. Most of what a
/// kubelet asks is answered from memory: for that, a task and the wake-up of another thread cost more than the answer.
/// A long list holds up what else has come on its connection, and no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallExecutor;

impl<F> Executor<F> for CallExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        // As in a task of its own, a defect ends this call and not its connection, also one of what it drops.
        let waiting = catch_unwind(AssertUnwindSafe(move || {
            let mut call = Box::pin(call);
            // A wake-up meanwhile is not lost: a new task is always polled.
            let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            polled.is_pending().then_some(call)
        }));
        if let Ok(Some(call)) = waiting {
            tokio::spawn(call);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_ready_is_done_at_once() {
        let done = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&done);
        CallExecutor.execute(async move {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_waits_goes_on_also_if_it_was_woken_before_it_had_a_task() {
        let (early, woken) = oneshot::channel();
        let (late, waited) = oneshot::channel();
        let (done, seen) = oneshot::channel();
        CallExecutor.execute(async move {
            early.send(()).unwrap();
            let _: () = waited.await.unwrap();
            done.send(()).unwrap();
        });
        // This task has not given way yet: the other has only been polled by the executor.
        let _: () = woken.await.unwrap();
        late.send(()).unwrap();
        seen.await.unwrap();
    }

    #[tokio::test]
    async fn a_defect_ends_its_own_call() {
        struct Defective;
        impl Drop for Defective {
            fn drop(&mut self) {
                panic!("expected");
            }
        }
        CallExecutor.execute(async { panic!("expected") });
        CallExecutor.execute(async { drop(Defective) });
        let kept = Defective;
        CallExecutor.execute(std::future::poll_fn(move |_| {
            let _ = &kept;
            std::task::Poll::Ready(())
        }));
        let (done, seen) = oneshot::channel();
        CallExecutor.execute(async move { done.send(()).unwrap() });
        seen.await.unwrap();
    }
}
