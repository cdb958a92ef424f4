//! `peapod pin` and `peapod unpin`.

use peapod_api::own::PinRequest;

use crate::connect::{CHANGE, CriClient, call};
use crate::image_cli::PinArgs;

/// Has garbage collection leave images alone, or not any more.
pub(crate) async fn pin(connection: &CriClient, args: &PinArgs, pinned: bool) -> anyhow::Result<()> {
    super::each(&args.images, async |image| {
        let request = PinRequest { image: image.to_owned(), pinned };
        let done = call("Pin", CHANGE, connection.store.clone().pin(request)).await;
        let instead = "containerd has the label io.cri-containerd.pinned=pinned, CRI-O the key pinned_images";
        done.map_err(|error| super::own_service(connection, error, "pin images", instead))?;
        Ok(())
    })
    .await
}
