//! Export: images into an archive, which is made as the client takes it. A call that is given up ends that.

use futures_util::stream;
use peapod_api::own::{ExportRequest, ExportResponse};
use peapod_image::{ExportError, ExportedPieces};
use tonic::Status;

use crate::bounds::EXPORTED_IMAGES;
use crate::cri::Services;
use crate::cri::call::AnswerStream;
use crate::cri::convert::{FieldError, image_name};
use crate::cri::status::{Answer, Failure};

pub(super) async fn handle(services: &Services, request: ExportRequest) -> Answer<AnswerStream<ExportResponse>> {
    let place = services.places.exports.take()?;
    let count = request.images.len();
    if !(1..=EXPORTED_IMAGES).contains(&count) {
        return Err(FieldError::new("images", format!("has {count} names: give 1 to {EXPORTED_IMAGES}")).into());
    }
    let names = request.images.into_iter().enumerate();
    let names =
        names.map(|(index, name)| image_name(&format!("images[{index}]"), name)).collect::<Result<Vec<_>, _>>()?;
    let pieces = services.images.export(&names).await.map_err(Failure::from)?;
    Ok(Box::pin(stream::try_unfold((pieces, place), async |(mut pieces, place): (ExportedPieces, _)| {
        match pieces.next().await {
            None => Ok(None),
            Some(Ok(piece)) => Ok(Some((ExportResponse { piece }, (pieces, place)))),
            Some(Err(error)) => Err(failed(error)),
        }
    })))
}

fn failed(error: ExportError) -> Status {
    let failure = Failure::from(error);
    tracing::warn!(why = failure.message(), "an export ends");
    failure.into()
}
