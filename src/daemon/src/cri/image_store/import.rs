//! Import: an archive of images, piece by piece. The first piece is asked for once it is this archive's turn, the next
//! one when there is room for it: an archive of any length takes no more memory than a few of them, and one that waits
//! none. A call that is given up leaves nothing.

mod pace;

use peapod_api::own::import_request::Part;
use peapod_api::own::{self, ImportOptions};
use peapod_image::{ArchiveSource, ImportError, ImportRequest, ImportedImage, PieceWriter, pieces};
use peapod_trace::Span;
use tonic::{Code, Status, Streaming};

use self::pace::ImportPace;
use crate::bounds::IMPORT_PIECE;
use crate::cri::Services;
use crate::cri::convert::FieldError;
use crate::cri::status::{Answer, Failure};

pub(super) async fn handle(
    services: &Services,
    mut stream: Streaming<own::ImportRequest>,
    span: Span,
) -> Answer<own::ImportResponse> {
    let _place = services.places.imports.take()?;
    let Some(Part::Options(options)) = next(&mut stream).await? else {
        return Err(FieldError::new("options", "has to come before the first piece").into());
    };
    let ImportOptions { name, platform, pin } = options;
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    let request = ImportRequest { name: said(name), platform: said(platform), pin, span };
    let (writer, reader) = pieces();
    let mut broken = None;
    let bringing = async {
        broken = bring(services, &mut stream, writer).await.err();
        std::future::pending::<()>().await;
    };
    // Who reads the archive is done with it, or says what is wrong, whether or not more would come.
    let imported = tokio::select! {
        imported = services.images.import(request, ArchiveSource::Pieces(reader)) => imported,
        () = bringing => Err(ImportError::BrokenOff),
    };
    let images = match (imported, broken) {
        // That it ended too early says who brought it.
        (Err(ImportError::BrokenOff), Some(failure)) => return Err(failure),
        (Err(error), _) => return Err(error.into()),
        (Ok(images), _) => images,
    };
    for ImportedImage { image, names, was_here } in &images {
        tracing::info!(id = %image.id, ?names, was_here, "an image was imported");
    }
    Ok(own::ImportResponse { images: images.into_iter().map(shown).collect() })
}

/// Hands on what comes until the stream ends, or until nobody reads any more: then the import's error says why.
async fn bring(services: &Services, stream: &mut Streaming<own::ImportRequest>, mut writer: PieceWriter) -> Answer<()> {
    if !writer.wanted().await {
        return Ok(());
    }
    let (mut pace, mut bytes) = (ImportPace::default(), 0_u64);
    loop {
        match pace.wait(next(stream), || services.images.is_import_awaited()).await? {
            // A call that its client gives up ends in the same way as one whose client has no more to say.
            None => return Err(Failure::Stream("the archive's end did not come".to_owned(), Code::Cancelled)),
            Some(Part::End(said)) if said == bytes => {
                writer.finish().await;
                return Ok(());
            }
            Some(Part::End(said)) => {
                let differs = format!("{bytes} bytes have come, and {said} should have");
                return Err(FieldError::new("end", differs).into());
            }
            Some(Part::Options(_)) => return Err(FieldError::new("options", "came twice").into()),
            Some(Part::Piece(piece)) if piece.len() > IMPORT_PIECE => {
                let long = format!("has {} bytes, and {IMPORT_PIECE} can be taken", piece.len());
                return Err(FieldError::new("piece", long).into());
            }
            Some(Part::Piece(piece)) => {
                bytes += piece.len() as u64;
                pace.came(piece.len());
                if !writer.write(piece).await {
                    return Ok(());
                }
            }
        }
    }
}

async fn next(stream: &mut Streaming<own::ImportRequest>) -> Answer<Option<Part>> {
    let broken = |status: Status| Failure::Stream(status.message().to_owned(), status.code());
    match stream.message().await.map_err(broken)? {
        None => Ok(None),
        Some(own::ImportRequest { part: Some(part) }) => Ok(Some(part)),
        Some(own::ImportRequest { part: None }) => Err(FieldError::new("part", "is missing").into()),
    }
}

fn shown(imported: ImportedImage) -> own::ImportedImage {
    let ImportedImage { image, names, was_here } = imported;
    own::ImportedImage { id: image.id.to_string(), names, size: image.size, was_here, pinned: image.pinned }
}
