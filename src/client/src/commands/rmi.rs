//! `peapod rmi`.

use peapod_api::own::UntagRequest;
use peapod_api::v1;
use peapod_text::one_line;

use crate::cli::RmiArgs;
use crate::connect::{CHANGE, CriClient, QUICK, call};

/// Takes names from images, and removes those that would have none, or that were named by their ids. Prints each name
/// that is gone.
pub(crate) async fn rmi(connection: &CriClient, args: &RmiArgs) -> anyhow::Result<()> {
    super::each(&args.images, async |wanted: &str| {
        let spec = v1::ImageSpec { image: wanted.to_owned(), ..Default::default() };
        // CRI takes the removal of what is not there for a success; a user wants to know.
        let request = v1::ImageStatusRequest { image: Some(spec.clone()), verbose: false };
        let found = call("ImageStatus", QUICK, connection.image.clone().image_status(request)).await?;
        let missing = || anyhow::anyhow!("there is no image `{wanted}`; `peapod images` lists all");
        let image = found.image.ok_or_else(missing)?;
        if image.repo_tags.len() > 1
            && let Some(tag) = untag(connection, wanted).await?
        {
            return Ok(super::print(format!("{}\n", one_line(&tag)).as_bytes())?);
        }
        let request = v1::RemoveImageRequest { image: Some(spec) };
        call("RemoveImage", CHANGE, connection.image.clone().remove_image(request)).await?;
        Ok(super::print(gone(wanted, &image.repo_tags).as_bytes())?)
    })
    .await
}

/// Takes one name from an image that has others; answers it in full. CRI has no call for that: other runtimes remove
/// the image with all its names.
async fn untag(connection: &CriClient, wanted: &str) -> anyhow::Result<Option<String>> {
    let request = UntagRequest { image: wanted.to_owned() };
    match call("Untag", CHANGE, connection.store.clone().untag(request)).await {
        Ok(answer) => Ok(Some(answer.untagged).filter(|tag| !tag.is_empty())),
        Err(error) if error.is_unimplemented() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What to say of an image that is removed: all the names that it had.
fn gone(wanted: &str, tags: &[String]) -> String {
    match tags {
        [] | [_] => format!("{wanted}\n"),
        tags => tags.iter().map(|tag| format!("{}\n", one_line(tag))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[tokio::test]
    async fn a_runtime_that_removes_all_names_has_them_told() {
        let (fake, dir) = (Fake::default().with_image("a:1").with_image("b:1"), tempfile::tempdir().unwrap());
        fake.state(|state| state.images[0].repo_tags.push("a:2".to_owned()));
        let connection = CriClient::open(&fake.serve(dir.path())).await.unwrap();
        assert_eq!(untag(&connection, "a:1").await.unwrap(), None, "it knows no such call");
        let images = ["a:1", "b:1"].map(str::to_owned).to_vec();
        rmi(&connection, &RmiArgs { images }).await.unwrap();
        assert!(fake.state(|state| state.images.is_empty()));
        assert_eq!(gone("a:1", &["a:1".to_owned(), "a\n:2".to_owned()]), "a:1\na\\n:2\n");
        assert_eq!(gone("sha256:00", &[]), "sha256:00\n");
        let error = rmi(&connection, &RmiArgs { images: vec!["a:1".to_owned()] }).await.unwrap_err();
        assert!(error.to_string().contains("there is no image `a:1`"), "{error}");
    }
}
