//! Registries and images that are odd, and those that are hostile: what is asked of whom, what is taken, and what is
//! said.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use common::image::{Built, Packing, Tar};
use common::stub::{Asked, Body, Reply, Stub};
use common::{Lab, request};
use peapod_image::{Credentials, Digest, PullError, PullRequest};
use peapod_trace::Span;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn built(content: &[u8]) -> Built {
    Built::new(&[(Tar::new().dir("./", 0o755).file("file", 0o644, content).finish(), Packing::Gzip)], false)
}

fn with(reference: &str, credentials: Credentials) -> PullRequest {
    PullRequest { reference: reference.to_owned(), credentials: Some(credentials), span: Span::default() }
}

fn user() -> Credentials {
    Credentials { username: "user".to_owned(), password: "secret".to_owned(), ..Credentials::default() }
}

/// A manifest or an index beside an image, at its tag and its digest.
fn document(tag: &'static str, kind: &'static str, text: &str) -> impl Fn(&Asked) -> Option<Reply> + use<> {
    let (bytes, digest) = (text.as_bytes().to_vec(), Digest::of(text.as_bytes()));
    move |asked| {
        let found = asked.path.ends_with(&format!("/manifests/{tag}")) || asked.path.contains(digest.as_str());
        found.then(|| Reply::new(200, bytes.clone()).header("content-type", kind))
    }
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn entry(kind: &str, bytes: &[u8], more: &str) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}{more}}}"#, Digest::of(bytes), bytes.len())
}

fn index(entries: &[String]) -> String {
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","))
}

const HERE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

