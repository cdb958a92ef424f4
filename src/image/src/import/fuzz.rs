//! Lists of images in archives, damaged in every way.

use super::contents::{of_docker, of_layout, together};

const INDEX: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":500,"platform":{"os":"linux","architecture":"amd64"},
"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
"annotations":{"io.containerd.image.name":"docker.io/library/a:1","org.opencontainers.image.ref.name":"1"}}]}"#;
const DOCKER: &str =
    r#"[{"Config":"44136fa3.json","RepoTags":["a:1","b/c:2"],"Layers":["x/layer.tar","y/layer.tar"]}]"#;

#[test]
fn lists_of_images() {
    peapod_fuzz::target!("lists_of_images")
        .seeds([INDEX, DOCKER])
        .tokens([
            "null",
            "{}",
            "[]",
            "\"RepoTags\":[",
            "\"Layers\":[",
            "\"annotations\":{",
            "\"../..\"",
            "\\u0000",
            ",",
        ])
        .check(|input| {
            let layout = of_layout(input, "docker.io");
            if let Ok(images) = &layout {
                assert!(images.len() <= crate::bounds::INDEX_ENTRIES);
            }
            let docker = of_docker(input, "docker.io");
            if let Ok(images) = &docker {
                assert!(images.len() <= crate::bounds::ARCHIVE_IMAGES);
            }
            together(layout.ok(), docker.ok());
        });
}
