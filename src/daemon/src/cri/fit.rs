//! Makes answers fit into a message by leaving out what nobody depends on.

use std::collections::BTreeMap;

use bytes::Bytes;
use peapod_api::v1;
use prost::Message;

use super::Services;
use super::status::Answer;

/// An answer with information for people beside what it is asked for.
pub(super) trait Verbose: Message {
    fn info(&mut self) -> &mut BTreeMap<String, String>;
}

macro_rules! verbose {
    ($($message:ident),*) => {$(
        impl Verbose for v1::$message {
            fn info(&mut self) -> &mut BTreeMap<String, String> {
                &mut self.info
            }
        }
    )*};
}

verbose!(StatusResponse, PodSandboxStatusResponse, ContainerStatusResponse, ImageStatusResponse);

/// An answer of a call, if it is one, as long as a message may be.
pub(super) fn answer<T: Verbose>(services: &Services, answer: Answer<T>) -> Answer<T> {
    answer.map(|answer| verbose(services.config.grpc.max_message_bytes, answer))
}

/// The information is left out if the answer is longer than `limit` with it: what it was asked for has to arrive.
fn verbose<T: Verbose>(limit: usize, mut answer: T) -> T {
    let bytes = answer.encoded_len();
    if bytes > limit {
        for text in answer.info().values_mut() {
            *text = format!("{{\"leftOut\":\"the answer would have {bytes} bytes, a message has {limit} at most\"}}");
        }
    }
    answer
}

/// The same of a list of images.
pub(super) fn images(services: &Services, answer: v1::ListImagesResponse) -> v1::ListImagesResponse {
    without_annotations(services.config.grpc.max_message_bytes, answer)
}

/// Annotations of images, which whoever made an image has written, are left out, the longest first, until all images
/// fit.
fn without_annotations(limit: usize, mut answer: v1::ListImagesResponse) -> v1::ListImagesResponse {
    let mut bytes = answer.encoded_len();
    if bytes <= limit {
        return answer;
    }
    answer.images.sort_by_key(|image| std::cmp::Reverse(image.spec.as_ref().map_or(0, Message::encoded_len)));
    for spec in answer.images.iter_mut().filter_map(|image| image.spec.as_mut()) {
        if bytes <= limit {
            break;
        }
        let before = spec.encoded_len();
        spec.annotations.clear();
        bytes -= before - spec.encoded_len();
    }
    answer
}

/// Values of metrics, each pod's encoded, without those of pods that have most of them if not all fit: one pod hides no
/// others.
pub(super) fn metrics(limit: usize, pod_metrics: Vec<Bytes>) -> v1::ListPodSandboxMetricsResponse {
    let mut answer = v1::ListPodSandboxMetricsResponse { pod_metrics };
    let mut bytes = answer.encoded_len();
    if bytes <= limit {
        return answer;
    }
    answer.pod_metrics.sort_by_key(|pod| std::cmp::Reverse(pod.len()));
    let all = answer.pod_metrics.len();
    let most = answer.pod_metrics.iter().take_while(|pod| {
        let is_over = bytes > limit;
        bytes = bytes.saturating_sub(pod.len());
        is_over
    });
    let left_out = most.count();
    answer.pod_metrics.drain(..left_out);
    tracing::warn!(left_out, all, limit, "metrics of some pods don't fit into a message");
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_arrives_without_what_is_too_long() {
        let info = BTreeMap::from([("info".to_owned(), "x".repeat(1000))]);
        let answer = v1::PodSandboxStatusResponse { timestamp: 7, info, ..Default::default() };
        assert_eq!(verbose(2000, answer.clone()), answer);
        let answer = verbose(500, answer);
        assert!(answer.encoded_len() <= 500 && answer.timestamp == 7);
        let left: serde_json::Value = serde_json::from_str(&answer.info["info"]).unwrap();
        assert!(left["leftOut"].as_str().unwrap().contains("500"), "{left}");
    }

    #[test]
    fn images_lose_annotations_before_the_list_is_lost() {
        let image = |length: usize| v1::Image {
            id: length.to_string(),
            spec: Some(v1::ImageSpec {
                annotations: BTreeMap::from([("key".to_owned(), "v".repeat(length))]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let all = v1::ListImagesResponse { images: vec![image(10), image(5000), image(3000), image(20)] };
        assert_eq!(without_annotations(1 << 20, all.clone()), all);
        let fitting = without_annotations(4000, all);
        assert!(fitting.encoded_len() <= 4000);
        let kept = |id: &str| {
            let image = fitting.images.iter().find(|image| image.id == id).unwrap();
            !image.spec.as_ref().unwrap().annotations.is_empty()
        };
        assert!(kept("10") && kept("20") && kept("3000") && !kept("5000"));
    }

    #[test]
    fn pods_with_most_metrics_are_left_out() {
        let all: Vec<_> = [20, 500, 30, 400].map(|length| Bytes::from(vec![b'x'; length * 10])).into();
        let lengths = |limit| -> Vec<_> { metrics(limit, all.clone()).pod_metrics.iter().map(Bytes::len).collect() };
        assert_eq!(lengths(1 << 20), [200, 5000, 300, 4000]);
        assert_eq!(lengths(5000), [4000, 300, 200]);
        assert_eq!(lengths(600), [300, 200]);
        assert!(metrics(600, all.clone()).encoded_len() <= 600);
    }
}
