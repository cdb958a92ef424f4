//! What a pull would do, step by step, without doing it: for people who ask why one fails.

use crate::bounds::ERROR_TEXT;
use crate::choose::{Chosen, DocumentSource, choose, understood};
use crate::configuration::{Configuration, configuration};
use crate::error::PullError;
use crate::hosts::{RegistryHost, hosts, hosts_file};
use crate::manifest::Document;
use crate::model::{Credentials, ImageId};
use crate::platform::Platform;
use crate::records::{chains, present};
use crate::reference::{Reference, Selector};
use crate::registry::{Fetched, Session};
use crate::store::Store;
use peapod_text::collapsed;
use peapod_trace::Span;
use std::sync::Arc;

/// What was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedStep {
    /// In a word or two.
    pub what: String,
    /// On one line of bounded length.
    pub found: String,
    /// A pull would end here, or go on to the next host.
    pub failed: bool,
}

/// What a pull would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// In full.
    pub reference: String,
    /// That is looked for.
    pub platform: String,
    /// In their order.
    pub steps: Vec<InspectedStep>,
    /// A pull would find the image.
    pub works: bool,
}

struct Inspecting {
    store: Arc<Store>,
    steps: Vec<InspectedStep>,
}

/// Asks each host of the registry for the manifest, and looks which image it leads to.
///
/// # Errors
/// [`PullError::Reference`]: it is no reference.
pub(crate) async fn inspect(
    store: &Arc<Store>,
    reference: &str,
    credentials: Option<Credentials>,
) -> Result<Inspection, PullError> {
    let config = store.pull_config.load_full();
    let reference = Reference::parse(reference, &store.config.default_registry)?;
    let platform = Platform::host();
    let mut inspecting = Inspecting { store: Arc::clone(store), steps: Vec::new() };
    inspecting.look_here(&reference);
    let (for_hosts, registry) = (Arc::clone(&config), reference.registry.clone());
    let looked = tokio::task::spawn_blocking(move || (hosts_file(&for_hosts, &registry), hosts(&for_hosts, &registry)));
    let (file, hosts) = looked.await.map_err(|_| PullError::Cancelled { reference: reference.to_string() })?;
    let works = match hosts {
        Err(error) => {
            inspecting.failed("hosts", &error.to_string());
            false
        }
        Ok(hosts) => {
            inspecting.tell_hosts(file.as_deref(), &hosts);
            inspecting.tell_credentials(credentials.as_ref());
            let clients = Arc::clone(&store.clients);
            let session = Session::new(&config, clients, hosts, reference.clone(), credentials, Span::default());
            inspecting.ask(&session, &platform).await
        }
    };
    Ok(Inspection { reference: reference.to_string(), platform: platform.to_string(), steps: inspecting.steps, works })
}

impl Inspecting {
    fn add(&mut self, what: &str, found: &str, failed: bool) {
        let found = collapsed(found, 2 * ERROR_TEXT);
        self.steps.push(InspectedStep { what: what.to_owned(), found, failed });
    }

    fn found(&mut self, what: &str, found: &str) {
        self.add(what, found, false);
    }

    fn failed(&mut self, what: &str, found: &str) {
        self.add(what, found, true);
    }

    fn look_here(&mut self, reference: &Reference) {
        let found = match self.store.records.catalog().by_name(&reference.to_string()) {
            Some(image) => format!("here already, as {}{}", image.id, if image.pinned { ", pinned" } else { "" }),
            None => "not here under this name".to_owned(),
        };
        self.found("store", &found);
    }

    fn tell_hosts(&mut self, file: Option<&std::path::Path>, hosts: &[RegistryHost]) {
        let by = file.map_or("no hosts.toml names it".to_owned(), |file| format!("by {}", file.display()));
        let origins: Vec<&str> = hosts.iter().map(RegistryHost::origin).collect();
        self.found("hosts", &format!("{by}: {}", origins.join(", ")));
    }

    fn tell_credentials(&mut self, credentials: Option<&Credentials>) {
        let found = match credentials {
            None => "none were given: a kubelet gets them from imagePullSecrets or a credential provider, and this \
                     command with --username"
                .to_owned(),
            Some(credentials) => format!("as {:?}", credentials.username),
        };
        self.found("credentials", &found);
    }

    /// Whether any host serves the image.
    async fn ask(&mut self, session: &Session, platform: &Platform) -> bool {
        let mut served = None;
        let for_tag = matches!(session.reference.selector, Selector::Tag(_));
        let hosts = session.hosts(for_tag);
        if hosts.is_empty() {
            self.failed("hosts", "no host is configured that may serve it");
        }
        for host in hosts {
            let origin = host.origin().to_owned();
            match session.manifest_from(host).await {
                Ok(fetched) => {
                    self.found(&origin, &format!("has it: {}", fetched.digest));
                    served.get_or_insert(fetched);
                }
                Err(problem) if served.is_some() => {
                    self.found(&origin, &format!("would not be asked, and does not have it: {problem}"));
                }
                Err(problem) => self.failed(&origin, &problem),
            }
        }
        let Some(top) = served else { return false };
        match self.image_of(session, platform, top).await {
            Ok(()) => true,
            Err(error) => {
                self.failed("image", &error.to_string());
                false
            }
        }
    }

    async fn image_of(&mut self, session: &Session, platform: &Platform, top: Fetched) -> Result<(), PullError> {
        let source = DocumentSource::Registry(session);
        let (top, document) = understood(source, top)?;
        if let Document::Artifact(artifact) = &document {
            let (count, kind) = (artifact.files.len(), collapsed(&artifact.kind, ERROR_TEXT));
            self.found("artifact", &format!("{} is one ({kind}), with {count} files", top.digest));
            return Ok(());
        }
        let is_index = matches!(document, Document::Index(_));
        let chosen = choose(source, platform, (top, document)).await?;
        let Chosen { manifest, digest, configuration: read, .. } = chosen;
        let text = match read {
            Some((text, _)) => text,
            None => session.config(&manifest.config.digest).await?,
        };
        let wrong = |problem| PullError::Manifest { reference: session.reference.to_string(), problem };
        let Configuration { diff_ids, target, .. } = configuration(&text).map_err(wrong)?;
        let from = if is_index { "of an index, the entry" } else { "no index: the image" };
        self.found("platform", &format!("{platform} is looked for; {from} {digest} is for {target}"));
        let blobs = manifest.layers(diff_ids.len()).map_err(wrong)?;
        let chains = chains(&diff_ids);
        let count = chains.len();
        let here = self.store.records.write(move |tx| present(tx, &chains)).await?.len();
        let bytes: u64 = blobs.iter().map(|blob| blob.size).fold(0, u64::saturating_add);
        let id = ImageId(manifest.config.digest);
        let known = if self.store.records.catalog().by_id(&id).is_some() { "here" } else { "not here" };
        self.found("image", &format!("{id} is {known}"));
        self.found("layers", &format!("{count}, with {bytes} bytes compressed; {here} of them are here"));
        Ok(())
    }
}
