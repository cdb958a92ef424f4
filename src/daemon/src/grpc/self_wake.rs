//! A future that often wakes itself.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// How often a future may go on at once before others get their turn.
const TURNS: usize = 16;

/// Polls a future again at once if it has woken itself. An HTTP/2 connection does so with each answer that it is given
/// while it reads; as a wake-up of its task that would rouse another thread each time, which finds nothing to do.
pub(super) struct SelfWaking<F> {
    future: Pin<Box<F>>,
    signal: Arc<WakeSignal>,
    waker: Waker,
}

#[derive(Default)]
struct WakeSignal {
    polling: AtomicBool,
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for WakeSignal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        if !self.polling.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl<F> SelfWaking<F> {
    pub(super) fn new(future: F) -> Self {
        let signal = Arc::<WakeSignal>::default();
        let waker = Waker::from(Arc::clone(&signal));
        Self { future: Box::pin(future), signal, waker }
    }

    /// The future, between two polls.
    pub(super) fn get(&mut self) -> Pin<&mut F> {
        self.future.as_mut()
    }
}

impl<F: Future> Future for SelfWaking<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, signal, waker } = &mut *self;
        signal.task.register(cx.waker());
        let mut own = Context::from_waker(waker);
        for _ in 0..TURNS {
            signal.woken.store(false, Ordering::SeqCst);
            signal.polling.store(true, Ordering::SeqCst);
            let polled = future.as_mut().poll(&mut own);
            // In this order: whoever wakes it meanwhile is either seen here, or wakes the task.
            signal.polling.store(false, Ordering::SeqCst);
            if polled.is_ready() || !signal.woken.load(Ordering::SeqCst) {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::ready;

    use tokio::sync::oneshot;

    use super::*;

    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Wakes itself so many times before it is ready.
    fn after(mut wakes: usize) -> impl Future<Output = ()> {
        std::future::poll_fn(move |cx| {
            if wakes == 0 {
                return Poll::Ready(());
            }
            wakes -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn what_wakes_itself_goes_on_at_once_and_not_for_ever() {
        let task = Arc::new(Counted(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&task));
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut SelfWaking::new(after(TURNS - 1))).poll(&mut cx).is_ready());
        assert_eq!(task.0.load(Ordering::SeqCst), 0, "the task was woken");
        let mut long = SelfWaking::new(after(TURNS));
        assert!(Pin::new(&mut long).poll(&mut cx).is_pending());
        assert_eq!(task.0.load(Ordering::SeqCst), 1, "others have no turn");
        assert!(Pin::new(&mut long).poll(&mut cx).is_ready());
    }

    #[tokio::test]
    async fn what_others_wake_goes_on() {
        for _ in 0..1000 {
            let (send, mut receive) = oneshot::channel();
            let waiting = SelfWaking::new(std::future::poll_fn(move |cx| {
                let got: Result<u8, _> = ready!(Pin::new(&mut receive).poll(cx));
                Poll::Ready(got)
            }));
            let other = std::thread::spawn(move || send.send(7));
            assert_eq!(waiting.await, Ok(7));
            other.join().unwrap().unwrap();
        }
    }
}
