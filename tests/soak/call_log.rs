//! What calls were answered, and when.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peapod_tests::{Samples, default_timeout as longest};
use tonic::{Code, Status};

/// Longer than anything may take.
const NEVER: Duration = Duration::from_secs(120);

/// Of one kind of call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    /// Milliseconds, of clients that wait.
    pub(crate) times: Samples,
    /// Answers to clients that had given up before.
    pub(crate) retried: usize,
    /// How often they had.
    pub(crate) given_up: usize,
}

/// By call and code: how many, and the first one's words.
pub(crate) type Errors = BTreeMap<(&'static str, String), (usize, String)>;

/// All calls. Nobody holds a borrow across an await.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    calls: RefCell<BTreeMap<&'static str, Calls>>,
    errors: RefCell<Errors>,
}

impl CallLog {
    /// Makes a call. With a `timeout` the client gives up after it and asks the same again, each time with twice as
    /// much. `None` is an error, which is noted.
    pub(crate) async fn ask<T, F: Future<Output = Result<T, Status>>>(
        &self,
        name: &'static str,
        timeout: Option<Duration>,
        ask: impl Fn() -> F,
    ) -> Option<T> {
        let mut limit = timeout.unwrap_or(NEVER);
        let began = Instant::now();
        let mut given_up = 0;
        let answer = loop {
            match tokio::time::timeout(limit, ask()).await {
                Ok(answer) => break answer,
                Err(_) if timeout.is_none() => break Err(Status::new(Code::DeadlineExceeded, "no answer at all")),
                Err(_) => {
                    given_up += 1;
                    limit = (limit * 2).min(longest());
                }
            }
        };
        match answer {
            Ok(answer) => {
                let mut calls = self.calls.borrow_mut();
                let calls = calls.entry(name).or_default();
                calls.given_up += given_up;
                if given_up == 0 {
                    calls.times.time(began.elapsed());
                } else {
                    calls.retried += 1;
                }
                Some(answer)
            }
            Err(status) => {
                self.error(name, &status);
                None
            }
        }
    }

    /// A call that ended as it should.
    pub(crate) fn time(&self, name: &'static str, took: Duration) {
        self.calls.borrow_mut().entry(name).or_default().times.time(took);
    }

    /// A call that did not; the first of its kind is kept with its words.
    pub(crate) fn error(&self, name: &'static str, status: &Status) {
        let kind = (name, format!("{:?}", status.code()));
        let mut errors = self.errors.borrow_mut();
        errors.entry(kind).or_insert_with(|| (0, status.message().to_owned())).0 += 1;
    }

    pub(crate) fn calls(&self) -> BTreeMap<&'static str, Calls> {
        self.calls.borrow().clone()
    }

    pub(crate) fn errors(&self) -> Errors {
        self.errors.borrow().clone()
    }
}
