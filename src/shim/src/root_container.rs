//! The container that begins a sandbox of the OCI runtime, for runtimes that keep a pod's containers together in one:
//! gVisor. It is made before the pod's first container and ends with the pod; its master has written its bundle. Nobody
//! sees it in a list. When it ends by itself, all the others have ended: its master hears of it as of pod init's end.

use std::path::Path;
use std::sync::Arc;

use peapod_shim_protocol::extension::InitExited;
use peapod_shim_protocol::extension::event::Kind;
use tokio::sync::{Notify, OnceCell};

use crate::bundle::check_id;
use crate::container::create::{self, CreateRequest};
use crate::container::host::Host;
use crate::container::{OciContainer, supervise};
use crate::error::Error;
use crate::events::Events;
use crate::stdio::Uris;
use crate::{log, tasks};

/// The pod's, if there is one.
#[derive(Debug, Default)]
pub(crate) struct RootContainer {
    made: OnceCell<Arc<OciContainer>>,
    /// Ends calls of the runtime for it.
    interrupt: Arc<Notify>,
}

/// What it is made with, and where its bundle lies.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) host: &'a Host,
    pub(crate) bundles: &'a Path,
    pub(crate) events: &'a Arc<Events>,
}

impl RootContainer {
    /// Makes it unless it is there; many may ask at once, and `interrupt` of one who waits ends it for all.
    pub(crate) async fn ensure(
        &self,
        around: Surroundings<'_>,
        id: &str,
        first: &CreateRequest,
        interrupt: &Notify,
    ) -> Result<Arc<OciContainer>, Error> {
        let interrupted = async {
            loop {
                interrupt.notified().await;
                self.interrupt.notify_waiters();
            }
        };
        let root = tokio::select! {
            biased;
            root = self.made.get_or_try_init(|| make(around, id, first, Arc::clone(&self.interrupt))) => root?,
            () = interrupted => return Err(Error::Ending),
        };
        match root.phase().exit() {
            None => Ok(Arc::clone(root)),
            Some(_) => {
                let id = id.to_owned();
                Err(Error::State { kind: "sandbox of the OCI runtime", id, is: "ended", wanted: "running" })
            }
        }
    }

    /// Ends it with whatever is in its sandbox.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        let Some(root) = self.made.get() else { return Ok(()) };
        root.finish().await?;
        root.clean_up().await
    }
}

async fn make(
    around: Surroundings<'_>,
    id: &str,
    first: &CreateRequest,
    interrupt: Arc<Notify>,
) -> Result<Arc<OciContainer>, Error> {
    check_id(id)?;
    let Surroundings { host, bundles, events } = around;
    let request = CreateRequest {
        id: id.to_owned(),
        bundle: bundles.join(id),
        rootfs: Vec::new(),
        volumes: Vec::new(),
        uris: Uris::default(),
        runtime: first.runtime.clone(),
        oom_score_adj: None,
        cgroup: None,
        delegation: None,
        checkpoint: None,
        root: None,
    };
    let (root, supervised) = create::create(host, &request, None, interrupt).await?;
    let root = Arc::new(root);
    // Its end is told by who waits for it below.
    tasks::spawn(supervise::run(Arc::new(Events::new()), Arc::clone(&root), supervised));
    root.begin_start()?;
    if let Err(error) = root.start().await {
        if let Err(left) = root.delete().await {
            log::warn("a sandbox that can't be started leaves something", &[("error", &left)]);
        }
        return Err(error);
    }
    tasks::spawn(see_end(Arc::clone(&root), Arc::clone(events)));
    Ok(root)
}

async fn see_end(root: Arc<OciContainer>, events: Arc<Events>) {
    let code = root.wait().await.code;
    log::info("the sandbox of the OCI runtime has ended", &[("code", &code)]);
    events.push("", Kind::InitExited(InitExited { code, ..InitExited::default() }));
}
