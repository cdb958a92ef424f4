//! One call between the HTTP/2 library and the services: counted, with a request that has to arrive in time.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::http::{HeaderMap, Request, Response};
use hyper::service::Service;
use tokio::time::Sleep;
use tonic::Status;
use tonic::service::Routes;
use tower::Service as _;

use super::activity::{Activity, Call};
use super::measures::{GrpcMeasures, MeasuredCall};
use crate::bounds::{STREAMED_REQUEST, STREAMED_WAITING};

/// In an answer's extensions: a value, such as a permit, that is dropped once the client has taken the answer, or given
/// it up.
#[derive(Clone)]
pub(crate) struct HeldUntilTaken(
    #[allow(dead_code, reason = "only its end matters")] Arc<dyn std::any::Any + Send + Sync>,
);

impl HeldUntilTaken {
    pub(crate) fn new(what: impl Send + Sync + 'static) -> Self {
        Self(Arc::new(what))
    }
}

/// In a request's extensions: when its head had come.
#[derive(Clone, Copy)]
pub(crate) struct Arrived(pub(crate) Instant);

/// The services, for one connection.
pub(super) struct Calls {
    pub(super) routes: Routes,
    pub(super) activity: Arc<Activity>,
    pub(super) measures: GrpcMeasures,
}

impl Service<Request<Incoming>> for Calls {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut measured = self.measures.begin(request.uri().path());
        let arrived = Arrived(Instant::now());
        let call = match self.activity.begin() {
            Ok(call) => Arc::new(call),
            Err(refused) => {
                let refusal = refused.into_http();
                measured.answer(refusal.headers());
                return Box::pin(std::future::ready(Ok(refusal.map(AnswerBody::refusal))));
            }
        };
        let mut routes = self.routes.clone();
        Box::pin(async move {
            let limit = grpc_timeout(request.headers());
            let form = RequestForm::of(request.uri().path());
            let mut request = request.map(|body| RequestBody::new(body, form, Arc::clone(&call)));
            request.extensions_mut().insert(arrived);
            let Ok(mut answer) = within(limit, routes.call(request)).await;
            call.answered();
            measured.answer(answer.headers());
            let held = answer.extensions_mut().remove::<HeldUntilTaken>();
            Ok(answer.map(|body| AnswerBody { body, call: Some(call), measured: Some(measured), _held: held }))
        })
    }
}

/// The answer, or DeadlineExceeded if the client's own deadline passes before it: not every client keeps it by itself.
async fn within(
    limit: Option<Duration>,
    answer: impl Future<Output = Result<Response<tonic::body::Body>, Infallible>>,
) -> Result<Response<tonic::body::Body>, Infallible> {
    let Some(limit) = limit else { return answer.await };
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Ok(Status::deadline_exceeded("the call's own deadline has passed").into_http()),
    }
}

/// `grpc-timeout`: at most eight digits and a unit. Anything else is no limit.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Bytes of a stream up to which no more is in memory than of one that waits.
const STREAMED_BEGINNING: usize = 128 << 10;

/// How a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestForm {
    /// At once: it stays in memory as a whole.
    Message,
    /// As many messages, of which one is in memory at a time. It takes as long as it likes if it goes on coming.
    Stream,
}

impl RequestForm {
    fn of(path: &str) -> Self {
        if path == "/peapod.v1.ImageStore/Import" { Self::Stream } else { Self::Message }
    }
}

/// A request on its way.
struct RequestBody {
    body: Incoming,
    form: RequestForm,
    /// Bytes that have come of a stream; `None` until its room is counted.
    came: Option<usize>,
    /// `None` while a stream is not waited for.
    late: Option<Pin<Box<Sleep>>>,
    call: Arc<Call>,
}

impl RequestBody {
    fn new(body: Incoming, form: RequestForm, call: Arc<Call>) -> Self {
        let late = Box::pin(tokio::time::sleep(call.transfer()));
        Self { body, form, came: None, late: Some(late), call }
    }

    /// A stream is given room when it begins, more once it is more than its beginning, and is asked for its silence
    /// alone.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.came.is_none() {
            self.came = Some(0);
            if let Err(refused) = self.call.receive(STREAMED_WAITING) {
                return Poll::Ready(Some(Err(refused)));
            }
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.late = None;
            let frame = frame.map(|frame| frame.map_err(|error| Status::from_error(Box::new(error))));
            let count = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            return Poll::Ready(self.count(count).map_or_else(|refused| Some(Err(refused)), |()| frame));
        }
        let transfer = self.call.transfer();
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(transfer)));
        ready!(late.as_mut().poll(cx));
        let silent = format!("nothing has come for {} s: the call is given up", transfer.as_secs_f64());
        Poll::Ready(Some(Err(Status::deadline_exceeded(silent))))
    }

    /// So many more bytes of a stream have come.
    fn count(&mut self, bytes: usize) -> Result<(), Status> {
        let before = self.came.unwrap_or_default();
        let all = before.saturating_add(bytes);
        self.came = Some(all);
        let is_more = before <= STREAMED_BEGINNING && all > STREAMED_BEGINNING;
        if is_more { self.call.receive(STREAMED_REQUEST - STREAMED_WAITING) } else { Ok(()) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.form == RequestForm::Stream {
            return this.poll_stream(cx);
        }
        if this.late.as_mut().is_some_and(|late| late.as_mut().poll(cx).is_ready()) {
            let limit = this.call.transfer().as_secs_f64();
            let late = format!("the request did not arrive within {limit} s: send it at once");
            return Poll::Ready(Some(Err(Status::deadline_exceeded(late))));
        }
        let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(Box::new(error))))),
            Some(Ok(frame)) => frame,
        };
        let count = frame.data_ref().map_or(0, Bytes::len);
        Poll::Ready(Some(this.call.receive(count).map(|()| frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer on its way. Dropped when it was taken, or nobody wants it any more.
pub(super) struct AnswerBody {
    body: tonic::body::Body,
    call: Option<Arc<Call>>,
    measured: Option<MeasuredCall>,
    _held: Option<HeldUntilTaken>,
}

impl AnswerBody {
    fn refusal(body: tonic::body::Body) -> Self {
        Self { body, call: None, measured: None, _held: None }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // It is asked for the next frame only when the client has taken so much that there is room for it.
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(call) = &self.call {
            if frame.is_pending() { call.taken() } else { call.answered() }
        }
        if let (Some(measured), Poll::Ready(Some(Ok(frame)))) = (&mut self.measured, &frame)
            && let Some(trailers) = frame.trailers_ref()
        {
            measured.status(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use hyper::http::HeaderValue;

    use super::*;

    #[test]
    fn deadlines_of_clients() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_bytes(text.as_bytes()).unwrap());
            grpc_timeout(&headers)
        };
        assert_eq!(grpc_timeout(&HeaderMap::new()), None);
        assert_eq!(read("2S"), Some(Duration::from_secs(2)));
        assert_eq!(read("119998m"), Some(Duration::from_millis(119_998)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for none in ["", "S", "2", "2s", "+2S", "123456789S", "é"] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
}