fn platform(architecture: &str) -> String {
    format!(r#","platform":{{"os":"linux","architecture":"{architecture}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn indexes_lead_to_indexes() {
    let (image, lab) = (built(b"x"), Lab::new().await);
    let inner =
        index(&[entry(MANIFEST, b"foreign", &platform("s390x")), entry(MANIFEST, &image.manifest, &platform(HERE))]);
    let empty = index(&[entry(MANIFEST, b"foreign", &platform("s390x"))]);
    let attestation = r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#;
    let outer = index(&[
        "7".to_owned(),
        entry(MANIFEST, b"attestation", &format!("{}{attestation}", platform(HERE))),
        entry(INDEX, empty.as_bytes(), ""),
        entry(INDEX, inner.as_bytes(), ""),
    ]);
    let documents = [document("none", INDEX, &empty), document("inner", INDEX, &inner), document("1", INDEX, &outer)];
    let stub =
        Stub::serving(&[("a:own", &image)], move |_, asked| documents.iter().find_map(|document| document(asked)))
            .await;
    let pulled = lab.images.pull(request(&format!("{}/a:1", stub.host()))).await.unwrap();
    assert_eq!(pulled.id.as_str(), image.config.digest);
    assert!(pulled.repo_digests[0].ends_with(Digest::of(outer.as_bytes()).as_str()), "{pulled:?}");
    let foreign = lab.images.pull(request(&format!("{}/a:none", stub.host()))).await.unwrap_err();
    assert!(matches!(&foreign, PullError::NoPlatform { offered, .. } if offered == "linux/s390x"), "{foreign}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_index_costs_is_bounded() {
    let lab = Lab::new().await;
    // One in another, deeper than allowed; and one beside another, more than allowed.
    let mut deep = vec![index(&[])];
    for _ in 0..10 {
        deep.push(index(&[entry(INDEX, deep.last().unwrap().as_bytes(), "")]));
    }
    let wide: Vec<String> =
        (0..40).map(|number| format!(r#"{{"schemaVersion":2,"manifests":[],"n":{number}}}"#)).collect();
    let all = index(&wide.iter().map(|one| entry(INDEX, one.as_bytes(), "")).collect::<Vec<_>>());
    let tops = [("deep", deep.last().unwrap().clone()), ("wide", all.clone())];
    let documents: Arc<Vec<String>> = Arc::new(deep.into_iter().chain(wide).chain([all]).collect());
    let stub = Stub::start(move |_, asked| {
        let tagged = tops.iter().find(|(tag, _)| asked.path.ends_with(tag)).map(|(_, text)| text);
        let named = || documents.iter().find(|text| asked.path.contains(Digest::of(text.as_bytes()).as_str()));
        tagged.or_else(named).map_or(Reply::new(404, ""), |text| Reply::new(200, text.clone()))
    })
    .await;
    for (tag, asked, words) in [("deep", 5, "more than 4 indexes in one another"), ("wide", 17, "more than 16 others")]
    {
        let before = stub.count("/manifests/");
        let error = lab.images.pull(request(&format!("{}/a:{tag}", stub.host()))).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        let count = stub.count("/manifests/") - before;
        assert!(count <= asked, "{tag}: {count} documents");
    }
    lab.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_configuration_says_for_which_machine_an_image_is() {
    let lab = Lab::new().await;
    let (foreign, own) = (other_machine("windows"), other_machine("linux"));
    let unsaid = index(&[entry(MANIFEST, &foreign.manifest, ""), entry(MANIFEST, &own.manifest, "")]);
    let documents = document("1", INDEX, &unsaid);
    let stub = Stub::serving(&[("a:f", &foreign), ("a:o", &own)], move |_, asked| documents(asked)).await;
    let pulled = lab.images.pull(request(&format!("{}/a:1", stub.host()))).await.unwrap();
    assert_eq!(pulled.id.as_str(), own.config.digest);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_lone_image_is_pulled_for_another_processor_and_not_for_another_system() {
    let lab = Lab::new().await;
    let (windows, foreign) = (other_machine("windows"), changed("\"architecture\":\"", "\"architecture\":\"s390x"));
    let lone = index(&[entry(MANIFEST, &windows.manifest, &platform(HERE))]);
    let listed = document("listed", INDEX, &lone);
    let stub = Stub::serving(&[("a:w", &windows), ("a:f", &foreign)], move |_, asked| listed(asked)).await;
    // Whatever an index says.
    for tag in ["w", "listed"] {
        let refused = lab.images.pull(request(&format!("{}/a:{tag}", stub.host()))).await.unwrap_err();
        let offers = |offered: &str| offered == format!("windows/{HERE}");
        assert!(matches!(&refused, PullError::NoPlatform { offered, .. } if offers(offered)), "{refused}");
    }
    let pulled = lab.images.pull(request(&format!("{}/a:f", stub.host()))).await.unwrap();
    assert_eq!(pulled.id.as_str(), foreign.config.digest);
    assert!(lab.images.list().len() == 1);
}

/// An image whose configuration names an operating system.
fn other_machine(os: &str) -> Built {
    changed("\"os\":\"linux\"", &format!("\"os\":\"{os}\""))
}

/// An image with a part of its configuration replaced.
fn changed(part: &str, by: &str) -> Built {
    let mut image = built(by.as_bytes());
    let text = String::from_utf8(image.config.bytes.clone()).unwrap().replace(part, by);
    let config = common::image::Blob::new(text.into_bytes());
    let manifest = String::from_utf8(image.manifest.clone()).unwrap().replace(&image.config.digest, &config.digest);
    let manifest = manifest
        .replace(&format!("\"size\":{}", image.config.bytes.len()), &format!("\"size\":{}", config.bytes.len()));
    image.manifest = manifest.into_bytes();
    image.config = config;
    image
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_what_the_registry_says() {
    let lab = Lab::with(|config| config.requests.retries = 0).await;
    let stub = Stub::start(|_, asked| {
        let json = |status, code: &str, message: &str| {
            Reply::new(status, format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#))
        };
        match asked.path.rsplit('/').next().unwrap() {
            "403" => json(403, "DENIED", "blocked by policy"),
            "404" => json(404, "MANIFEST_UNKNOWN", "no such tag"),
            "412" => json(412, "PRECONDITION", "signature\\n missing\\u001b[31m"),
            "429" => Reply::new(429, "slow down,\r\nplease"),
            "500" => Reply::new(500, "<html>no</html>"),
            "401" => Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}"#),
            _ => Reply { status: 418, headers: vec![], body: Body::Endless(vec![b'x'; 1 << 16]) },
        }
    })
    .await;
    for (tag, words) in [
        ("403", "refuses an anonymous pull: 403 Forbidden: DENIED: blocked by policy"),
        ("404", "not found: MANIFEST_UNKNOWN: no such tag"),
        ("412", "PRECONDITION: signature missing\\u{1b}[31m"),
        ("429", "429 Too Many Requests: slow down, please"),
        ("500", "500 Internal Server Error"),
        ("401", "wants credentials; none were given for it: 401 Unauthorized: UNAUTHORIZED: who?"),
        ("418", "xxxxxxxxxx"),
    ] {
        let error = lab.images.pull(request(&format!("{}/a:{tag}", stub.host()))).await.unwrap_err().to_string();
        assert!(error.contains(words) && error.len() < 600 && !error.contains(['\n', '\u{1b}', '<']), "{tag}: {error}");
        // It answered by http: that https is not spoken there is nobody's concern.
        assert!(!error.contains("https://"), "{tag}: {error}");
    }
    let mine = lab.images.pull(with(&format!("{}/a:403", stub.host()), user())).await.unwrap_err().to_string();
    assert!(mine.contains("refuses these credentials: 403"), "{mine}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_never_ends_takes_no_longer_than_its_bound() {
    let lab = Lab::with(|config| config.requests.retries = 0).await;
    let stub = Stub::start(|_, _| Reply::new(403, vec![b'x'; 5000]).trickling(10, Duration::from_millis(100))).await;
    let start = Instant::now();
    let error = lab.images.pull(request(&format!("{}/a:1", stub.host()))).await.unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(error.contains("403 Forbidden: xxxxxxxxxx"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_token_goes_to_the_host_that_asked() {
    let (image, lab) = (built(b"x"), Lab::new().await);
    let second = Stub::serving(&[("a:1", &image)], |port, asked| {
        if asked.path.starts_with("/token") {
            return Some(Reply::new(201, r#"{"token":"","access_token":"of-the-second"}"#));
        }
        (asked.header("authorization") != "Bearer of-the-second").then(|| {
            let challenge = format!("Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"x\"");
            Reply::new(401, "").header("www-authenticate", challenge)
        })
    })
    .await;
    let to = second.url();
    let first =
        Stub::start(move |_, asked| Reply::new(307, "").header("location", format!("{to}{}", asked.path))).await;
    let other = Credentials { username: "user".to_owned(), password: "secret".to_owned(), ..Credentials::default() };
    lab.images.pull(with(&format!("{}/a:1", first.host()), other)).await.unwrap();
    assert!(first.asked.lock().unwrap().iter().all(|asked| asked.header("authorization").is_empty()));
    assert!(
        second.about("/token").iter().all(|asked| asked.header("authorization").is_empty()),
        "credentials are the first's"
    );
    assert_eq!(second.count("/token"), 1, "one token serves the whole pull");

    // Headers of hosts.toml are for the host that it names.
    lab.hosts_toml("r.example", &format!("server = \"{0}\"\n[host.\"{0}\".header]\nx-key = \"k\"\n", first.url()));
    lab.images.pull(request("r.example/a:1")).await.unwrap();
    let has_key = |asked: &Asked| asked.header("x-key") == "k";
    assert!(first.asked.lock().unwrap().iter().any(has_key) && !second.asked.lock().unwrap().iter().any(has_key));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_follow_no_redirect() {
    let lab = Lab::with(|config| config.requests.retries = 0).await;
    let thief = Stub::start(|_, _| Reply::new(200, r#"{"token":"t"}"#)).await;
    for (status, identity) in [(301, false), (302, true), (303, true), (307, true), (307, false), (308, true)] {
        let to = thief.url();
        let stub = Stub::start(move |port, asked| {
            if asked.path.starts_with("/token") {
                return Reply::new(status, "").header("location", format!("{to}/take"));
            }
            let challenge = format!("Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"x\"");
            Reply::new(401, "").header("www-authenticate", challenge)
        })
        .await;
        let token = Credentials { identity_token: "secret-identity".to_owned(), ..Credentials::default() };
        let credentials = if identity { token } else { user() };
        let error = lab.images.pull(with(&format!("{}/a:1", stub.host()), credentials)).await.unwrap_err().to_string();
        assert!(error.contains("redirects of it are not followed"), "{error}");
        assert!(!error.contains("secret"), "{error}");
        assert!(thief.asked.lock().unwrap().is_empty(), "{status}: {:?}", thief.asked.lock().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_end() {
    let lab = Lab::with(|config| config.requests.retries = 0).await;
    for location in ["/v2/round", "", "file:///etc/passwd", "http://", "\\\\", "http://127.0.0.1:1/x"] {
        let stub = Stub::start(move |_, _| Reply::new(302, "").header("location", location)).await;
        let error = lab.images.pull(request(&format!("{}/a:1", stub.host()))).await.unwrap_err().to_string();
        let words = ["redirects more than 10 times", "without a usable address", "redirects to http://127.0.0.1:1"];
        assert!(words.iter().any(|words| error.contains(words)), "{location}: {error}");
        assert!(stub.asked.lock().unwrap().len() <= 11, "{location}");
    }
    let none = Stub::start(|_, _| Reply::new(301, "")).await;
    let error = lab.images.pull(request(&format!("{}/a:1", none.host()))).await.unwrap_err().to_string();
    assert!(error.contains("301 Moved Permanently without a usable address"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_are_cut() {
    let lab = Lab::with(|config| config.requests.retries = 0).await;
    let endless = |byte: u8| Reply { status: 200, headers: vec![], body: Body::Endless(vec![byte; 1 << 16]) };
    let manifests = Stub::start(move |_, _| endless(b' ')).await;
    let error = lab.images.pull(request(&format!("{}/a:1", manifests.host()))).await.unwrap_err();
    assert!(error.to_string().contains("serves more than 4 MiB"), "{error}");
    assert!(!error.is_unavailable(), "it is the image that has to change: {error:?}");
    let tokens = Stub::start(move |port, asked| {
        if asked.path.starts_with("/token") {
            return endless(b'[');
        }
        let challenge = format!("Bearer realm=\"http://127.0.0.1:{port}/token\"");
        Reply::new(401, "").header("www-authenticate", challenge)
    })
    .await;
    let error = lab.images.pull(request(&format!("{}/a:1", tokens.host()))).await.unwrap_err().to_string();
    assert!(error.contains("answers with more than 64 KiB"), "{error}");
    // Headers without end are the HTTP library's to refuse; a realm of any length is not echoed.
    let long = Stub::start(|_, _| {
        let realm = "x".repeat(7000);
        Reply::new(401, "").header("www-authenticate", format!("Bearer realm=\"http://127.0.0.1:1/{realm}\""))
    })
    .await;
    let error = lab.images.pull(request(&format!("{}/a:1", long.host()))).await.unwrap_err().to_string();
    assert!(error.len() < 1000, "{}", error.len());
    let heads = Stub::start(|_, _| Reply::new(200, "").header("x", "y".repeat(4 << 20))).await;
    let error = lab.images.pull(request(&format!("{}/a:1", heads.host()))).await.unwrap_err().to_string();
    assert!(error.len() < 1000, "{}", error.len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn images_of_odd_tools_are_taken() {
    let (image, lab) = (built(b"x"), Lab::new().await);
    let replace = |from: &str, to: &str| {
        let text = String::from_utf8(image.manifest.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        text.replace(from, to)
    };
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let octets =
        replace("application/vnd.oci.image.config.v1+json", "application/octet-stream").replace(MANIFEST, docker);
    let odd = [
        document("octets", "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8", &octets),
        document(
            "nulls",
            MANIFEST,
            &replace("\"schemaVersion\":2", "\"schemaVersion\":2,\"annotations\":null,\"subject\":null,\"x\":1e999"),
        ),
        document(
            "untyped",
            "text/plain",
            &replace(&format!("\"mediaType\":\"{MANIFEST}\",").replace("\"mediaType\":", "\"mediaType\":"), ""),
        ),
    ];
    let stub = Stub::serving(&[("a:1", &image)], move |_, asked| odd.iter().find_map(|odd| odd(asked))).await;
    for tag in ["octets", "nulls", "untyped"] {
        let pulled = lab.images.pull(request(&format!("{}/a:{tag}", stub.host()))).await;
        assert_eq!(pulled.unwrap().id.as_str(), image.config.digest, "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_registry_without_ranges_is_asked_for_all_of_it() {
    let image = built(b"resumed");
    let layer = image.layers[0].clone();
    for (status, range) in [(416, ""), (400, ""), (206, "bytes */9"), (206, "none"), (206, "bytes 60-99/100")] {
        let lab = Lab::with(|config| config.requests.retries = 1).await;
        let layer = layer.clone();
        let odd = move |_, asked: &Asked| match asked.header("range") {
            "" => None,
            _ if asked.path.contains(&layer.digest) => {
                Some(Reply::new(status, layer.bytes.clone()).header("content-range", range))
            }
            _ => None,
        };
        let stub = Stub::serving(&[("a:1", &image)], odd).await;
        let part = lab.root("ingest").join(format!("{}.part", &image.layers[0].digest["sha256:".len()..]));
        std::fs::write(part, &image.layers[0].bytes[..50]).unwrap();
        let pulled = lab.images.pull(request(&format!("{}/a:1", stub.host()))).await;
        assert!(pulled.is_ok(), "{status} {range}: {pulled:?}");
        let asked = stub.about(&image.layers[0].digest);
        assert_eq!(asked.iter().map(|asked| asked.header("range")).collect::<Vec<_>>(), ["bytes=50-", ""], "{status}");
    }
}
