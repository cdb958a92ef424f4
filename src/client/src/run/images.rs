//! The images of a pod: looked up or pulled, as each container's policy says.

use std::time::{Duration, Instant};

use peapod_api::v1;

use crate::connect::{CallError, CriClient, PULL, QUICK, call};
use crate::console::Console;
use crate::manifest::{Container, PullPolicy};
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

/// Why there is no image for a container.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error(
        "container {container}: image {image} is not on this node, and its imagePullPolicy is Never: pull it first with `peapod pull {image}`"
    )]
    NeverPulled { container: String, image: String },
    #[error("container {container}: cannot pull {image}")]
    Pull { container: String, image: String, source: CallError },
    #[error("container {container}: cannot look up image {image}")]
    Status { container: String, image: String, source: CallError },
    #[error("container {container}: {image} was pulled, but is gone again")]
    Vanished { container: String, image: String },
}

/// Makes sure that a container's image is there.
pub(super) async fn ensure(
    connection: &CriClient,
    sandbox: &v1::PodSandboxConfig,
    container: &Container,
    console: &Console,
) -> Result<ContainerImage, ImageError> {
    if container.pull != PullPolicy::Always {
        if let Some(image) = look_up(connection, container).await? {
            return Ok(image.into());
        }
        if container.pull == PullPolicy::Never {
            let (container, image) = (container.name.clone(), container.image.clone());
            return Err(ImageError::NeverPulled { container, image });
        }
    }
    let started = Instant::now();
    console.note(format!("pulling {}", container.image)).await;
    pull(connection, sandbox, container, console).await?;
    let image = look_up(connection, container)
        .await?
        .ok_or_else(|| ImageError::Vanished { container: container.name.clone(), image: container.image.clone() })?;
    let (took, size) = (units::duration(started.elapsed()), units::bytes(image.size));
    console.note(format!("pulled {} in {took} ({size})", container.image)).await;
    Ok(image.into())
}

async fn look_up(connection: &CriClient, container: &Container) -> Result<Option<v1::Image>, ImageError> {
    let request = v1::ImageStatusRequest { image: Some(spec(&container.image)), verbose: false };
    let answer = call("ImageStatus", QUICK, connection.image.clone().image_status(request)).await;
    answer.map(|status| status.image).map_err(|source| ImageError::Status {
        container: container.name.clone(),
        image: container.image.clone(),
        source,
    })
}

/// CRI says nothing while it pulls; so that nobody thinks that it hangs, we do.
async fn pull(
    connection: &CriClient,
    sandbox: &v1::PodSandboxConfig,
    container: &Container,
    console: &Console,
) -> Result<(), ImageError> {
    let image = v1::ImageSpec { annotations: sandbox.annotations.clone(), ..spec(&container.image) };
    let request = v1::PullImageRequest { image: Some(image), auth: None, sandbox_config: Some(sandbox.clone()) };
    let mut client = connection.image.clone();
    let mut pulling = std::pin::pin!(call("PullImage", PULL, client.pull_image(request)));
    let started = Instant::now();
    loop {
        match tokio::time::timeout(MENTION, &mut pulling).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(source)) => {
                let (container, image) = (container.name.clone(), container.image.clone());
                return Err(ImageError::Pull { container, image, source });
            }
            Err(_) => {
                let took = units::duration(started.elapsed());
                console.note(format!("still pulling {} after {took}", container.image)).await;
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
