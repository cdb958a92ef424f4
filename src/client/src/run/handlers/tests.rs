//! Probes against real servers of this process.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::manifest::HttpGet;

/// Answers each connection with what `answer` makes of the request.
async fn server(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).await.unwrap_or_default() == 0 {
                        return;
                    }
                    request.push(byte[0]);
                }
                let _ = stream.write_all(answer(&String::from_utf8_lossy(&request)).as_bytes()).await;
            });
        }
    });
    port
}

fn asked(port: u16, path: &str) -> HttpGet {
    let headers = vec![("X-From".to_owned(), "probe".to_owned())];
    HttpGet { tls: false, host: None, port, path: path.to_owned(), headers }
}

#[tokio::test]
async fn http_answers_are_told_apart() {
    let port = server(|request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let seen = request.contains("user-agent: kube-probe/") && request.contains("x-from: probe");
        match path {
            "/ok" if seen => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine".to_owned(),
            "/long" => format!("HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n{}", "x".repeat(60_000)),
            "/moved" => "HTTP/1.1 302 Found\r\nlocation: /ok\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "/round" => "HTTP/1.1 302 Found\r\nlocation: /round\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "/away" => "HTTP/1.1 301 Moved\r\nlocation: http://192.0.2.7/\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "/none" => String::new(),
            _ => "HTTP/1.1 503 No\r\ncontent-length: 10\r\n\r\nnot\nready\n".to_owned(),
        }
    })
    .await;
    for (path, expected) in [
        ("/ok", Ok("fine")),
        ("/long", Ok("")),
        ("/moved", Ok("fine")),
        ("/round", Err("more than 10 redirects")),
        ("/away", Ok("HTTP status 301 Moved Permanently, to another host")),
        ("/bad", Err("HTTP status 503 Service Unavailable not\nready\n")),
    ] {
        let said = http::get(&asked(port, path), "127.0.0.1", http::WantedAnswer::Success).await;
        assert_eq!(said.as_ref().map(String::as_str).map_err(String::as_str), expected, "{path}");
    }
    assert!(http::get(&asked(port, "/none"), "127.0.0.1", http::WantedAnswer::Success).await.is_err());
    assert!(http::get(&asked(port, "/bad"), "127.0.0.1", http::WantedAnswer::Anything).await.is_ok());
    let shut = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let said = http::get(&asked(shut, "/"), "127.0.0.1", http::WantedAnswer::Success).await.unwrap_err();
    assert!(said.contains(&format!("127.0.0.1:{shut}: Connection refused")), "{said}");
    assert!(dial::tcp("127.0.0.1", port).await.is_ok() && dial::tcp("127.0.0.1", shut).await.is_err());
}

#[tokio::test]
async fn grpc_health_is_asked_for() {
    use http_body_util::{BodyExt, Full};
    use hyper::body::Bytes;
    use prost::Message;

    let answer = |request: hyper::Request<hyper::body::Incoming>| async move {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let asked = grpc::HealthCheckRequest::decode(&body[5..]).unwrap();
        let status = match asked.service.as_str() {
            "good" => 1,
            "bad" => 2,
            _ => 0,
        };
        let message = grpc::HealthCheckResponse { status }.encode_to_vec();
        let mut framed = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        framed.extend(message);
        let response = hyper::Response::builder().header("content-type", "application/grpc");
        // Without trailers: the status in the head is for answers without a body.
        let trailers = hyper::HeaderMap::from_iter([(
            hyper::header::HeaderName::from_static("grpc-status"),
            hyper::header::HeaderValue::from_static("0"),
        )]);
        let body = Full::new(Bytes::from(framed)).with_trailers(async move { Some(Ok(trailers)) });
        Ok::<_, std::convert::Infallible>(response.body(body).unwrap())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(answer);
            let connection = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    assert_eq!(grpc::check("127.0.0.1", port, "good").await, Ok(String::new()));
    assert_eq!(grpc::check("127.0.0.1", port, "bad").await, Err("it does not serve".to_owned()));
}
