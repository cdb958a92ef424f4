//! `peapod rmi`.

use peapod_api::v1;

use crate::cli::RmiArgs;
use crate::connect::{CHANGE, CriClient, QUICK, call};

/// Removes images with all their names.
pub(crate) async fn rmi(connection: &CriClient, args: &RmiArgs) -> anyhow::Result<()> {
    super::each(&args.images, async |wanted: &str| {
        let spec = v1::ImageSpec { image: wanted.to_owned(), ..Default::default() };
        // CRI takes the removal of what is not there for a success; a user wants to know.
        let request = v1::ImageStatusRequest { image: Some(spec.clone()), verbose: false };
        let found = call("ImageStatus", QUICK, connection.image.clone().image_status(request)).await?;
        anyhow::ensure!(found.image.is_some(), "there is no image `{wanted}`; `peapod images` lists all");
        let request = v1::RemoveImageRequest { image: Some(spec) };
        call("RemoveImage", CHANGE, connection.image.clone().remove_image(request)).await?;
        Ok(super::print(format!("{wanted}\n").as_bytes())?)
    })
    .await
}
