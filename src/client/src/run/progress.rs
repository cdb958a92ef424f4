//! How far a pull has come, layer by layer, as peapod tells it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use peapod_api::v1;
use serde::Deserialize;

use crate::connect::{CriClient, QUICK, call};
use crate::console::Console;
use crate::units;

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(200);
/// Answers without operations after which a runtime is taken for one that tells none.
const FOREIGN: u32 = 5;
/// Layers that are shown; an image rarely has more.
const SHOWN: usize = 32;
/// Columns of a bar.
const BAR: usize = 24;
/// Rates are of the last so long.
const RATE: Duration = Duration::from_secs(1);

#[derive(Default, Deserialize)]
#[serde(default)]
struct PullOperations {
    operations: Vec<PullOperation>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PullOperation {
    name: String,
    state: String,
    stages: Vec<PullStage>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PullStage {
    name: String,
    about: String,
    is_running: bool,
    done_bytes: Option<u64>,
    of_bytes: Option<u64>,
    stages: Vec<PullStage>,
}

/// A layer that is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LayerProgress {
    digest: String,
    /// Done, and of how many.
    bytes: Option<(u64, u64)>,
    is_over: bool,
    /// All has come, and is being unpacked.
    is_unpacked: bool,
}

/// The layers of the pull that is under way.
fn layers(operations: &str) -> Vec<LayerProgress> {
    let told: PullOperations = serde_json::from_str(operations).unwrap_or_default();
    let pull = told.operations.into_iter().rev().find(|one| one.name == "PullImage" && one.state == "running");
    let mut found = Vec::new();
    if let Some(pull) = pull {
        add(&mut found, &pull.stages);
    }
    found
}

fn add(found: &mut Vec<LayerProgress>, stages: &[PullStage]) {
    for stage in stages {
        if stage.name != "layer" {
            add(found, &stage.stages);
        } else if found.len() < SHOWN && !found.iter().any(|layer| layer.digest == stage.about) {
            let mut inner = Vec::new();
            flatten(&stage.stages, &mut inner);
            let transfers = inner.iter().rev().find_map(|inner| Some((inner.done_bytes?, inner.of_bytes?)));
            found.push(LayerProgress {
                digest: stage.about.clone(),
                bytes: transfers,
                is_over: !stage.is_running,
                is_unpacked: inner.iter().any(|inner| inner.name == "unpack" && inner.is_running),
            });
        }
    }
}

/// All that is in stages, each behind the one that it is in.
fn flatten<'a>(stages: &'a [PullStage], into: &mut Vec<&'a PullStage>) {
    for stage in stages {
        into.push(stage);
        flatten(&stage.stages, into);
    }
}

/// What layers had, and when.
#[derive(Default)]
struct Rates(BTreeMap<String, Vec<(Instant, u64)>>);

impl Rates {
    /// Bytes a second.
    fn of(&mut self, layer: &str, done: u64, now: Instant) -> Option<u64> {
        let seen = self.0.entry(layer.to_owned()).or_default();
        seen.retain(|(then, _)| now.saturating_duration_since(*then) <= RATE);
        seen.push((now, done));
        let (then, before) = *seen.first()?;
        let time = now.saturating_duration_since(then).as_secs_f64();
        (time >= RATE.as_secs_f64() / 4.0).then(|| (done.saturating_sub(before) as f64 / time) as u64)
    }
}

/// A line for each layer.
fn bars(layers: &[LayerProgress], rates: &mut Rates, now: Instant) -> Vec<String> {
    let line = |layer: &LayerProgress| {
        let digest = layer.digest.strip_prefix("sha256:").unwrap_or(&layer.digest);
        let digest: String = digest.chars().take(12).collect();
        let (done, of) = match layer.bytes {
            None if layer.is_over => return format!("  {digest}  here"),
            None => return format!("  {digest}  waiting"),
            Some(bytes) => bytes,
        };
        let full = if of == 0 { BAR } else { (u128::from(done.min(of)) * BAR as u128 / u128::from(of)) as usize };
        let bar = format!("[{}{}]", "=".repeat(full), " ".repeat(BAR - full));
        let rest = match rates.of(&layer.digest, done, now) {
            _ if layer.is_over => "here".to_owned(),
            _ if layer.is_unpacked => "unpacking".to_owned(),
            Some(rate) => format!("{}/s", units::bytes(rate)),
            None => String::new(),
        };
        format!("  {digest}  {bar} {} of {}  {rest}", units::bytes(done), units::bytes(of)).trim_end().to_owned()
    };
    layers.iter().map(line).collect()
}

