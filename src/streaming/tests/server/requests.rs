//! Requests that are refused, and tokens.

use peapod_streaming_protocol::{SessionKind, SessionToken, ToDaemon};
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::Error;

use crate::socket::SocketClient;
use crate::spdy::{UPGRADE, upgrade};
use crate::stage::{ALL, Server, Times, soon};
use crate::wire::ask;

#[tokio::test]
#[ignore = "needs root"]
async fn requests_that_are_refused() {
    let server = Server::start().await;
    let token = server.exec(ALL).await;
    let path = format!("/exec/{}", token.as_str());
    let socket = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "WebSocket"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    let version = |name| ("X-Stream-Protocol-Version", name);
    let cases = [
        ("GET", path.clone(), vec![], 400),
        ("POST", path.clone(), vec![UPGRADE[0], ("Upgrade", "h2c")], 400),
        ("POST", path.clone(), UPGRADE.to_vec(), 400),
        ("POST", path.clone(), vec![UPGRADE[0], UPGRADE[1], version("v9.channel.k8s.io")], 403),
        ("PUT", path.clone(), vec![UPGRADE[0], UPGRADE[1], version("v4.channel.k8s.io")], 405),
        ("GET", path.clone(), vec![socket[0], socket[1], socket[2]], 400),
        ("POST", path.clone(), socket.to_vec(), 400),
        ("GET", path.clone(), [&socket[..], &[("Sec-WebSocket-Protocol", "v9.channel.k8s.io")]].concat(), 403),
        ("POST", path.replace("exec", "attach"), vec![UPGRADE[0], UPGRADE[1], version("v4.channel.k8s.io")], 404),
        ("POST", "/".to_owned(), vec![], 404),
    ];
    for (method, path, headers, status) in cases {
        let mut tcp = server.connect().await;
        let answer = ask(&mut tcp, method, &path, &headers).await;
        assert_eq!(answer.status, status, "{method} {path} {headers:?}");
        if status == 403 {
            let accepted = answer.headers("X-Accepted-Stream-Protocol-Versions");
            assert!(accepted.contains(&"v4.channel.k8s.io"), "{accepted:?}");
        }
        // One request a connection.
        soon(tcp.read_to_end(&mut Vec::new())).await.unwrap();
    }
    // None of it has used the token up.
    upgrade(&server, "exec", token, "v4.channel.k8s.io").await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_token_is_used_once() {
    let server = Server::start().await;
    let headers = [UPGRADE[0], UPGRADE[1], ("X-Stream-Protocol-Version", "v4.channel.k8s.io")];
    let status = async |token: SessionToken| {
        let path = format!("/exec/{}", token.as_str());
        ask(&mut server.connect().await, "POST", &path, &headers).await.status
    };
    assert_eq!(status(SessionToken::random().unwrap()).await, 404);
    let token = server.exec(ALL).await;
    let (client, _) = upgrade(&server, "exec", token, "v4.channel.k8s.io").await;
    assert_eq!(status(token).await, 404);
    drop(client);
    assert_eq!(server.news().await, ToDaemon::Expired { token });
    assert_eq!(status(token).await, 404);
    // One that nobody came for.
    let times = Times { expiry: std::time::Duration::from_millis(100), ..Times::default() };
    let token = server.register_for(SessionKind::Exec(ALL), times).await;
    assert_eq!(server.news().await, ToDaemon::Expired { token });
    assert_eq!(status(token).await, 404);
}

#[tokio::test]
#[ignore = "needs root"]
async fn channels_are_numbers() {
    let server = Server::start().await;
    for (protocol, ports, fits) in [
        ("v4.channel.k8s.io", 127, true),
        ("v4.channel.k8s.io", 128, false),
        ("v4.base64.channel.k8s.io", 5, true),
        ("v4.base64.channel.k8s.io", 6, false),
        ("v4.channel.k8s.io", 0, false),
    ] {
        let token = server.register(SessionKind::PortForward((1..=ports).collect())).await;
        match SocketClient::try_connect(&server, "portforward", token, Some(protocol)).await {
            Ok(_) => assert!(fits, "{protocol} {ports}"),
            Err(Error::Http(response)) => assert_eq!((response.status().as_u16(), fits), (400, false)),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn as_many_tokens_as_there_may_be() {
    let server = Server::start().await;
    let mut tokens = Vec::new();
    for _ in 0..1000 {
        tokens.push(server.exec(ALL).await);
    }
    let one_more = server.exec(ALL).await;
    assert_eq!(server.news().await, ToDaemon::Expired { token: one_more });
    upgrade(&server, "exec", tokens[999], "v4.channel.k8s.io").await;
}

#[tokio::test]
#[ignore = "needs root"]
async fn no_client_is_quicker_than_the_daemon() {
    let server = Server::start().await;
    let headers = [UPGRADE[0], UPGRADE[1], ("X-Stream-Protocol-Version", "v4.channel.k8s.io")];
    for _ in 0..20 {
        // One that is connected already, and one that comes.
        let mut early = server.connect().await;
        let mut tokens = Vec::new();
        for _ in 0..40 {
            tokens.push(server.exec(ALL).await);
        }
        let [first, .., last] = tokens[..] else { panic!("{}", tokens.len()) };
        let path = |token: SessionToken| format!("/exec/{}", token.as_str());
        assert_eq!(ask(&mut early, "POST", &path(last), &headers).await.status, 101);
        assert_eq!(ask(&mut server.connect().await, "POST", &path(first), &headers).await.status, 101);
    }
}
