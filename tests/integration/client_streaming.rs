//! `peapod exec`, `attach` and `port-forward`, from a person's terminal to a container and back.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_tests::{
    Daemon, Dialogue, Options, Output, at_most, on_each_runtime, peapod, peapod_with, processes, wait_for, wait_some,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// What a client ends with that reads this.
async fn client(daemon: &Daemon, stdin: &[u8], arguments: &[&str]) -> Output {
    let mut child = daemon.client(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let (mut input, bytes) = (child.stdin.take().unwrap(), stdin.to_vec());
    // One that ends early does not read all.
    let fed = async move { drop((input.write_all(&bytes).await, input)) };
    let (_, output) = tokio::join!(fed, tokio::time::timeout(at_most(LIMIT), child.wait_with_output()));
    let output = output.unwrap_or_else(|_| panic!("peapod {arguments:?} does not end")).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[test]
fn output_input_and_status_of_a_command() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("exec").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        let exec = async |stdin: &[u8], words: &[&str]| client(daemon, stdin, &[&["exec"], words].concat()).await;

        let output =
            exec(b"nobody reads this", &["exec", "--", "sh", "-c", "echo out; echo err >&2; cat; exit 7"]).await;
        assert_eq!((output.code, &*output.stdout, &*output.stderr), (7, "out\n", "err\n"));
        let much: Vec<u8> = (0..5_000_000_u32).map(|number| b'a' + (number % 26) as u8).collect();
        let output = exec(&much, &["-i", "exec", "-c", "main", "--", "cat"]).await;
        assert!(output.stdout.as_bytes() == much, "{} bytes came back", output.stdout.len());
        assert_eq!((output.code, &*output.stderr), (0, ""));
        // The end of the input reaches the command, whose output goes on; a container has an id of its own.
        let output = exec(b"abc", &["-i", &main.id[..12], "--", "sh", "-c", "cat; echo end"]).await;
        assert_eq!((output.code, &*output.stdout), (0, "abcend\n"), "{output:?}");
        let output = exec(b"", &["exec", "--", "sh", "-c", "kill -9 $$"]).await;
        assert_eq!(output.code, 137, "{output:?}");

        let output = exec(b"", &["exec", "--", "/no/such"]).await;
        assert!(output.code == 127 && output.stderr.contains("/no/such"), "{output:?}");
        let output = exec(b"", &["nobody", "--", "true"]).await;
        assert!(output.code == 125 && output.stderr.contains("nobody"), "{output:?}");
        let output = exec(b"", &["exec", "--", "/etc/hostname"]).await;
        assert!(output.code == 126 && output.stderr.contains("/etc/hostname"), "{output:?}");
        let output = exec(b"", &["--timeout", "1", "exec", "--", "/no/such"]).await;
        assert!(output.code == 127 && output.stderr.contains("/no/such"), "{output:?}");
        let output = exec(b"", &["--timeout", "2", "exec", "--", "sh", "-c", "echo before; sleep 1000"]).await;
        assert!(
            output.code == 125 && output.stderr.contains("within 2 s") && output.stdout == "before\n",
            "{output:?}"
        );
        wait_for("its end", async || main.exec("ps -o args | grep -c '^sleep'").await == "1\n").await;
        // More than ExecSync keeps; and by who has the habit of -t.
        let output = exec(b"", &["--timeout", "60", "exec", "--", "sh", "-c", "yes | head -c 20000000"]).await;
        assert_eq!((output.code, output.stdout.len()), (0, 20_000_000), "{}", output.stderr);
        let output = exec(b"abc", &["-it", "exec", "--", "cat"]).await;
        assert!(output.code == 0 && output.stdout == "abc" && output.stderr.contains("-t is left out"), "{output:?}");
        for (script, code) in [("echo text", 125), ("yes", 125)] {
            let mut client = daemon.client(&["exec", "exec", "--", "sh", "-c", script]);
            let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
            let output = client.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().await.unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(code) && said.contains("No space left on device"), "{script}: {said}");
        }
        assert_eq!(main.exec("ps -o args | grep -c '^sleep'").await, "1\n");
    });
}

#[test]
fn who_is_not_read_from_any_more_ends() {
    peapod(async |daemon| {
        let pod = daemon.pod("head").run().await;
        pod.container("main").sh("sleep 1000").start().await;
        let mut yes = daemon.client(&["exec", "head", "--", "yes", "54331"]).spawn().unwrap();
        yes.stdout.take().unwrap().read_exact(&mut [0; 100]).await.unwrap();
        let ended = tokio::time::timeout(at_most(LIMIT), yes.wait()).await.expect("it ends").unwrap();
        assert_eq!(ended.code(), Some(141));
        wait_for("the command's end", async || processes("yes 54331") == 0).await;
    });
}

