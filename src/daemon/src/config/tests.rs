//! What people write, and what they are told.

use std::path::Path;

use super::{MetricsAddress, load};
use crate::args::{LogFormat, ServeArgs};

/// Arguments that work on a machine without anything installed.
fn args(root: &Path) -> ServeArgs {
    ServeArgs {
        config: Some(root.join("config.toml")),
        set: vec!["shim.path=/bin/true".into(), "runtimes.handlers.true.path=/bin/true".into()],
        ..ServeArgs::default()
    }
}

fn check(text: &str) -> Result<super::Config, String> {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("config.toml"), text).unwrap();
    load(args(root.path())).map_err(|error| error.to_string().replace(root.path().to_str().unwrap(), ""))
}

#[test]
fn nothing_said_means_the_defaults() {
    let config = check("").unwrap();
    assert_eq!(config.grpc.socket, Path::new("/run/peapod/peapod.sock"));
    assert_eq!(config.grpc.mode, 0o660);
    assert_eq!(config.grpc.max_message_bytes, 16 << 20);
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.network.bridge, "peapod0");
    assert_eq!(config.network.subnets.len(), 1);
}

#[test]
fn the_packaged_file_shows_the_defaults() {
    // Every commented key, taken literally.
    let lines = super::DEFAULT_TEXT.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => key,
        _ => line,
    });
    let own = ["max_unpacks", "parent", "cgroup_writable", "root_container", "arguments"];
    let host = |line: &&str| {
        !line.contains("crun") && !line.contains("libexec") && !own.iter().any(|key| line.starts_with(key))
    };
    let written = check(&lines.filter(host).collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(format!("{written:?}"), format!("{:?}", check("").unwrap()));
}

#[test]
fn all_mistakes_at_once_with_their_lines() {
    let error = check(
        "state_rot = \"/x\"\nrun_root = \"relative\"\n[grpc]\nmode = \"0999\"\nmax_message_bytes = 1\n[log]\n\
         level = \"loud=?\"\nformat = 3\n[network]\nsubnets = [\"10.0.0.0/8\", \"10.0.0.1/8\"]\nbridge = \"much-too-long-for-a-link\"\n\
         [cgroup]\ndriver = \"upstart\"\n[runtimes]\ndefault = \"kata\"\n[runtimes.handlers.NoGood]\npath = \"/nowhere\"\n",
    )
    .unwrap_err();
    for expected in [
        "/config.toml:1: state_rot: is not a key that peapod knows; here there are: state_root, run_root, boot_id_file, grpc",
        "/config.toml:2: run_root: \"relative\" is not an absolute path",
        "/config.toml:4: grpc.mode: \"0999\" is not a file mode in octal digits",
        "/config.toml:5: grpc.max_message_bytes: 1 is out of range",
        "/config.toml:7: log.level: \"loud=?\"",
        "/config.toml:8: log.format: is a number, should be text in quotes",
        "/config.toml:10: network.subnets: \"10.0.0.1/8\" is no range",
        "/config.toml:9: network: network.bridge 'much-too-long-for-a-link': is too long",
        "/config.toml:13: cgroup.driver: \"upstart\" should be \"auto\", \"cgroupfs\" or \"systemd\"",
        "/config.toml:14: runtimes.default: \"kata\" is no handler",
        "/config.toml:16: runtimes.handlers.NoGood: a handler's name has",
        "/config.toml:17: runtimes.handlers.NoGood.path: \"/nowhere\" is not an executable file",
    ] {
        assert!(error.contains(expected), "no {expected:?} in:\n{error}");
    }
}

#[test]
fn a_wrong_entry_of_a_list_is_one_mistake() {
    let error = check("[network]\nsubnets = [\"everything\"]\n").unwrap_err();
    assert_eq!(error.matches("network").count(), 1, "{error}");
    assert!(error.contains("/config.toml:2: network.subnets: \"everything\" is no range"), "{error}");
}

#[test]
fn broken_text_is_named_by_line() {
    let error = check("[log]\nlevel = \n").unwrap_err();
    assert!(error.contains("/config.toml:2: "), "{error}");
}

#[test]
fn later_texts_win_and_the_command_line_wins_over_all() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(
        root.path().join("config.toml"),
        "[network]\nbridge = \"one\"\nmtu = 1400\n[log]\nlevel = \"warn\"\n",
    )
    .unwrap();
    std::fs::create_dir(root.path().join("config.d")).unwrap();
    std::fs::write(root.path().join("config.d/20.toml"), "[network]\nbridge = \"three\"\n").unwrap();
    std::fs::write(root.path().join("config.d/10.toml"), "[network]\nbridge = \"two\"\n").unwrap();
    std::fs::write(root.path().join("config.d/note.txt"), "not TOML").unwrap();
    let mut args = args(root.path());
    assert_eq!(load(args.clone()).unwrap().network.bridge, "three");
    args.set.push("network.bridge=four".into());
    args.log_level = Some("debug".into());
    args.run_root = Some("/tmp/run".into());
    let config = load(args.clone()).unwrap();
    assert_eq!((config.network.bridge.as_str(), config.network.mtu), ("four", Some(1400)));
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.grpc.socket, Path::new("/tmp/run/peapod.sock"));
    args.set.push("network.colour=red".into());
    let error = load(args.clone()).unwrap_err().to_string();
    assert!(error.contains("--set network.colour=red: network.colour: is not a key"), "{error}");
}

