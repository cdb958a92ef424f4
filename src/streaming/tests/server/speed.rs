//! How quick the server is, beside what it is made of.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::commands::KINDS;
use crate::forwards::{begin, open};
use crate::spdy::SpdyClient;
use crate::stage::{ALL, Server};

/// Writes so much in blocks of a pipe's size.
fn write_all(mut to: std::fs::File, bytes: usize) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let block = vec![7; 64 << 10];
        for _ in 0..bytes / block.len() {
            to.write_all(&block).unwrap();
        }
    })
}

#[tokio::test]
#[ignore = "needs root"]
async fn output_comes_almost_as_through_a_pipe() {
    const BYTES: usize = 64 << 20;
    let server = Server::start().await;
    let mut buffer = vec![0; 256 << 10];
    let (mut pipe, mut stream) = (Duration::MAX, Duration::MAX);
    // Of a machine that has other things to do the best time counts.
    for _ in 0..5 {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (mut reader, begin) = (std::fs::File::from(reader), Instant::now());
        let writer = write_all(writer.into(), BYTES);
        while reader.read(&mut buffer).unwrap() > 0 {}
        writer.join().unwrap();
        pipe = pipe.min(begin.elapsed());

        let token = server.exec(ALL).await;
        let (client, _) = SpdyClient::exec(&server, token, &KINDS).await;
        let shim = server.session(token).await;
        let mut command = shim.start(ALL).await;
        let begin = Instant::now();
        let writer = write_all(command.stdout.take().unwrap(), BYTES);
        // Frames are not looked at, so that it is the server's time.
        let mut tcp = client.into_tcp().into_std().unwrap();
        tcp.set_nonblocking(false).unwrap();
        let mut count = 0;
        while count < BYTES {
            count += tcp.read(&mut buffer).unwrap();
        }
        stream = stream.min(begin.elapsed());
        writer.join().unwrap();
    }
    println!("64 MiB: pipe {pipe:?}, exec {stream:?}, {:.1} times", stream.as_secs_f64() / pipe.as_secs_f64());
    assert!(stream < 10 * pipe, "{stream:?}, where a pipe takes {pipe:?}");
}

#[tokio::test]
#[ignore = "needs root"]
async fn ports_are_as_quick_as_copying_is() {
    const BYTES: usize = 512 << 20;
    let server = Server::start().await;
    let mut buffer = vec![0; 256 << 10];
    let mut best = Duration::MAX;
    for _ in 0..4 {
        let (mut client, shim) = begin(&server, false).await;
        open(&mut client, "80", "0").await;
        let mut pod = shim.dialled(shim.dial().await.0).await.into_std().unwrap();
        pod.set_nonblocking(false).unwrap();
        let begin = Instant::now();
        let writer = std::thread::spawn(move || {
            let block = vec![7; 256 << 10];
            for _ in 0..BYTES / block.len() {
                pod.write_all(&block).unwrap();
            }
        });
        let mut tcp = client.into_tcp().into_std().unwrap();
        tcp.set_nonblocking(false).unwrap();
        let mut count = 0;
        while count < BYTES {
            count += tcp.read(&mut buffer).unwrap();
        }
        best = best.min(begin.elapsed());
        writer.join().unwrap();
    }
    let rate = BYTES as f64 / best.as_secs_f64() / 1e9;
    println!("{rate:.2} GB/s from a pod");
    assert!(rate > 0.1, "{rate:.2} GB/s");
}
