//! Volumes that an image declares: folders of the container that its program can write to.

use std::path::PathBuf;

use crate::SpecError;
use crate::bounds::{IMAGE_VOLUME_DEPTH, IMAGE_VOLUMES, PATH_BYTES};
use crate::container::ContainerSpec;
use crate::inputs::ImageDefaults;
use crate::mount_points::{can_be_folder, is_below_a_mount};
use crate::note::Note;
use crate::path::normal_path;
use peapod_text::Sample;

/// The volumes of an image that the container needs as folders of its own, in normal form, each once. Left out are
/// those where the client mounts something, there or above: that is what the container sees; and, with a note, those
/// where every container has a file system of the kernel.
///
/// # Errors
/// The image declares more than any image needs.
pub fn image_volumes(
    image: &ImageDefaults,
    container: &ContainerSpec,
    notes: &mut Vec<Note>,
) -> Result<Vec<PathBuf>, SpecError> {
    if image.volumes.len() > IMAGE_VOLUMES {
        let what = "volumes of the image";
        return Err(SpecError::TooMany { field: "image", what, count: image.volumes.len(), most: IMAGE_VOLUMES });
    }
    let mut volumes = Vec::new();
    let mut ignored = Vec::new();
    for declared in &image.volumes {
        let path = normal_path(declared);
        let short = declared.len() <= PATH_BYTES && path.components().count() <= IMAGE_VOLUME_DEPTH;
        if declared.contains('\0') || !short || !can_be_folder(&path) {
            ignored.push(declared.as_str());
        } else if !is_below_a_mount(container, &path) {
            volumes.push(path);
        }
    }
    if !ignored.is_empty() {
        notes.push(Note::Volumes(Sample::of(ignored)));
    }
    // A parent before what lies in it.
    volumes.sort();
    volumes.dedup();
    Ok(volumes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Propagation;
    use crate::tests::fixture::Case;

    fn volumes(case: &Case, declared: &[&str]) -> (Vec<String>, Vec<Note>) {
        let mut notes = Vec::new();
        let volumes = declared.iter().map(|&path| path.to_owned()).collect();
        let image = ImageDefaults { volumes, ..ImageDefaults::default() };
        let found = image_volumes(&image, &case.container, &mut notes).unwrap();
        (found.into_iter().map(|path| path.to_str().unwrap().to_owned()).collect(), notes)
    }

    #[test]
    fn hostile_paths_are_named_and_left_out() {
        let (long, deep) = ("/x".repeat(3000), "/x".repeat(100));
        let hostile = ["/", "/proc", "/proc/self", "/../sys/", "dev/shm", "/a\0b", "", "/x/..", &long, &deep];
        let (found, notes) = volumes(&Case::new(), &hostile);
        assert!(found.is_empty(), "{found:?}");
        let [Note::Volumes(ignored)] = notes.as_slice() else { panic!("{notes:?}") };
        assert!(ignored.to_string().contains("\"/\", \"/proc\""), "{ignored}");
        assert!(ignored.to_string().len() < 2000, "{ignored}");
    }

    #[test]
    fn paths_have_their_normal_form_and_the_client_wins() {
        let mut case = Case::new();
        case.mount("/data", Propagation::Private);
        let declared = ["/../x", "/data", "/data/deep", "b//c", "/database", "/b/c/"];
        assert_eq!(volumes(&case, &declared), (vec!["/b/c".into(), "/database".into(), "/x".into()], Vec::new()));
    }

    #[test]
    fn no_image_has_thousands() {
        let image = ImageDefaults { volumes: vec!["/x".to_owned(); 100_000], ..ImageDefaults::default() };
        let error = image_volumes(&image, &Case::new().container, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("100000 volumes"), "{error}");
    }
}