#[test]
fn metrics_have_an_address_or_a_socket_of_their_own() {
    let address = |text: &str| check(&format!("[metrics]\naddress = {text:?}\n")).map(|config| config.metrics.address);
    assert_eq!(address(""), Ok(None));
    assert_eq!(address("[::1]:9434"), Ok(Some(MetricsAddress::Tcp("[::1]:9434".parse().unwrap()))));
    let socket = "/run/peapod/metrics.sock";
    assert_eq!(address(socket), Ok(Some(MetricsAddress::Socket(socket.into()))));
    let long = format!("/{}", "x".repeat(107));
    let none = "is no address with a port such as";
    for (wrong, why) in [
        ("localhost:9434", none),
        ("127.0.0.1", none),
        ("127.0.0.1:0", none),
        ("metrics.sock", none),
        ("/run/../metrics.sock", "is not an absolute path"),
        ("/run/peapod/peapod.sock", "is the socket of CRI"),
        (&long, "has 108 bytes"),
    ] {
        let error = address(wrong).unwrap_err();
        assert!(error.contains("config.toml:2: metrics.address: ") && error.contains(why), "{wrong}: {error}");
    }
}

#[test]
fn spans_have_an_endpoint_without_tls() {
    let endpoint =
        |text: &str| check(&format!("[tracing]\nendpoint = {text:?}\n")).map(|config| config.tracing.endpoint);
    assert_eq!(endpoint(""), Ok(None));
    for good in ["http://127.0.0.1:4317", "http://[::1]:4317/", "http://collector.monitoring:4317"] {
        assert!(endpoint(good).unwrap().is_some(), "{good}");
    }
    for wrong in
        ["https://a:4317", "http://a", "a:4317", "http://a:4317/v1/traces", "http://a:4317/?x", "http://", "x y"]
    {
        let error = endpoint(wrong).unwrap_err();
        assert!(error.contains("config.toml:2: tracing.endpoint: ") && error.contains("4317"), "{wrong}: {error}");
    }
    let error = check("[tracing]\nsample_percent = 101\n").unwrap_err();
    assert!(error.contains("tracing.sample_percent: 101 is out of range"), "{error}");
}

#[test]
fn limits_of_containers_are_checked() {
    let limits = |text: &str| check(&format!("[containers]\ndefault_ulimits = {text}\n"));
    let read = limits("[\"nofile=1024:4096\", \"memlock=unlimited\"]").unwrap().pods.containers.ulimits;
    assert_eq!(format!("{read:?}"), "[\"nofile=1024:4096\", \"memlock=unlimited:unlimited\"]");
    for (text, why) in [
        ("[\"nofile=2048:1024\"]", ":2: containers.default_ulimits: \"nofile=2048:1024\" has a soft limit above"),
        ("[\"core=0\", \"core=1\"]", ":1: containers.default_ulimits: core has more than one limit"),
        ("[\"files=1\"]", ":2: containers.default_ulimits: \"files=1\" names no limit; there are: as, core"),
        ("\"core=0\"", ":2: containers.default_ulimits: is text, should be a list of texts"),
    ] {
        let error = limits(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn control_groups_are_given_away_where_limits_stay() {
    let handler =
        |text: &str| check(&format!("[runtimes.handlers.mine]\npath = \"/bin/true\"\ncgroup_writable = {text}\n"));
    assert!(!handler("false").unwrap().pods.runtimes.by_name["mine"].cgroup_writable);
    let wrong = handler("\"yes\"").unwrap_err();
    assert!(wrong.contains(":3: runtimes.handlers.mine.cgroup_writable: is text, should be true or false"), "{wrong}");
    match (handler("true"), peapod_cgroup::check_delegation(Path::new("/sys/fs/cgroup"))) {
        (given, Ok(())) => assert!(given.unwrap().pods.runtimes.by_name["mine"].cgroup_writable),
        (refused, Err(reason)) => {
            let refused = refused.unwrap_err();
            assert!(refused.contains(&format!(":3: runtimes.handlers.mine.cgroup_writable: {reason}")), "{refused}");
        }
    }
    let nowhere = "[cgroup]\nroot = \"/tmp\"\ndriver = \"cgroupfs\"\n[runtimes.handlers.mine]\npath = \"/bin/true\"\ncgroup_writable = true\n";
    let refused = check(nowhere).unwrap_err();
    assert!(refused.contains(":6: runtimes.handlers.mine.cgroup_writable: needs cgroup v2 alone"), "{refused}");
}

#[test]
fn a_run_root_without_room_for_sockets() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("config.toml"), "").unwrap();
    let mut args = args(root.path());
    args.run_root = Some(format!("/{}", "x".repeat(88)).into());
    let error = load(args.clone()).unwrap_err().to_string();
    assert!(error.contains("run_root: has 89 bytes; more than 88"), "{error}");
}
