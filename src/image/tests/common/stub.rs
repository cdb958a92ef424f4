//! A registry that answers whatever a test wants, hostile or odd, and remembers what it was asked.

use super::image::Built;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// With its query.
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

#[derive(Clone)]
pub enum Body {
    Whole(Vec<u8>),
    /// The first bytes at once, and then one at a time.
    Trickling {
        bytes: Vec<u8>,
        at_once: usize,
        every: Duration,
    },
    /// These bytes again and again.
    Endless(Vec<u8>),
}

#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(body.into()) }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn trickling(mut self, at_once: usize, every: Duration) -> Self {
        if let Body::Whole(bytes) = self.body {
            self.body = Body::Trickling { bytes, at_once, every };
        }
        self
    }
}

pub struct Stub {
    pub port: u16,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    /// Connections that are open.
    pub open: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Stub {
    pub async fn start(answer: impl Fn(u16, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, open, answer) = (Arc::default(), Arc::<AtomicUsize>::default(), Arc::new(answer));
        let (own, own_open) = (Arc::clone(&asked), Arc::clone(&open));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, open, answer) = (Arc::clone(&own), Arc::clone(&own_open), Arc::clone(&answer));
                tokio::spawn(async move {
                    open.fetch_add(1, Ordering::SeqCst);
                    let _ = serve(stream, port, &*answer, &asked).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, asked, open, task }
    }

    /// Serves images by name, tag and digest; `change` may answer otherwise.
    pub async fn serving(
        images: &[(&str, &Built)],
        change: impl Fn(u16, &Asked) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let mut found = HashMap::new();
        for (name, built) in images {
            for (path, kind, bytes) in paths(name, built) {
                found.insert(path, Reply::new(200, bytes).header("content-type", kind));
            }
        }
        Self::start(move |port, asked| {
            let known = || found.get(asked.path.split('?').next().unwrap()).cloned();
            change(port, asked).or_else(known).unwrap_or_else(|| Reply::new(404, "{}"))
        })
        .await
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    pub fn count(&self, part: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path.contains(part)).count()
    }

    /// What was asked about a path.
    pub fn about(&self, part: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path.contains(part)).cloned().collect()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where the parts of an image are, with types and bytes; `name` is `repository:tag`.
pub fn paths(name: &str, built: &Built) -> Vec<(String, String, Vec<u8>)> {
    let (repository, tag) = name.split_once(':').unwrap();
    let digest = peapod_image::Digest::of(&built.manifest);
    let manifest = |selector: &str| {
        let path = format!("/v2/{repository}/manifests/{selector}");
        (path, built.manifest_type.clone(), built.manifest.clone())
    };
    let mut paths = vec![manifest(tag), manifest(digest.as_str())];
    for blob in built.blobs() {
        let path = format!("/v2/{repository}/blobs/{}", blob.digest);
        paths.push((path, "application/octet-stream".to_owned(), blob.bytes.clone()));
    }
    paths
}

/// One request per connection.
async fn serve(
    mut stream: TcpStream,
    port: u16,
    answer: &(impl Fn(u16, &Asked) -> Reply + Sync),
    seen: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await? {
            // A TLS greeting: somebody tries HTTPS first.
            0x16 if head.is_empty() => return Ok(()),
            byte => head.push(byte),
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let mut line = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    let asked = Asked { method, path, headers, body };
    seen.lock().unwrap().push(asked.clone());
    reply(&mut stream, &asked, answer(port, &asked)).await
}

async fn reply(stream: &mut TcpStream, asked: &Asked, reply: Reply) -> std::io::Result<()> {
    let (mut status, mut bytes) = (reply.status, Vec::new());
    let mut text = String::new();
    match &reply.body {
        Body::Whole(whole) | Body::Trickling { bytes: whole, .. } => {
            bytes = whole.clone();
            let from = asked.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
            if let Some(from) = from.and_then(|from| from.parse::<usize>().ok()).filter(|_| status == 200) {
                status = 206;
                text = format!("content-range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
                bytes.drain(..from);
            }
            text.push_str(&format!("content-length: {}\r\n", bytes.len()));
        }
        Body::Endless(_) => {}
    }
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("HTTP/1.1 {status} Test\r\nconnection: close\r\n{text}\r\n").as_bytes()).await?;
    if asked.method == "HEAD" {
        return Ok(());
    }
    match reply.body {
        Body::Whole(_) => stream.write_all(&bytes).await?,
        Body::Trickling { at_once, every, .. } => {
            let (first, rest) = bytes.split_at(at_once.min(bytes.len()));
            stream.write_all(first).await?;
            for byte in rest {
                tokio::time::sleep(every).await;
                stream.write_all(&[*byte]).await?;
            }
        }
        Body::Endless(part) => loop {
            stream.write_all(&part).await?;
        },
    }
    stream.shutdown().await
}
