//! Manifests and other small things that are read into memory whole.

use super::failures::{Collected, RequestError};
use super::session::Session;
use crate::bounds::{CONFIGURATION_BYTES, MANIFEST_BYTES, SMALL_DOCUMENT};
use crate::digest::Digest;
use crate::error::PullError;
use crate::hosts::RegistryHost;
use crate::reference::Selector;
use crate::stages;
use peapod_text::innermost;
use reqwest::{Method, Response, header};
use tokio::time::{Instant, timeout_at};

/// A manifest or an index, verified.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) digest: Digest,
    pub(crate) media_type: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

/// Everything that peapod understands; schema 1 only so that it can be refused by name.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
const DIGEST_HEADER: &str = "docker-content-digest";

impl Session {
    /// Asks which digest the reference leads to, without fetching anything. `None` if no host says.
    pub(crate) async fn head(&self) -> Option<Digest> {
        let (path, for_tag) = self.manifest_path(&self.reference.selector);
        for host in self.hosts(for_tag) {
            self.span.enter_on(&stages::REGISTRY, format_args!("{}: manifest", host.address));
            match self.send(host, &Method::HEAD, &path, |r| r.header(header::ACCEPT, ACCEPT)).await {
                Ok(response) => return digest_header(&response),
                // The way to the image, and its errors, are the GET's matter.
                Err(RequestError::NotFound(_) | RequestError::Unreachable(_)) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// Fetches the manifest or index that the selector leads to.
    pub(crate) async fn manifest(&self, selector: &Selector) -> Result<Fetched, PullError> {
        let (path, for_tag) = self.manifest_path(selector);
        let wanted = match selector {
            Selector::Digest(digest) => Some(digest),
            Selector::Tag(_) => None,
        };
        let (response, bytes) = self.small(&path, for_tag, MANIFEST_BYTES, wanted).await?;
        let digest = Digest::of(&bytes);
        if let Some(said) = response.digest.filter(|said| *said != digest) {
            return Err(PullError::Digest { what: said, found: digest });
        }
        Ok(Fetched { digest, media_type: response.media_type, bytes })
    }

    /// Asks this host alone, once, for what the reference leads to; or why it does not serve that.
    pub(crate) async fn manifest_from(&self, host: &RegistryHost) -> Result<Fetched, String> {
        let selector = &self.reference.selector;
        let (path, _) = self.manifest_path(selector);
        let served = self.small_from(host, &path, MANIFEST_BYTES).await;
        let (said, bytes) = served.map_err(|failure| failure.message())?;
        let digest = Digest::of(&bytes);
        let wanted = match selector {
            Selector::Digest(wanted) => Some(wanted.clone()),
            Selector::Tag(_) => said.digest,
        };
        if wanted.is_some_and(|wanted| wanted != digest) {
            return Err("serves other bytes than the digest promises".to_owned());
        }
        Ok(Fetched { digest, media_type: said.media_type, bytes })
    }

    /// Fetches an image's configuration.
    pub(crate) async fn config(&self, digest: &Digest) -> Result<Vec<u8>, PullError> {
        Ok(self.small(&format!("blobs/{digest}"), false, CONFIGURATION_BYTES, Some(digest)).await?.1)
    }

    fn manifest_path(&self, selector: &Selector) -> (String, bool) {
        match selector {
            Selector::Tag(tag) => (format!("manifests/{tag}"), true),
            Selector::Digest(digest) => (format!("manifests/{digest}"), false),
        }
    }

    /// Asks one host after the other until one serves what was wanted.
    async fn small(
        &self,
        path: &str,
        for_tag: bool,
        limit: usize,
        wanted: Option<&Digest>,
    ) -> Result<(Said, Vec<u8>), PullError> {
        let mut collected = Collected::default();
        let what = if path.starts_with("manifests/") { "manifest" } else { "configuration" };
        for host in self.hosts(for_tag) {
            let mut tries = 0;
            loop {
                self.span.enter_on(&stages::REGISTRY, format_args!("{}: {what}", host.address));
                let failure = match self.small_from(host, path, limit).await {
                    Ok((said, bytes)) => match wanted.filter(|wanted| Digest::of(&bytes) != **wanted) {
                        None => return Ok((said, bytes)),
                        Some(_) => RequestError::Refused("serves other bytes than the digest promises".to_owned()),
                    },
                    Err(failure) => failure,
                };
                match failure {
                    RequestError::Passing(_, after) if tries < self.retries => {
                        self.span.enter_on(&stages::BACK_OFF, &host.address);
                        self.back_off(tries, after).await;
                        tries += 1;
                    }
                    failure => {
                        collected.add(host, failure);
                        break;
                    }
                }
            }
        }
        Err(collected.into_error(&self.reference))
    }

    /// Asks one host. A pull that holds large documents has to get on.
    async fn small_from(&self, host: &RegistryHost, path: &str, limit: usize) -> Result<(Said, Vec<u8>), RequestError> {
        let before = self.allowance.is_held();
        let served = tokio::select! {
            served = self.whole(host, path, limit) => served,
            // What is here already of this image goes with the pull.
            () = self.allowance.overdue(), if before => return Err(RequestError::Refused(too_slow())),
            () = self.allowance.overdue(), if !before => Err(RequestError::Passing(too_slow(), None)),
        };
        if served.is_err() && !before {
            self.allowance.release();
        }
        served
    }

    async fn whole(&self, host: &RegistryHost, path: &str, limit: usize) -> Result<(Said, Vec<u8>), RequestError> {
        let accept = if path.starts_with("manifests/") { ACCEPT } else { "*/*" };
        let mut response = self.send(host, &Method::GET, path, |r| r.header(header::ACCEPT, accept)).await?;
        let said = Said { digest: digest_header(&response), media_type: media_type(&response) };
        let (mut bytes, mut deadline) = (Vec::new(), Instant::now() + self.timeout);
        loop {
            let next = timeout_at(deadline, response.chunk()).await;
            let late = |_| RequestError::Passing(format!("not done within {} s", self.timeout.as_secs()), None);
            let next = next.map_err(late)?.map_err(|error| RequestError::Passing(innermost(&error), None))?;
            let Some(chunk) = next else { return Ok((said, bytes)) };
            if bytes.len() + chunk.len() > limit {
                return Err(RequestError::TooLarge(format!("serves more than {} MiB", limit >> 20)));
            }
            bytes.extend_from_slice(&chunk);
            self.allowance.came(chunk.len());
            if bytes.len() > SMALL_DOCUMENT && !self.allowance.is_held() {
                // While this waits, nothing more is read.
                let start = Instant::now();
                self.allowance.take().await;
                deadline += start.elapsed();
            }
        }
    }
}

fn too_slow() -> String {
    let size = SMALL_DOCUMENT >> 10;
    format!("the image's documents have more than {size} KiB and come too slowly; other pulls wait for their memory")
}

/// What the head of an answer says about its body.
struct Said {
    digest: Option<Digest>,
    media_type: Option<String>,
}

fn digest_header(response: &Response) -> Option<Digest> {
    response.headers().get(DIGEST_HEADER)?.to_str().ok().and_then(Digest::parse)
}

fn media_type(response: &Response) -> Option<String> {
    let value = response.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim().to_owned())
}
