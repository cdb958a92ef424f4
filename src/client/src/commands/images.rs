//! `peapod images`.

use peapod_api::v1;
use serde::Serialize;

use crate::cli::{ImagesArgs, OutputFormat};
use crate::connect::{CriClient, QUICK, call};
use crate::table::table;
use crate::{select, units};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedImage {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    size: u64,
    pinned: bool,
}

/// Lists images by their names.
pub(crate) async fn images(connection: &CriClient, args: &ImagesArgs) -> anyhow::Result<String> {
    let request = v1::ListImagesRequest { filter: None };
    let list = call("ListImages", QUICK, connection.image.clone().list_images(request)).await?;
    let mut images: Vec<ListedImage> = list
        .images
        .into_iter()
        .map(|image| ListedImage {
            id: image.id,
            repo_tags: image.repo_tags,
            repo_digests: image.repo_digests,
            size: image.size,
            pinned: image.pinned,
        })
        .collect();
    images.sort_by(|a, b| (&a.repo_tags, &a.repo_digests).cmp(&(&b.repo_tags, &b.repo_digests)));
    if args.output == OutputFormat::Json {
        return super::json(&images);
    }
    let rows: Vec<Vec<String>> = images.iter().flat_map(rows).collect();
    Ok(table(&["IMAGE", "TAG", "ID", "SIZE", "PINNED"], &rows))
}

/// One for each name of the image.
fn rows(image: &ListedImage) -> Vec<Vec<String>> {
    let names = if image.repo_tags.is_empty() { &image.repo_digests } else { &image.repo_tags };
    let row = |name: &str, tag: &str| {
        let (id, pinned) = (select::short(&image.id).to_owned(), if image.pinned { "yes" } else { "" });
        vec![name.to_owned(), tag.to_owned(), id, units::bytes(image.size), pinned.to_owned()]
    };
    if names.is_empty() {
        return vec![row("<none>", "<none>")];
    }
    let split = |name: &String| match name.split_once('@') {
        Some((name, _)) => row(name, "<none>"),
        None => name.rsplit_once(':').map_or_else(|| row(name, ""), |(name, tag)| row(name, tag)),
    };
    names.iter().map(split).collect()
}
