//! Images that a container mounts beside its root file system: each is one overlay of nothing but its layers, which the
//! shim mounts in the bundle, and of which `config.json` binds what the container asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use peapod_image::{ImageId, Images, Rootfs};
use peapod_shim_protocol::{VOLUMES_FOLDER, VOLUMES_SINCE};
use peapod_spec::container::{ContainerMount, ImageSource};
use peapod_spec::{POD_FILES, ResolvedMount, SourcePropagation};
use peapod_text::{chain, excerpt};

use crate::error::Error;
use crate::record::ImageMount;
use crate::shim::{NewVolume, Shim};

/// The images of a container's mounts, with their layers, which it has leased.
#[derive(Clone, Debug, Default)]
pub(super) struct ImageMounts {
    /// Where they are going to be mounted, by their numbers.
    folder: PathBuf,
    /// In the order of their numbers.
    images: Vec<Rootfs>,
    /// The number of the image, by the mount's place in the request.
    of_mounts: BTreeMap<usize, usize>,
}

/// Which images the mounts of a request mean now.
pub(super) fn find(mounts: &[ContainerMount], images: &Images) -> Result<Vec<ImageMount>, Error> {
    let named = mounts.iter().enumerate().filter_map(|(index, mount)| Some((index, mount.image()?)));
    let found = named.map(|(mount, source)| match images.resolve(&source.reference) {
        Some(image) => Ok(ImageMount { mount, image_id: image.id.to_string() }),
        None => {
            let reason = format!("image {} is not present: pull it first", excerpt(&source.reference));
            Err(refused(mount, "image", reason))
        }
    });
    found.collect()
}

fn refused(mount: usize, field: &str, reason: String) -> Error {
    Error::ImageVolume { field: format!("mounts[{mount}].{field}"), reason }
}

impl ImageMounts {
    /// Keeps the layers of these images for the container `holder`, whose bundle that is.
    pub(super) async fn lease(
        images: &Images,
        holder: &str,
        bundle: &Path,
        mounts: &[ImageMount],
    ) -> Result<Self, Error> {
        let mut leased = Self { folder: bundle.join(VOLUMES_FOLDER), ..Self::default() };
        let mut numbers = BTreeMap::new();
        for ImageMount { mount, image_id } in mounts {
            let number = match numbers.get(image_id) {
                Some(number) => *number,
                None => {
                    let id = ImageId::parse(image_id)
                        .ok_or_else(|| refused(*mount, "image", format!("{} is no image", excerpt(image_id))))?;
                    let number = leased.images.len();
                    let rootfs = images.lease_volume(&id, holder, &format!("volume-{number}")).await;
                    leased.images.push(rootfs.map_err(|error| refused(*mount, "image", chain(&error)))?);
                    numbers.insert(image_id, number);
                    number
                }
            };
            leased.of_mounts.insert(*mount, number);
        }
        Ok(leased)
    }

    /// The source of the request's mount at that place, and what of the pod's files it has no place for. Blocks for a
    /// moment.
    pub(super) fn resolve(
        &self,
        (index, mount): (usize, &ContainerMount),
        source: &ImageSource,
    ) -> Result<ResolvedMount, Error> {
        let found = self.of_mounts.get(&index).and_then(|number| Some((number, self.images.get(*number)?)));
        let Some((number, rootfs)) = found else {
            return Err(refused(index, "image", "it was not looked up".to_owned()));
        };
        let part = rootfs.part(&source.sub_path).map_err(|error| {
            let (field, path) = ("image_sub_path", excerpt(&source.sub_path));
            refused(index, field, format!("{path} of {}: {}", excerpt(&source.reference), chain(&error)))
        })?;
        let lacks = |file: &&str| match Path::new(file).strip_prefix(&mount.container_path) {
            Ok(rest) => !rest.as_os_str().is_empty() && !part.has(rest),
            Err(_) => false,
        };
        Ok(ResolvedMount {
            // Not `join`, which ends in a slash where there is nothing to join.
            source: self.folder.join(number.to_string()).components().chain(part.path().components()).collect(),
            lacks: POD_FILES.into_iter().filter(lacks).collect(),
            propagation: SourcePropagation::Private,
        })
    }

    /// What the shim is to mount.
    pub(super) fn volumes(&self) -> Vec<NewVolume> {
        let volume = |(number, rootfs): (usize, &Rootfs)| NewVolume {
            name: number.to_string(),
            lower: rootfs.lower_dirs.clone(),
        };
        self.images.iter().enumerate().map(volume).collect()
    }

    /// Whether the pod's shim can mount them.
    pub(super) async fn check(&self, shim: &Shim) -> Result<(), Error> {
        if self.images.is_empty() {
            return Ok(());
        }
        let hello = shim.hello().await.map_err(|error| error.into_error("ask the pod's shim what it can mount"))?;
        if hello.protocol >= VOLUMES_SINCE {
            return Ok(());
        }
        let reason = format!(
            "the pod was made by peapod {}, whose shim mounts no images: run another sandbox for it",
            excerpt(&hello.version)
        );
        Err(refused(self.of_mounts.keys().next().copied().unwrap_or_default(), "image", reason))
    }
}
