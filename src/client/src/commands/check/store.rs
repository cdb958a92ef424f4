//! `peapod check store`: who holds what of the image store.

use std::collections::BTreeSet;

use peapod_api::own::{StoreUsageRequest, StoreUsageResponse, UsedImage};

use super::report::CheckReport;
use crate::connect::{CHANGE, CriClient, call};
use crate::table::table;
use crate::{select, units};

/// The store in short, and the tables of its images and layers.
pub(super) async fn check_store(connection: &CriClient) -> anyhow::Result<(CheckReport, String)> {
    let answer = call("StoreUsage", CHANGE, connection.store.clone().store_usage(StoreUsageRequest {})).await;
    let instead = "`crictl images` and `crictl imagefsinfo` tell what every runtime tells";
    let usage =
        answer.map_err(|error| crate::commands::own_service(connection, error, "tell of its store", instead))?;
    Ok((summary(&usage), tables(&usage)))
}

fn summary(usage: &StoreUsageResponse) -> CheckReport {
    let mut report = CheckReport::default();
    let bytes: u64 = usage.layers.iter().map(|layer| layer.bytes).sum();
    let found = format!(
        "{}: {} images, {} layers with {}; {} free",
        usage.root,
        usage.images.len(),
        usage.layers.len(),
        units::bytes(bytes),
        units::bytes(usage.free_bytes)
    );
    report.works("store", found);
    let used: BTreeSet<&String> = usage.images.iter().flat_map(|image| &image.layers).collect();
    let alone = usage.layers.iter().filter(|layer| !used.contains(&layer.name));
    let (count, bytes) = alone.fold((0, 0), |(count, bytes), layer| (count + 1, bytes + layer.bytes));
    if count > 0 {
        let found = format!("{count} with {} are kept for containers whose image is gone", units::bytes(bytes));
        report.notice("layers", found, Some("they go with these containers"));
    }
    if !usage.partials.is_empty() {
        let bytes: u64 = usage.partials.iter().map(|partial| partial.bytes).sum();
        let found = format!("{} of pulls that were broken off, {}", usage.partials.len(), units::bytes(bytes));
        report.notice(
            "partial blobs",
            found,
            Some("the next pull goes on with them; image.keep_partial says how long they stay"),
        );
    }
    if !usage.trash.is_empty() {
        let found = format!("{} trees that are being removed", usage.trash.len());
        report.notice("trash", found, Some("it goes in the background"));
    }
    report
}

fn tables(usage: &StoreUsageResponse) -> String {
    let images: Vec<Vec<String>> = usage.images.iter().map(image_row).collect();
    let short = |id: &String| select::short(id).to_owned();
    let layers = usage.layers.iter().map(|layer| {
        let images = usage.images.iter().filter(|image| image.layers.contains(&layer.name));
        let images: Vec<String> = images.map(|image| short(&image.id)).collect();
        let containers: Vec<String> = layer.containers.iter().map(short).collect();
        vec![
            layer.name.clone(),
            units::bytes(layer.bytes),
            layer.inodes.to_string(),
            images.join(" "),
            containers.join(" "),
        ]
    });
    let layers: Vec<Vec<String>> = layers.collect();
    format!(
        "\n{}\n{}",
        table(&["IMAGE", "NAMES", "SIZE", "PINNED", "CONTAINERS"], &images),
        table(&["LAYER", "SIZE", "FILES", "IMAGES", "CONTAINERS"], &layers)
    )
}

fn image_row(image: &UsedImage) -> Vec<String> {
    let containers: Vec<&str> = image.containers.iter().map(|id| select::short(id)).collect();
    let names = if image.names.is_empty() { "<none>".to_owned() } else { image.names.join(" ") };
    let pinned = if image.pinned { "yes" } else { "" };
    vec![select::short(&image.id).to_owned(), names, units::bytes(image.size), pinned.to_owned(), containers.join(" ")]
}

#[cfg(test)]
mod tests {
    use peapod_api::own::{UsedFile, UsedLayer};

    use super::*;

    #[test]
    fn who_holds_what_is_told() {
        let layer = |name: &str, containers: &[&str]| UsedLayer {
            name: name.to_owned(),
            bytes: 2_000_000,
            inodes: 7,
            containers: containers.iter().map(|id| (*id).to_owned()).collect(),
        };
        let usage = StoreUsageResponse {
            root: "/var/lib/peapod".to_owned(),
            free_bytes: 5_000_000_000,
            images: vec![UsedImage {
                id: format!("sha256:{}", "a".repeat(64)),
                names: vec!["a:1".to_owned()],
                size: 2_000_000,
                pinned: true,
                layers: vec!["one".to_owned()],
                containers: vec!["c".repeat(64)],
            }],
            layers: vec![layer("one", &["cc"]), layer("two", &["dd"])],
            partials: vec![UsedFile { name: "x.part".to_owned(), bytes: 10 }],
            trash: vec![UsedFile::default()],
            ..Default::default()
        };
        let text = summary(&usage).text();
        for part in ["1 images, 2 layers with 4.0 MB; 5.0 GB free", "1 with 2.0 MB are kept", "1 of pulls", "1 trees"] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        let tables = tables(&usage);
        assert!(tables.contains("a:1     2.0 MB   yes"), "{tables}");
        assert!(tables.contains("two     2.0 MB   7                       dd"), "{tables}");
    }
}
