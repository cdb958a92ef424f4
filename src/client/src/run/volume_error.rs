//! What can go wrong with a pod's folder and volumes.

use std::io;
use std::path::PathBuf;

use super::env::EnvSyntaxError;
use crate::bounds::VOLUME_FILES_BYTES;

/// Why a volume can't be mounted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("cannot make {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("volume {volume}: the hostPath {} is not there; its type could be DirectoryOrCreate", path.display())]
    Missing { volume: String, path: PathBuf },
    #[error("volume {volume}: the hostPath {} is {found}, and its type asks for {wanted}", path.display())]
    Type { volume: String, path: PathBuf, found: &'static str, wanted: &'static str },
    #[error("volume {volume}: cannot look at the hostPath {}", path.display())]
    Look { volume: String, path: PathBuf, source: io::Error },
    #[error(
        "volume {volume}: there is no PersistentVolumeClaim {claim} in these files, and no folder {} of an earlier one: \
         give the file of the claim as well", path.display()
    )]
    NoClaim { volume: String, claim: String, path: PathBuf },
    #[error("volume {volume}: cannot {doing}")]
    Fill { volume: String, doing: &'static str, source: io::Error },
    #[error("volume {volume}: cannot mount its part {part}")]
    Part { volume: String, part: String, source: io::Error },
    #[error("volume {volume}: the variables of {path}")]
    Variables { volume: String, path: String, source: EnvSyntaxError },
    #[error("volume {volume}: cannot read the variables of {path}")]
    Read { volume: String, path: String, source: io::Error },
    #[error(
        "volume {volume}: the files of the pod's volumes have more than {} MiB with this one's: leave some out, or put \
         them into an image", VOLUME_FILES_BYTES >> 20
    )]
    TooLarge { volume: String },
    #[error("the thread that makes volumes has ended")]
    Thread,
}