/// A terminal in which a client runs; then it says with what status, and whether the terminal is as it was.
fn terminal(daemon: &Daemon, client: &str) -> Dialogue {
    let line = format!(
        "before=$(stty -g); {client}; code=$?; test \"$before\" = \"$(stty -g)\" && same=same; \
         echo \"ended $code $same.\""
    );
    daemon.client_terminal((33, 99), &line)
}

#[test]
fn a_terminal_is_the_commands_until_it_ends() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("tty").run().await;
        let main = pod.container("main").sh("sleep 1000").start().await;
        // The size changes when the test says so.
        let go = daemon.path("resize-now");
        let client = format!(
            "(until [ -e {} ]; do sleep 0.05; done; stty rows 44 cols 111 </dev/tty) & $PEAPOD exec -it tty -- sh",
            go.display()
        );
        let mut shell = terminal(daemon, &client);
        shell.say("until [ \"$(stty size)\" = '33 99' ]; do :; done; echo \"size $(stty size)\"\n").await;
        shell.hear("size 33 99").await;
        std::fs::write(&go, "").unwrap();
        shell.say("until [ \"$(stty size)\" = '44 111' ]; do :; done; echo \"size $(stty size)\"\n").await;
        shell.hear("size 44 111").await;
        shell.say("test -t 0 && test -t 1 && test -t 2 && echo all $((1+1))\n").await;
        shell.hear("all 2").await;
        // Ctrl-C is the command's.
        shell.say("sh -c 'trap \"echo caught; exit\" INT; echo trapped; while :; do sleep 0.1; done'\n").await;
        shell.hear("trapped\r\n").await;
        shell.say("\x03").await;
        shell.hear("caught\r\n").await;
        shell.say("exit 5\n").await;
        let said = shell.hear("ended ").await;
        let rest = shell.end().await.1;
        assert_eq!(rest.trim(), "5 same.", "{said}");
        assert_eq!(main.exec("ps -o args | grep -c '^sleep 1000'").await, "1\n");
    });
}

#[test]
fn a_terminal_is_put_right_whatever_ends_the_client() {
    peapod(async |daemon| {
        let pod = daemon.pod("right").run().await;
        pod.container("main").sh("sleep 1000").start().await;
        let file = daemon.path("client-pid");
        let client = format!("sh -c 'echo $$ >{}; exec $PEAPOD exec -it right -- sleep 54332'", file.display());
        let ways = [
            (Signal::SIGTERM, 143),
            (Signal::SIGHUP, 129),
            (Signal::SIGINT, 130),
            (Signal::SIGQUIT, 131),
            (Signal::SIGUSR1, 138),
            (Signal::SIGUSR2, 140),
            (Signal::SIGALRM, 142),
        ];
        for (signal, status) in ways {
            let mut shell = terminal(daemon, &format!("export PEAPOD; {client}"));
            wait_for("the command", async || processes("sleep 54332") == 1).await;
            let pid = wait_some("the client", async || std::fs::read_to_string(&file).ok()?.trim().parse().ok()).await;
            kill(Pid::from_raw(pid), signal).unwrap();
            shell.hear(&format!("ended {status} same.")).await;
            shell.end().await;
            // Its client has gone.
            wait_for("the command's end", async || processes("sleep 54332") == 0).await;
            std::fs::remove_file(&file).unwrap();
        }
        // The session breaks off.
        let mut shell = terminal(daemon, &format!("export PEAPOD; {client}"));
        wait_for("the command", async || processes("sleep 54332") == 1).await;
        peapod_tests::kill(daemon.streaming_servers()[0]);
        let said = shell.hear("ended 255 same.").await;
        assert!(said.contains("broke off"), "{said}");
        shell.end().await;
        wait_for("the command's end", async || processes("sleep 54332") == 0).await;
    });
}

#[test]
fn who_is_attached_hears_and_is_heard() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("attach").run().await;
        let script = "echo before; while read line; do echo \"got $line\"; done; echo end; exit 3";
        let main = pod.container("main").sh(script).config(|config| {
            config.stdin = true;
            config.stdin_once = true;
        });
        let main = main.start().await;
        main.wait_log("before").await;
        let mut writer = daemon.client_dialogue(&["attach", "-i", "attach"]);
        writer.say("one\n").await;
        assert!(!writer.hear("got one\n").await.contains("before"), "what was said before is not repeated");
        writer.close();
        writer.hear("end\n").await;
        assert_eq!(writer.end().await.0, 0);
        assert_eq!(main.wait_exit().await.exit_code, 3);
        let output = client(daemon, b"", &["attach", "attach", "-c", "main"]).await;
        assert!(output.code == 125 && output.stderr.contains("Attach"), "{output:?}");

        let shell = pod.container("shell").command(&["sh"]).config(|config| (config.stdin, config.tty) = (true, true));
        let shell = shell.start().await;
        let mut person = terminal(daemon, &format!("$PEAPOD attach -it {}", &shell.id[..10]));
        person.say("until [ \"$(stty size)\" = '33 99' ]; do :; done; echo \"size $(stty size)\"\n").await;
        person.hear("size 33 99").await;
        person.say("exit 4\n").await;
        person.hear("ended 0 same.").await;
        person.end().await;
        assert_eq!(shell.wait_exit().await.exit_code, 4);
    });
}