/// Shows a bar for each layer of an image that is pulled, as long as this is waited for, on a terminal and of a runtime
/// that tells. `shows` is whether it does.
pub(super) async fn show(
    connection: &CriClient,
    image: &v1::ImageSpec,
    console: &Console,
    shows: &AtomicBool,
) -> Infallible {
    let (mut rates, mut silent) = (Rates::default(), 0);
    while console.has_screen() && silent < FOREIGN {
        tokio::time::sleep(PERIOD).await;
        let request = v1::ImageStatusRequest { image: Some(image.clone()), verbose: true };
        let status = call("ImageStatus", QUICK, connection.image.clone().image_status(request)).await;
        // A runtime that is away for a moment tells again when it is back.
        let Ok(status) = status else { continue };
        let Some(operations) = status.info.get("operations") else {
            silent += 1;
            continue;
        };
        shows.store(true, Ordering::Relaxed);
        console.show(bars(&layers(operations), &mut rates, Instant::now())).await;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = r#"{"operations": [
        {"name": "PullImage", "state": "failed", "stages": [{"name": "layer", "about": "sha256:old"}]},
        {"name": "PullImage", "state": "running", "stages": [{"name": "pull", "isRunning": true, "stages": [
            {"name": "layer", "about": "sha256:0123456789abcdef", "isRunning": true, "stages": [{"name": "fetch", "stages": [
                {"name": "transfer", "about": "a.b", "doneBytes": 1, "ofBytes": 4000000},
                {"name": "transfer", "about": "a.b", "doneBytes": 1000000, "ofBytes": 4000000, "isRunning": true}]}]},
            {"name": "layer", "about": "sha256:b", "isRunning": true, "stages": [{"name": "slot", "isRunning": true}]},
            {"name": "layer", "about": "sha256:c", "isRunning": true, "stages": [
                {"name": "transfer", "doneBytes": 5, "ofBytes": 5}, {"name": "unpack", "isRunning": true}]},
            {"name": "layer", "about": "sha256:d", "stages": [{"name": "transfer", "doneBytes": 5, "ofBytes": 5}]}
        ]}]}], "leftOut": 0}"#;

    #[test]
    fn a_bar_for_each_layer() {
        let (mut rates, begin) = (Rates::default(), Instant::now());
        let layers = layers(TOLD);
        let first = bars(&layers, &mut rates, begin);
        assert_eq!(
            first,
            [
                "  0123456789ab  [======                  ] 1.0 MB of 4.0 MB",
                "  b  waiting",
                "  c  [========================] 5 B of 5 B  unpacking",
                "  d  [========================] 5 B of 5 B  here",
            ]
        );
        let mut later = layers[..1].to_vec();
        later[0].bytes = Some((3_000_000, 4_000_000));
        let second = bars(&later, &mut rates, begin + Duration::from_millis(500));
        assert_eq!(second, ["  0123456789ab  [==================      ] 3.0 MB of 4.0 MB  4.0 MB/s"]);
    }

    #[test]
    fn nonsense_shows_nothing() {
        for text in ["", "[]", "{}", r#"{"operations": [{"name": "PullImage", "state": "running"}]}"#] {
            assert!(layers(text).is_empty(), "{text}");
        }
        let zero = LayerProgress { digest: String::new(), bytes: Some((9, 0)), is_over: false, is_unpacked: false };
        assert_eq!(bars(&[zero], &mut Rates::default(), Instant::now()).len(), 1);
    }
}
