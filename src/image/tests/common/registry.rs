//! Debian's docker-registry on a port and a directory of its own.

use super::image::{Blob, Built};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const USER: &str = "user";
pub const PASSWORD: &str = "secret";
/// bcrypt of "secret"
const HTPASSWD: &str = "$2b$04$NlDoR7EanStaEq5eKc7rjuRGCV2Ua3CIC8LUAF8kZ4ce5EwPXIYP2";

#[derive(Default)]
pub struct Options {
    pub password: bool,
    pub tls: Option<(PathBuf, PathBuf)>,
}

pub struct Registry {
    child: Child,
    pub port: u16,
    scheme: &'static str,
    password: bool,
    pub dir: tempfile::TempDir,
}

impl Registry {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage:\n  filesystem: {{rootdirectory: {root}/data}}\n  delete: {{enabled: true}}\n\
             http:\n  addr: 127.0.0.1:{port}\n"
        );
        if let Some((certificate, key)) = &options.tls {
            text.push_str(&format!("  tls: {{certificate: {}, key: {}}}\n", certificate.display(), key.display()));
        }
        if options.password {
            std::fs::write(dir.path().join("htpasswd"), format!("{USER}:{HTPASSWD}\n")).unwrap();
            text.push_str(&format!("auth:\n  htpasswd: {{realm: test, path: {root}/htpasswd}}\n"));
        }
        let config = dir.path().join("config.yml");
        std::fs::write(&config, text).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let registry = Self { child, port, scheme, password: options.password, dir };
        let deadline = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < deadline, "docker-registry did not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        registry
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.host())
    }

    /// Pushes an image under a tag; answers with its manifest's digest.
    pub async fn push(&self, repository: &str, tag: &str, image: &Built) -> String {
        for blob in image.blobs() {
            self.push_blob(repository, blob).await;
        }
        self.push_manifest(repository, tag, &image.manifest_type, image.manifest.clone()).await
    }

    pub async fn push_blob(&self, repository: &str, blob: &Blob) {
        let start = self.request(reqwest::Method::POST, &format!("{}/v2/{repository}/blobs/uploads/", self.url()));
        let started = start.send().await.unwrap();
        assert_eq!(started.status(), 202);
        let location = started.headers()["location"].to_str().unwrap().to_owned();
        let location = if location.starts_with('/') { format!("{}{location}", self.url()) } else { location };
        let separator = if location.contains('?') { '&' } else { '?' };
        let put = self.request(reqwest::Method::PUT, &format!("{location}{separator}digest={}", blob.digest));
        let done = put.body(blob.bytes.clone()).send().await.unwrap();
        assert_eq!(done.status(), 201, "{}", done.text().await.unwrap());
    }

    pub async fn push_manifest(&self, repository: &str, tag: &str, kind: &str, manifest: Vec<u8>) -> String {
        let put = self.request(reqwest::Method::PUT, &format!("{}/v2/{repository}/manifests/{tag}", self.url()));
        let done = put.header("content-type", kind).body(manifest).send().await.unwrap();
        let (status, digest) = (done.status(), done.headers().get("docker-content-digest").cloned());
        assert_eq!(status, 201, "{}", done.text().await.unwrap());
        digest.unwrap().to_str().unwrap().to_owned()
    }

    fn request(&self, method: reqwest::Method, url: &str) -> reqwest::RequestBuilder {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().unwrap();
        let request = client.request(method, url);
        if self.password { request.basic_auth(USER, Some(PASSWORD)) } else { request }
    }

    /// The file in which the registry keeps a blob.
    pub fn blob_file(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.dir.path().join(format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