/// Where a port-forward says that it listens.
async fn address(forward: &mut Dialogue) -> SocketAddr {
    forward.hear("Forwarding from 127.0.0.1:").await;
    let port = forward.hear(" -> ").await;
    SocketAddr::from((Ipv4Addr::LOCALHOST, port.trim_end_matches(" -> ").parse().unwrap()))
}

/// What somebody answers who is told all before.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // A connection that came to nothing may be reset.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn ports_of_a_pod_are_ports_of_the_node() {
    peapod(async |daemon| {
        let pod = daemon.pod("ports").run().await;
        let web = "mkdir /www; echo a page >/www/index.html; httpd -p 8080 -h /www";
        let count = "while :; do nc -l -p 7000 -e sh -c 'wc -c'; done";
        pod.container("web").sh(&format!("{web}; {count}")).start().await;
        let mut forward = daemon.client_dialogue(&["port-forward", "ports", ":8080", ":7000", "0:9"]);
        let (page, count, nobody) =
            (address(&mut forward).await, address(&mut forward).await, address(&mut forward).await);
        let get = "GET / HTTP/1.0\r\n\r\n";
        wait_for("the page", async || ask(page, get).await.contains("a page")).await;
        for page in futures_util::future::join_all((0..20).map(|_| ask(page, get))).await {
            assert!(page.contains("a page"), "{page}");
        }
        // It hears the end, and has its say then.
        let request = "x".repeat(300_000);
        wait_for("the count", async || ask(count, &request).await.trim() == "300000").await;
        // Of one that nobody listens on nothing comes, and others go on.
        assert_eq!(ask(nobody, "hello").await, "");
        assert!(ask(page, get).await.contains("a page"));
        // The same port once more.
        let taken = client(daemon, b"", &["port-forward", "ports", &format!("{}:8080", page.port())]).await;
        assert!(taken.code == 1 && taken.stderr.contains(&page.port().to_string()), "{taken:?}");
        pod.remove().await.unwrap();
        assert_eq!(ask(page, get).await, "");
        assert_eq!(forward.end().await.0, 1, "its pod is gone");
    });
}

#[test]
fn a_port_forward_ends_with_a_signal() {
    peapod(async |daemon| {
        let pod = daemon.pod("signal").run().await;
        for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
            let mut child = daemon.client(&["port-forward", "signal", ":80"]).spawn().unwrap();
            // It says so when it listens, for signals too.
            child.stdout.as_mut().unwrap().read_exact(&mut [0; 10]).await.unwrap();
            kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), signal).unwrap();
            let ended = tokio::time::timeout(at_most(LIMIT), child.wait()).await.expect("it ends").unwrap();
            assert_eq!(ended.code(), Some(status));
        }
        pod.stop().await.unwrap();
        let output = client(daemon, b"", &["port-forward", "signal", ":80"]).await;
        assert!(output.code == 1 && output.stderr.contains("has stopped"), "{output:?}");

        // That nobody takes what it has to say keeps it from nothing.
        let (_unread, mut errors) = std::io::pipe().unwrap();
        errors.write_all(&[b'x'; 64 << 10]).unwrap();
        let mut child = daemon.client(&["port-forward", "signal", ":80"]).stderr(errors).spawn().unwrap();
        let pid = child.id().unwrap();
        wait_for("the client's last words", async || writes_errors(pid)).await;
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGTERM).unwrap();
        let ended = tokio::time::timeout(at_most(LIMIT), child.wait()).await.expect("it ends").unwrap();
        assert_eq!(ended.code(), Some(143));
    });
}

/// Whether a thread of it is in write(2) to standard error.
fn writes_errors(pid: u32) -> bool {
    let number = if cfg!(target_arch = "x86_64") { 1 } else { 64 };
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("syscall")).ok())
        .any(|call| call.starts_with(&format!("{number} 0x2 ")))
}

#[test]
fn a_certificate_that_nobody_knows_is_fine_on_this_node() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("crt"), dir.path().join("key"));
    std::fs::write(&certificate, include_str!("../../src/streaming/tests/server/certificates/first.crt")).unwrap();
    std::fs::write(&key, include_str!("../../src/streaming/tests/server/certificates/first.key")).unwrap();
    let options = Options::new()
        .set(format!("streaming.tls_cert={:?}", certificate.to_str().unwrap()))
        .set(format!("streaming.tls_key={:?}", key.to_str().unwrap()));
    peapod_with(&options, async |daemon| {
        let pod = daemon.pod("tls").run().await;
        pod.container("main").sh("sleep 1000").start().await;
        let output = client(daemon, b"secret", &["exec", "-i", "tls", "--", "cat"]).await;
        assert_eq!((output.code, &*output.stdout), (0, "secret"), "{output:?}");
    });
}
