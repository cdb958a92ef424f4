//! Exec, attach and port-forward as people use them: through crictl, over SPDY and over WebSockets.

use std::net::{Ipv4Addr, SocketAddr};

use peapod_tests::{Daemon, Pod, WEB, free_port, on_each_runtime, peapod, peapod_with, processes, v1, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

const TRANSPORTS: [&str; 2] = ["spdy", "websocket"];

/// What an HTTP server answers to one request.
async fn get(address: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn output_input_and_codes_of_commands() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("exec").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        let id = main.id.as_str();
        for transport in TRANSPORTS {
            let exec = ["exec", "-r", transport];
            let script = "echo out; echo err >&2; exit 7";
            let output = daemon.crictl_with(b"", &[&exec[..], &[id, "sh", "-c", script]].concat()).await;
            assert_eq!(output.stdout, "out\n", "{transport}: {output:?}");
            assert!(output.stderr.contains("err\n") && output.stderr.contains('7'), "{transport}: {output:?}");
            assert_ne!(output.code, 0);

            let much: Vec<u8> = (0..5_000_000_u32).map(|number| b'a' + (number % 26) as u8).collect();
            let output = daemon.crictl_with(&much, &[&exec[..], &["-i", id, "cat"]].concat()).await;
            assert!(output.stdout.as_bytes() == much, "{transport}: {} bytes came back", output.stdout.len());
            assert_eq!(output.code, 0, "{transport}: {}", output.stderr);
            // The end of the input reaches the command, whose output goes on.
            let half = [&exec[..], &["-i", id, "sh", "-c", "cat; echo end"]].concat();
            assert_eq!(daemon.crictl_with(b"abc", &half).await.stdout, "abcend\n", "{transport}");

            let output = daemon.crictl_with(b"", &[&exec[..], &[id, "/no/such"]].concat()).await;
            assert!(output.code != 0 && output.stderr.contains("/no/such"), "{transport}: {output:?}");
        }
        assert_eq!(main.exec("ps -o args | grep -c '^sleep'").await, "1\n");
    });
}

#[test]
fn a_terminal_has_the_clients_size() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("tty").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        for transport in TRANSPORTS {
            let mut shell = daemon.terminal_dialogue((33, 99), &["exec", "-r", transport, "-it", &main.id, "sh"]);
            // The size may come a moment after the shell.
            shell.say("until [ \"$(stty size)\" = '33 99' ]; do :; done; echo \"size $(stty size)\"\n").await;
            shell.hear("size 33 99").await;
            shell.say("test -t 0 && test -t 1 && test -t 2 && echo all $((1+1)); echo TERM=$TERM.\n").await;
            shell.hear("all 2").await;
            shell.hear("TERM=xterm.").await;
            shell.say("exit 5\n").await;
            let (code, said) = shell.end().await;
            assert!(code != 0, "{said}");
        }
    });
}

#[test]
fn several_attach_to_a_container() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("attach").run().await;
        for transport in TRANSPORTS {
            let script = "echo before; while read line; do echo \"got $line\"; done; echo end; exit 3";
            let container = pod.container(&format!("c-{transport}")).sh(script).config(|config| {
                config.stdin = true;
                config.stdin_once = true;
            });
            let container = container.start().await;
            container.wait_log("before").await;
            let mut reader = daemon.dialogue(&["attach", "-r", transport, &container.id]);
            let mut writer = daemon.dialogue(&["attach", "-r", transport, "-i", &container.id]);
            writer.say("one\n").await;
            assert!(!writer.hear("got one\n").await.contains("before"), "what was said before is not repeated");
            // The reader may have come later.
            while !reader.has_said("got again\n").await {
                writer.say("again\n").await;
                writer.hear("got again\n").await;
            }
            writer.close();
            writer.hear("end\n").await;
            reader.hear("end\n").await;
            assert_eq!((writer.end().await.0, reader.end().await.0), (0, 0));
            assert_eq!(container.wait_exit().await.exit_code, 3);
        }
        // One without a log, which goes on when its client has left.
        let quiet = pod.container("quiet").sh("while :; do echo tick; sleep 0.05; done");
        let quiet = quiet.config(|config| config.log_path.clear()).start().await;
        let mut client = daemon.dialogue(&["attach", &quiet.id]);
        client.hear("tick\n").await;
        client.kill().await;
        let mut client = daemon.dialogue(&["attach", &quiet.id]);
        client.hear("tick\ntick\n").await;
        client.kill().await;
        assert_eq!(quiet.state().await, v1::ContainerState::ContainerRunning);
    });
}

