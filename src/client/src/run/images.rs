//! The images of a pod: looked up or pulled, as each container's policy says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use peapod_api::v1;

use super::patience::RuntimePatience;
use super::progress;
use crate::connect::{CallError, CriClient, PULL, QUICK, call};
use crate::console::Console;
use crate::manifest::{Container, Pod, PullPolicy, PullSecret, Volume, VolumeSource};
use crate::units;

/// How often a long pull is mentioned.
const MENTION: Duration = Duration::from_secs(10);

/// An image that is there.
#[derive(Clone, Debug)]
pub(super) struct ContainerImage {
    pub(super) id: String,
    /// Who the container runs as, unless `username` says so.
    pub(super) uid: Option<i64>,
    pub(super) username: String,
}

impl ContainerImage {
    /// One that the runtime has to look up itself.
    pub(super) fn by_name(name: &str) -> Self {
        Self { id: name.to_owned(), uid: None, username: String::new() }
    }
}

/// An image that a pod needs, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PodImage {
    /// The container's name, or what stands for a volume.
    key: String,
    /// `container web`, `volume files`.
    who: String,
    image: String,
    pull: PullPolicy,
}

/// Under which name the image of a volume is kept; no container has such a name.
pub(super) fn of_volume(name: &str) -> String {
    format!("volume {name}")
}

/// The names of all images of a pod, as it names them.
pub(super) fn names(pod: &Pod) -> Vec<String> {
    wanted(pod).into_iter().map(|wanted| wanted.image).collect()
}

/// All images of a pod.
fn wanted(pod: &Pod) -> Vec<PodImage> {
    let container = |container: &Container| PodImage {
        key: container.name.clone(),
        who: format!("container {}", container.name),
        image: container.image.clone(),
        pull: container.pull,
    };
    let volume = |volume: &Volume| match &volume.source {
        VolumeSource::Image { reference, pull } => {
            let key = of_volume(&volume.name);
            Some(PodImage { who: key.clone(), key, image: reference.clone(), pull: *pull })
        }
        _ => None,
    };
    pod.all_containers().map(container).chain(pod.volumes.iter().filter_map(volume)).collect()
}

/// Why there is no image for a container.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error(
        "{who}: image {image} is not on this node, and its imagePullPolicy is Never: pull it first with `peapod pull {image}`"
    )]
    NeverPulled { who: String, image: String },
    #[error("{who}: cannot pull {image}")]
    Pull { who: String, image: String, source: CallError },
    #[error("{who}: cannot look up image {image}")]
    Status { who: String, image: String, source: CallError },
    #[error("{who}: {image} was pulled, but is gone again")]
    Vanished { who: String, image: String },
}

/// Makes sure that all images of a pod are there; each by the name of its container, and those of volumes.
pub(super) async fn ensure_all(
    connection: &CriClient,
    sandbox: &v1::PodSandboxConfig,
    pod: &Pod,
    console: &Console,
) -> Result<BTreeMap<String, ContainerImage>, ImageError> {
    let mut images = BTreeMap::<String, ContainerImage>::new();
    let wanted = wanted(pod);
    for one in &wanted {
        // Two containers of one image and policy need it once.
        let twin = wanted
            .iter()
            .find(|other| (&other.image, other.pull) == (&one.image, one.pull) && images.contains_key(&other.key));
        let image = match twin.and_then(|twin| images.get(&twin.key)) {
            Some(image) => image.clone(),
            None => ensure(connection, (sandbox, &pod.placement.pull_secrets), one, console).await?,
        };
        images.insert(one.key.clone(), image);
    }
    Ok(images)
}

/// Makes sure that an image is there.
async fn ensure(
    connection: &CriClient,
    (sandbox, secrets): (&v1::PodSandboxConfig, &[PullSecret]),
    wanted: &PodImage,
    console: &Console,
) -> Result<ContainerImage, ImageError> {
    if wanted.pull != PullPolicy::Always {
        if let Some(image) = look_up(connection, wanted).await? {
            return Ok(image.into());
        }
        if wanted.pull == PullPolicy::Never {
            return Err(ImageError::NeverPulled { who: wanted.who.clone(), image: wanted.image.clone() });
        }
    }
    let started = Instant::now();
    console.note(format!("pulling {}", wanted.image)).await;
    pull(connection, (sandbox, secrets), wanted, console).await?;
    let image = look_up(connection, wanted)
        .await?
        .ok_or_else(|| ImageError::Vanished { who: wanted.who.clone(), image: wanted.image.clone() })?;
    let (took, size) = (units::duration(started.elapsed()), units::bytes(image.size));
    console.note(format!("pulled {} in {took} ({size})", wanted.image)).await;
    Ok(image.into())
}

