//! What commands in a container begin with.

use std::path::Path;
use std::sync::Arc;

use peapod_spec::ExecTemplate;
use tokio::sync::OnceCell;

use crate::bounds::CONFIG_BYTES;
use crate::error::Error;
use crate::read;

/// A container's user, environment, rights and the like: known since its start, or read from its bundle by the first
/// command after a restart of the daemon. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ExecBase(Arc<OnceCell<ExecTemplate>>);

/// Clones are equal, and nothing else is.
impl PartialEq for ExecBase {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl ExecBase {
    pub(super) fn of(template: ExecTemplate) -> Self {
        Self(Arc::new(OnceCell::new_with(Some(template))))
    }

    pub(super) async fn template(&self, bundle: &Path) -> Result<&ExecTemplate, Error> {
        self.0.get_or_try_init(|| read(bundle)).await
    }
}

async fn read(bundle: &Path) -> Result<ExecTemplate, Error> {
    let failed = |error: &(dyn std::error::Error + 'static)| Error::failed("read the container's config.json", error);
    let file = bundle.join("config.json");
    let read = tokio::task::spawn_blocking(move || read::whole(&file, CONFIG_BYTES)).await;
    let json = read.map_err(|panic| failed(&panic))?.map_err(|error| failed(&error))?;
    ExecTemplate::parse(&json).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let base = ExecBase::default();
        base.template(dir.path()).await.unwrap_err();
        let json = r#"{"process":{"cwd":"/tmp","user":{"uid":7,"gid":8},"args":["secret"]}}"#;
        std::fs::write(dir.path().join("config.json"), json).unwrap();
        let template = base.template(dir.path()).await.unwrap().clone();
        std::fs::remove_file(dir.path().join("config.json")).unwrap();
        assert_eq!(*base.clone().template(dir.path()).await.unwrap(), template);
        let process = String::from_utf8(template.process(&["true".to_owned()], false).unwrap()).unwrap();
        assert!(process.contains("/tmp") && !process.contains("secret"), "{process}");
    }
}