async fn web(daemon: &Daemon, name: &str, host_network: bool) -> (u16, String) {
    let pod = if host_network { daemon.pod(name).host_network() } else { daemon.pod(name) };
    let pod = pod.run().await;
    let port = if host_network { free_port() } else { 8080 };
    let script =
        format!("mkdir /www; echo hello from {name} >/www/index.html; exec httpd -f -p 127.0.0.1:{port} -h /www");
    pod.container("web").sh(&script).start().await;
    (port, pod.id)
}

#[test]
fn ports_of_pods_are_forwarded() {
    peapod(async |daemon| {
        for (name, host_network) in [("own", false), ("hosts", true)] {
            let (port, pod) = web(daemon, name, host_network).await;
            for transport in TRANSPORTS {
                let local = free_port();
                let mut forward = daemon.dialogue(&["port-forward", "-r", transport, &pod, &format!("{local}:{port}")]);
                forward.hear("Forwarding from 127.0.0.1").await;
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, local));
                let wanted = format!("hello from {name}");
                wait_for("the page", async || {
                    get(address, "GET / HTTP/1.0\r\n\r\n").await.is_some_and(|page| page.contains(&wanted))
                })
                .await;
                // Many at a time over one session.
                let pages = (0..20).map(|_| get(address, "GET / HTTP/1.0\r\n\r\n"));
                for page in futures_util::future::join_all(pages).await {
                    assert!(page.is_some_and(|page| page.contains(&wanted)), "{name} {transport}");
                }
                forward.kill().await;
            }
        }
    });
}

#[test]
fn what_can_not_be_is_refused() {
    peapod(async |daemon| {
        let pod = daemon.pod("refused").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        let exec = async |change: &dyn Fn(&mut v1::ExecRequest)| {
            let cmd = vec!["true".to_owned()];
            let mut request =
                v1::ExecRequest { container_id: main.id.clone(), cmd, stdout: true, ..Default::default() };
            change(&mut request);
            daemon.runtime().exec(request).await.map(|answer| answer.into_inner().url)
        };
        let code = |answer: Result<String, tonic::Status>| answer.unwrap_err().code();
        assert!(exec(&|_| {}).await.unwrap().starts_with("http://127.0.0.1:"));
        assert_eq!(code(exec(&|r| r.container_id.clear()).await), Code::InvalidArgument);
        assert_eq!(code(exec(&|r| r.cmd.clear()).await), Code::InvalidArgument);
        assert_eq!(code(exec(&|r| r.stdout = false).await), Code::InvalidArgument);
        assert_eq!(code(exec(&|r| (r.tty, r.stderr) = (true, true)).await), Code::InvalidArgument);
        assert_eq!(code(exec(&|r| r.container_id = "nobody".to_owned()).await), Code::NotFound);
        assert_eq!(code(exec(&|r| r.cmd = vec!["x".repeat(200_000)]).await), Code::InvalidArgument);

        let attach = async |id: &str| {
            let request = v1::AttachRequest { container_id: id.to_owned(), stdout: true, ..Default::default() };
            daemon.runtime().attach(request).await.map(|answer| answer.into_inner().url)
        };
        let created = pod.container("created").sh("exit 0").create().await;
        assert_eq!(code(attach(&created.id).await), Code::FailedPrecondition);
        assert_eq!(code(attach("").await), Code::InvalidArgument);
        assert!(attach(&main.id).await.unwrap().contains("/attach/"));

        let forward = async |id: &str, port: Vec<i32>| {
            let request = v1::PortForwardRequest { pod_sandbox_id: id.to_owned(), port };
            daemon.runtime().port_forward(request).await.map(|answer| answer.into_inner().url)
        };
        assert_eq!(code(forward(&pod.id, vec![0]).await), Code::InvalidArgument);
        assert_eq!(code(forward(&pod.id, vec![65536]).await), Code::InvalidArgument);
        assert_eq!(code(forward("", vec![]).await), Code::InvalidArgument);
        assert_eq!(code(forward("nobody", vec![]).await), Code::NotFound);
        assert!(forward(&pod.id, vec![]).await.unwrap().contains("/portforward/"));
        main.stop(0).await.unwrap();
        assert_eq!(code(exec(&|_| {}).await), Code::FailedPrecondition);
        pod.stop().await.unwrap();
        assert_eq!(code(forward(&pod.id, vec![80]).await), Code::FailedPrecondition);
    });
}