async fn look_up(connection: &CriClient, wanted: &PodImage) -> Result<Option<v1::Image>, ImageError> {
    let ask = async || {
        let request = v1::ImageStatusRequest { image: Some(spec(&wanted.image)), verbose: false };
        call("ImageStatus", QUICK, connection.image.clone().image_status(request)).await
    };
    let answer = RuntimePatience::default().ask(ask).await;
    answer.map(|status| status.image).map_err(|source| ImageError::Status {
        who: wanted.who.clone(),
        image: wanted.image.clone(),
        source,
    })
}

/// Pulls with one credential after the other, until one is taken; the last one's error is told. A runtime that goes
/// away in the middle is asked again when it is back.
async fn pull(
    connection: &CriClient,
    (sandbox, secrets): (&v1::PodSandboxConfig, &[PullSecret]),
    wanted: &PodImage,
    console: &Console,
) -> Result<(), ImageError> {
    let mut attempts = credentials(&wanted.image, secrets).into_iter().map(Some).collect::<Vec<_>>();
    if attempts.is_empty() {
        attempts.push(None);
    }
    let mut result = Ok(());
    let (mut patience, mut is_told) = (RuntimePatience::default(), false);
    for auth in attempts {
        result = loop {
            match pull_as(connection, sandbox, wanted, console, auth.clone()).await {
                Err(ImageError::Pull { source: error @ CallError::Gone { .. }, .. })
                    if patience.again(&error).await =>
                {
                    if !std::mem::replace(&mut is_told, true) {
                        let text = "the runtime went away; it is asked again as soon as it is back";
                        console.note(format!("pulling {}: {text}", wanted.image)).await;
                    }
                }
                other => break other,
            }
        };
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The credentials for an image, those that speak of it most closely first.
fn credentials(image: &str, secrets: &[PullSecret]) -> Vec<v1::AuthConfig> {
    let mut fitting: Vec<_> = secrets.iter().filter_map(|secret| Some((secret.fits(image)?, secret))).collect();
    fitting.sort_by_key(|(fits, _)| std::cmp::Reverse(*fits));
    let auth = |secret: &PullSecret| v1::AuthConfig {
        username: secret.username.clone(),
        password: secret.password.clone(),
        server_address: secret.registry.clone(),
        identity_token: secret.identity_token.clone(),
        ..Default::default()
    };
    fitting.into_iter().map(|(_, secret)| auth(secret)).collect()
}

/// CRI says nothing while it pulls; so that nobody thinks that it hangs, we do.
async fn pull_as(
    connection: &CriClient,
    sandbox: &v1::PodSandboxConfig,
    wanted: &PodImage,
    console: &Console,
    auth: Option<v1::AuthConfig>,
) -> Result<(), ImageError> {
    let image = v1::ImageSpec { annotations: sandbox.annotations.clone(), ..spec(&wanted.image) };
    let request = v1::PullImageRequest { image: Some(image.clone()), auth, sandbox_config: Some(sandbox.clone()) };
    let mut client = connection.image.clone();
    let mut pulling = std::pin::pin!(call("PullImage", PULL, client.pull_image(request)));
    let shows = AtomicBool::new(false);
    let mut showing = std::pin::pin!(progress::show(connection, &image, console, &shows));
    let started = Instant::now();
    loop {
        let pulled = async {
            tokio::select! {
                pulled = &mut pulling => pulled,
                never = &mut showing => match never {},
            }
        };
        let pulled = tokio::time::timeout(MENTION, pulled).await;
        if pulled.is_ok() {
            console.show(Vec::new()).await;
        }
        match pulled {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(source)) => {
                return Err(ImageError::Pull { who: wanted.who.clone(), image: wanted.image.clone(), source });
            }
            Err(_) if shows.load(Ordering::Relaxed) => {}
            Err(_) => {
                let took = units::duration(started.elapsed());
                console.note(format!("still pulling {} after {took}", wanted.image)).await;
            }
        }
    }
}

fn spec(image: &str) -> v1::ImageSpec {
    v1::ImageSpec { image: image.to_owned(), user_specified_image: image.to_owned(), ..Default::default() }
}

impl From<v1::Image> for ContainerImage {
    fn from(image: v1::Image) -> Self {
        let uid = match image.uid {
            Some(uid) => Some(uid.value),
            // As a kubelet does it: an image that names nobody runs as root.
            None if image.username.is_empty() => Some(0),
            None => None,
        };
        Self { id: image.id, uid, username: image.username }
    }
}
