//! The server beyond its daemon, and certificates.

use std::sync::Arc;

use peapod_streaming_protocol::{ToDaemon, ToSession};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::spdy::{SpdyClient, upgrade};
use crate::stage::{ALL, Server, soon, until};
use crate::wire::Wire;

const KINDS: [&str; 4] = ["error", "stdin", "stdout", "stderr"];

#[tokio::test]
#[ignore = "needs root"]
async fn sessions_outlive_the_daemon() {
    let mut server = Server::start().await;
    let unclaimed = server.exec(ALL).await;
    let token = server.exec(ALL).await;
    let (mut client, ids) = SpdyClient::exec(&server, token, &KINDS).await;
    let shim = server.session(token).await;
    let mut command = shim.start(ALL).await;
    // One whose session is on its way.
    let late = server.exec(ALL).await;
    let (mut late_client, late_ids) = SpdyClient::exec(&server, late, &KINDS).await;
    assert_eq!(server.news().await, ToDaemon::Claimed { token: late });
    // And one whose session will never come.
    let never = server.exec(ALL).await;
    let (mut never_client, never_ids) = SpdyClient::exec(&server, never, &KINDS).await;
    assert_eq!(server.news().await, ToDaemon::Claimed { token: never });
    server.kill_daemon();
    until("nobody listens", || std::net::TcpStream::connect(server.address).is_err()).await;
    let late_shim = server.join(late).await;
    let late_command = late_shim.start(ALL).await;
    drop(late_command);
    late_shim.say(ToSession::Exited { code: 0 }).await;
    assert!(late_client.rest().await.text(late_ids[0]).contains("Success"));
    command.write("still here");
    assert_eq!(client.read(ids[2], 10).await, b"still here");
    let why = never_client.rest().await.text(never_ids[0]);
    assert!(why.contains("peapod was stopped before the session was there"), "{why}");
    drop(command);
    shim.say(ToSession::Exited { code: 0 }).await;
    assert!(client.rest().await.text(ids[0]).contains("Success"));
    drop((client, late_client, never_client));
    assert_eq!(server.ended().await, 0);
    let _ = unclaimed;
}

/// One that has shown its token in time, and opens its streams too late.
#[tokio::test]
#[ignore = "needs root"]
async fn who_is_ready_when_the_daemon_is_gone_does_not_wait() {
    let mut server = Server::start().await;
    let tokens = [server.exec(ALL).await, server.exec(ALL).await];
    let mut clients = Vec::new();
    for token in tokens {
        clients.push(upgrade(&server, "exec", token, "v4.channel.k8s.io").await.0);
    }
    server.kill_daemon();
    until("nobody listens", || std::net::TcpStream::connect(server.address).is_err()).await;
    for mut client in clients {
        let ids = client.open_kinds(&KINDS).await;
        let why = client.rest().await.text(ids[0]);
        assert!(why.contains("peapod was stopped before the session was there"), "{why}");
    }
    assert_eq!(server.ended().await, 0);
}

#[tokio::test]
#[ignore = "needs root"]
async fn without_sessions_it_ends_with_the_daemon() {
    let mut server = Server::start().await;
    server.exec(ALL).await;
    server.kill_daemon();
    assert_eq!(server.ended().await, 0);
}

/// Made for these tests, for `localhost` and a hundred years.
struct Certificate {
    chain: &'static str,
    key: &'static str,
}

const FIRST: Certificate =
    Certificate { chain: include_str!("certificates/first.crt"), key: include_str!("certificates/first.key") };
const SECOND: Certificate =
    Certificate { chain: include_str!("certificates/second.crt"), key: include_str!("certificates/second.key") };

impl Certificate {
    fn files(&self) -> [&str; 2] {
        [self.chain, self.key]
    }

    async fn connect(&self, server: &Server) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn with_a_certificate_that_changes() {
    let server = Server::start_with(Some(FIRST.files())).await;
    // Plain text is no way in.
    let mut plain = server.connect().await;
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    exec_over(&server, FIRST.connect(&server).await.unwrap()).await;
    // What can't be used changes nothing.
    server.secure(["no certificate", "no key"]).await;
    assert!(matches!(server.news().await, ToDaemon::TlsRefused { .. }));
    FIRST.connect(&server).await.unwrap();
    server.secure(SECOND.files()).await;
    // It is not told when it has changed.
    let tls = soon(async {
        loop {
            if let Ok(tls) = SECOND.connect(&server).await {
                break tls;
            }
        }
    });
    exec_over(&server, tls.await).await;
    assert!(FIRST.connect(&server).await.is_err());
}

async fn exec_over(server: &Server, mut tls: TlsStream<TcpStream>) {
    let token = server.exec(ALL).await;
    let request = format!(
        "POST /exec/{} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n",
        token.as_str()
    );
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tls.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    let mut client = SpdyClient::new(Wire::Tls(Box::new(tls)), &[]);
    let ids = client.open_kinds(&KINDS).await;
    let shim = server.session(token).await;
    let mut command = shim.start(ALL).await;
    let large = "x".repeat(10_000_000);
    let mut stdout = command.stdout.take().unwrap();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdout, large.as_bytes()).unwrap());
    assert_eq!(client.read(ids[2], 10_000_000).await.len(), 10_000_000);
    writer.join().unwrap();
    drop(command);
    shim.say(ToSession::Exited { code: 0 }).await;
    assert!(client.rest().await.text(ids[0]).contains("Success"));
}
