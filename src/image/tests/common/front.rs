//! A small HTTP server before the real registry: it asks for bearer tokens, breaks transfers off, fails on request,
//! and counts what passes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Default)]
pub struct Behaviour {
    /// Ask for a bearer token, given for this basic authorization (empty: for anybody).
    pub bearer: Option<String>,
    /// Break each blob off after so many bytes.
    pub cut: Option<usize>,
    /// Send whole blobs whatever range is asked for.
    pub no_ranges: bool,
    /// Answer so many requests with 503 first.
    pub failing: AtomicUsize,
    /// Send a blob's first half and then nothing, as long as this is not 0.
    pub hang: AtomicUsize,
}

pub struct Front {
    pub port: u16,
    pub behaviour: Arc<Behaviour>,
    /// Request lines that came, with their range.
    pub seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

const TOKEN: &str = "a-token-of-the-test";

impl Front {
    pub async fn start(upstream: String, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (behaviour, seen) = (Arc::new(behaviour), Arc::new(Mutex::new(Vec::new())));
        let (own, own_seen) = (Arc::clone(&behaviour), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, behaviour, seen) = (upstream.clone(), Arc::clone(&own), Arc::clone(&own_seen));
                tokio::spawn(async move { serve(stream, port, &upstream, &behaviour, &seen).await });
            }
        });
        Self { port, behaviour, seen, task }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn count(&self, part: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request per connection.
async fn serve(mut stream: TcpStream, port: u16, upstream: &str, behaviour: &Behaviour, seen: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            // A TLS greeting: somebody tries HTTPS first.
            Ok(0x16) if head.is_empty() => return,
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default().to_owned();
    if !line.starts_with("GET ") && !line.starts_with("HEAD ") {
        return;
    }
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let range = headers.get("range").cloned().unwrap_or_default();
    seen.lock().unwrap().push(format!("{line} {range}").trim_end().to_owned());

    let reply = reply(&line, &headers, port, upstream, behaviour).await;
    let mut text = format!("HTTP/1.1 {}\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !line.starts_with("HEAD ") {
        text.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    text.push_str("\r\n");
    let _ = stream.write_all(text.as_bytes()).await;
    if line.starts_with("HEAD ") {
        return;
    }
    let blob = line.contains("/blobs/");
    if blob && behaviour.hang.load(Ordering::SeqCst) > 0 && reply.body.len() > 10_000 {
        let _ = stream.write_all(&reply.body[..reply.body.len() / 2]).await;
        while behaviour.hang.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        return;
    }
    let end = behaviour.cut.filter(|_| blob).unwrap_or(usize::MAX).min(reply.body.len());
    let _ = stream.write_all(&reply.body[..end]).await;
    let _ = stream.shutdown().await;
}

struct Reply {
    status: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn plain(status: &str, headers: &[(&str, String)], body: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Reply { status: status.to_owned(), headers, body: body.as_bytes().to_vec() }
}

async fn reply(
    line: &str,
    headers: &HashMap<String, String>,
    port: u16,
    upstream: &str,
    behaviour: &Behaviour,
) -> Reply {
    let path = line.split(' ').nth(1).unwrap_or("/");
    let authorization = headers.get("authorization").cloned().unwrap_or_default();
    if let Some(wanted) = &behaviour.bearer {
        if path.starts_with("/token") {
            assert!(path.contains("service=front") && path.contains("scope=repository"), "{path}");
            if !wanted.is_empty() && authorization != *wanted {
                return plain("401 Unauthorized", &[], "");
            }
            return plain("200 OK", &[], &format!("{{\"token\":\"{TOKEN}\"}}"));
        }
        if authorization != format!("Bearer {TOKEN}") {
            let challenge =
                format!("Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"front\",scope=\"repository:x:pull\"");
            return plain("401 Unauthorized", &[("www-authenticate", challenge)], "");
        }
    }
    if behaviour.failing.load(Ordering::SeqCst) > 0 {
        behaviour.failing.fetch_sub(1, Ordering::SeqCst);
        return plain("503 Service Unavailable", &[], "");
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let method = if line.starts_with("HEAD") { reqwest::Method::HEAD } else { reqwest::Method::GET };
    let mut request = client.request(method, format!("{upstream}{path}"));
    if let Some(accept) = headers.get("accept") {
        request = request.header("accept", accept);
    }
    if let Some(range) = headers.get("range").filter(|_| !behaviour.no_ranges) {
        request = request.header("range", range);
    }
    let response = request.send().await.unwrap();
    let kept = ["content-type", "docker-content-digest", "content-range"];
    let headers = kept
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), response.headers().get(*name)?.to_str().ok()?.to_owned())))
        .collect();
    let status = response.status().to_string();
    Reply { status, headers, body: response.bytes().await.unwrap().to_vec() }
}
