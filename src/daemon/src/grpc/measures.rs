//! What the gRPC server counts: connections, what requests take, and calls by method and status.

use std::sync::Arc;
use std::time::Instant;

use hyper::http::HeaderMap;
use peapod_measure::{Counter, Gauge, GaugeHold, Histogram, HistogramReading};
use tonic::Code;

use super::codes::CODES;
use super::methods::{METHODS, OTHER, position};

/// Upper bounds, in seconds: what is read from memory takes less than a millisecond, a call waits two minutes at most.
const CALL_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Of all connections. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct GrpcMeasures {
    pub(crate) connections: Gauge,
    /// Connections that found no place.
    pub(crate) refused: Counter,
    /// Connections that made place for others.
    pub(crate) evicted: Counter,
    /// Bytes of requests that are in memory.
    pub(crate) request_bytes: Gauge,
    methods: Arc<[MethodMeasures]>,
}

#[derive(Debug)]
struct MethodMeasures {
    running: Gauge,
    seconds: Histogram,
    codes: [Counter; CODES.len()],
}

/// What was counted of one method.
#[derive(Debug)]
pub(crate) struct MethodReading {
    pub(crate) method: &'static str,
    pub(crate) running: u64,
    pub(crate) seconds: HistogramReading,
    /// Those that there were, each by the name of its code.
    pub(crate) codes: Vec<(&'static str, u64)>,
}

impl Default for GrpcMeasures {
    fn default() -> Self {
        let method = |_| MethodMeasures {
            running: Gauge::default(),
            seconds: Histogram::new(CALL_SECONDS),
            codes: std::array::from_fn(|_| Counter::default()),
        };
        Self {
            connections: Gauge::default(),
            refused: Counter::default(),
            evicted: Counter::default(),
            request_bytes: Gauge::default(),
            // One more, for all that are no methods of ours.
            methods: (0..=METHODS.len()).map(method).collect(),
        }
    }
}

impl GrpcMeasures {
    /// A call begins, by the path of its request.
    pub(super) fn begin(&self, path: &str) -> MeasuredCall {
        let method = position(path);
        let running = self.methods.get(method).map(|measures| measures.running.hold());
        MeasuredCall {
            methods: Arc::clone(&self.methods),
            method,
            began: Instant::now(),
            answered: false,
            code: None,
            _running: running,
        }
    }

    /// All methods of which there was a call.
    pub(crate) fn read(&self) -> Vec<MethodReading> {
        let names = METHODS.iter().copied().chain([OTHER]);
        let all = names.zip(&*self.methods).map(|(method, measures)| {
            let codes = CODES.iter().zip(&measures.codes).map(|(name, count)| (*name, count.get()));
            MethodReading {
                method,
                running: measures.running.get(),
                seconds: measures.seconds.read(),
                codes: codes.filter(|(_, count)| *count > 0).collect(),
            }
        });
        all.filter(|reading| reading.running > 0 || !reading.codes.is_empty()).collect()
    }
}

/// A call, counted once it is dropped: with its answer's status, or as cancelled if there is none.
#[derive(Debug)]
pub(super) struct MeasuredCall {
    methods: Arc<[MethodMeasures]>,
    method: usize,
    began: Instant,
    answered: bool,
    code: Option<Code>,
    _running: Option<GaugeHold>,
}

impl MeasuredCall {
    /// The answer is there, or a stream of answers begins: so long it took.
    pub(super) fn answer(&mut self, headers: &HeaderMap) {
        self.answered();
        self.status(headers);
    }

    /// Headers or trailers, of which one has the status.
    pub(super) fn status(&mut self, fields: &HeaderMap) {
        if let Some(status) = fields.get("grpc-status") {
            self.code = Some(Code::from_bytes(status.as_bytes()));
        }
    }

    fn answered(&mut self) {
        if !self.answered {
            self.answered = true;
            if let Some(measures) = self.methods.get(self.method) {
                measures.seconds.observe_since(self.began);
            }
        }
    }
}

impl Drop for MeasuredCall {
    fn drop(&mut self) {
        self.answered();
        let code = self.code.unwrap_or(Code::Cancelled);
        let counter = self
            .methods
            .get(self.method)
            .and_then(|measures| measures.codes.get(usize::try_from(i32::from(code)).unwrap_or_default()));
        if let Some(counter) = counter {
            counter.increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::http::HeaderValue;

    use super::*;

    fn status(code: &'static str) -> HeaderMap {
        HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(code))])
    }

    #[test]
    fn calls_count_by_method_and_code() {
        let measures = GrpcMeasures::default();
        let mut good = measures.begin("/runtime.v1.RuntimeService/Version");
        good.answer(&HeaderMap::new());
        good.status(&status("0"));
        let mut refused = measures.begin("/runtime.v1.RuntimeService/StopContainer");
        refused.answer(&status("5"));
        drop((good, refused));
        drop(measures.begin("/runtime.v1.ImageService/PullImage"));
        drop(measures.begin("/runtime.v1.ImageService/Version"));
        drop(measures.begin("/peapod.v1.ImageStore/Import"));
        let going = measures.begin("/else/where");
        let read = measures.read();
        let told: Vec<_> = read.iter().map(|read| (read.method, read.running, &*read.codes)).collect();
        let wanted: [(_, _, &[_]); 5] = [
            ("Import", 0, &[("Canceled", 1)]),
            ("PullImage", 0, &[("Canceled", 1)]),
            ("StopContainer", 0, &[("NotFound", 1)]),
            ("Version", 0, &[("OK", 1)]),
            ("other", 1, &[("Canceled", 1)]),
        ];
        assert_eq!(told, wanted);
        assert!(read.iter().all(|read| read.seconds.count == read.codes.iter().map(|(_, count)| count).sum::<u64>()));
        drop(going);
    }
}
