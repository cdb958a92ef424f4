//! A stopped pod's files.

use super::SandboxOperations;
use crate::dir;
use crate::error::Error;
use crate::id::PodId;

impl SandboxOperations {
    /// Removes a pod's folder. Already gone is success.
    pub(crate) async fn remove_files(&self, id: &PodId) -> Result<(), Error> {
        let removed = dir::remove(&self.trash, self.layout.pod_dir(id)).await;
        peapod_sys::fail_point("pod-files-gone");
        removed
    }
}