/// Address and path of a URL.
fn split(url: &str) -> (SocketAddr, &str) {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    (address.parse().unwrap(), path)
}

async fn exec_url(pod: &Pod<'_>, container: &str) -> Result<String, tonic::Status> {
    let cmd = vec!["true".to_owned()];
    let request = v1::ExecRequest { container_id: container.to_owned(), cmd, stdout: true, ..Default::default() };
    Ok(pod.daemon.runtime().exec(request).await?.into_inner().url)
}

#[test]
fn a_thousand_wait_for_their_clients_and_no_more() {
    peapod(async |daemon| {
        let pod = daemon.pod("tokens").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        let mut urls = std::collections::HashSet::new();
        let refused = loop {
            match exec_url(&pod, &main.id).await {
                Ok(url) => assert!(urls.insert(url), "the same again"),
                Err(refused) => break refused,
            }
        };
        assert_eq!((refused.code(), urls.len()), (Code::ResourceExhausted, 1000), "{refused}");
        // Who has none gets nothing, and one that is used makes room.
        let url = urls.iter().next().unwrap();
        let (address, path) = split(url);
        let request = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        for unknown in ["exec/abcdefghijklmnop", "exec/", "", &path.replace("exec", "attach")] {
            let answer = get(address, &request(unknown)).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 404"), "{unknown}: {answer}");
        }
    });
}

#[test]
fn a_command_is_killed_with_its_client_unless_it_is_to_be_left() {
    for (setting, number) in [("kill", 54321), ("leave", 54322)] {
        let options = peapod_tests::Options::new().set(format!("streaming.on_disconnect={setting}"));
        peapod_with(&options, async |daemon| {
            let pod = daemon.pod(setting).run().await;
            let main = pod.container("main").sh("sleep 1000").start().await;
            let script = format!("sleep {number} & echo ready; wait");
            let mut client = daemon.dialogue(&["exec", &main.id, "sh", "-c", &script]);
            client.hear("ready\n").await;
            client.kill().await;
            let sleeps = format!("sleep {number}");
            if setting == "kill" {
                wait_for("the command's end", async || processes(&sleeps) == 0).await;
            } else {
                // Another command comes and goes in the meantime.
                daemon.crictl_with(b"", &["exec", &main.id, "true"]).await;
                assert_eq!(processes(&sleeps), 1);
            }
        });
    }
}

#[test]
fn an_image_of_a_web_server_is_reached() {
    peapod(async |daemon| {
        let pod = daemon.pod("web").run().await;
        pod.container("web").image(WEB).start().await;
        let local = free_port();
        let mut forward = daemon.dialogue(&["port-forward", &pod.id, &format!("{local}:80")]);
        forward.hear("Forwarding from 127.0.0.1").await;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, local));
        wait_for("a page", async || {
            get(address, "GET / HTTP/1.0\r\n\r\n").await.is_some_and(|page| page.starts_with("HTTP/1."))
        })
        .await;
        forward.kill().await;
    });
}
