//! Compares two configurations. Pure.

use std::collections::BTreeSet;
use std::fmt::Debug;

use peapod_image::{PartialConfig, RequestConfig, UnpackLimits};
use peapod_nri::Rules;
use peapod_pod::{HandlerOrigin, OciRuntime, Timeouts};

use crate::config::{
    Config, GrpcSettings, LogSettings, MetricsSettings, NriSettings, StreamingSettings, TimeoutSettings, TlsFiles,
    TracingSettings,
};

/// What another configuration means for a daemon that runs.
#[derive(Debug)]
pub(super) struct ReloadPlan {
    /// What the daemon works with from now on: the old one but for what is applied.
    pub(super) next: Config,
    /// Changes that need nothing more.
    pub(super) applied: Vec<SettingChange>,
    /// Keys that would change with a restart; named again each time, as long as it is so.
    pub(super) restart: Vec<String>,
}

/// A key with another value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SettingChange {
    pub(super) key: String,
    pub(super) from: String,
    pub(super) to: String,
}

/// Takes from `wanted` what can change under a running daemon. Every field is named here, so that a new one can't be
/// forgotten.
pub(super) fn plan(running: &Config, wanted: Config) -> ReloadPlan {
    let Config { state_root, run_root, grpc, log, metrics, tracing, timeouts, streaming, pods, images, network, nri } =
        wanted;
    let mut plan = ReloadPlan { next: running.clone(), applied: Vec::new(), restart: Vec::new() };
    plan.keep("state_root", &running.state_root, &state_root);
    plan.keep("run_root", &running.run_root, &run_root);
    plan.grpc(&running.grpc, &grpc);
    plan.log(&running.log, log);
    let MetricsSettings { address } = metrics;
    plan.keep("metrics.address", &running.metrics.address, &address);
    let TracingSettings { endpoint, sample_percent } = tracing;
    plan.keep("tracing.endpoint", &running.tracing.endpoint, &endpoint);
    plan.keep("tracing.sample_percent", &running.tracing.sample_percent, &sample_percent);
    plan.timeouts(&running.timeouts, &timeouts);
    plan.streaming(&running.streaming, &streaming);
    plan.pods(&running.pods, &pods);
    plan.images(&running.images, images);
    plan.network(&running.network, &network);
    plan.nri(&running.nri, &nri);
    plan
}

impl ReloadPlan {
    /// The value that is to be used, and a note if that is a new one.
    fn take<T: PartialEq + Debug>(&mut self, key: &'static str, old: &T, new: T) -> T {
        if *old != new {
            self.applied.push(SettingChange { key: key.to_owned(), from: format!("{old:?}"), to: format!("{new:?}") });
        }
        new
    }

    /// A note if the value is another one.
    fn keep<T: PartialEq>(&mut self, key: &str, old: &T, new: &T) {
        if old != new {
            self.restart.push(key.to_owned());
        }
    }

    fn grpc(&mut self, old: &GrpcSettings, new: &GrpcSettings) {
        let GrpcSettings { socket, mode, max_message_bytes, max_connections, idle_timeout, transfer_timeout } = new;
        self.keep("grpc.socket", &old.socket, socket);
        self.keep("grpc.mode", &old.mode, mode);
        self.keep("grpc.max_message_bytes", &old.max_message_bytes, max_message_bytes);
        self.keep("grpc.max_connections", &old.max_connections, max_connections);
        self.keep("grpc.idle_timeout", &old.idle_timeout, idle_timeout);
        self.keep("grpc.transfer_timeout", &old.transfer_timeout, transfer_timeout);
    }

    fn log(&mut self, old: &LogSettings, new: LogSettings) {
        let LogSettings { level, format } = new;
        self.next.log.level = self.take("log.level", &old.level, level);
        self.next.log.format = self.take("log.format", &old.format, format);
    }

    fn timeouts(&mut self, old: &TimeoutSettings, new: &TimeoutSettings) {
        let TimeoutSettings { pods: Timeouts { operation, exec_drain }, shutdown } = *new;
        let pods = Timeouts {
            operation: self.take("timeouts.operation", &old.pods.operation, operation),
            exec_drain: self.take("timeouts.exec_drain", &old.pods.exec_drain, exec_drain),
        };
        self.next.timeouts.pods = pods;
        self.next.pods.timeouts = pods;
        self.keep("timeouts.shutdown", &old.shutdown, &shutdown);
    }

    fn streaming(&mut self, old: &StreamingSettings, new: &StreamingSettings) {
        let StreamingSettings { address, tls, idle_timeout, creation_timeout, on_disconnect } = new;
        let certificate = |tls: &Option<TlsFiles>| tls.as_ref().map(|files| files.certificate.clone());
        let key = |tls: &Option<TlsFiles>| tls.as_ref().map(|files| files.key.clone());
        self.keep("streaming.address", &old.address, address);
        self.keep("streaming.tls_cert", &certificate(&old.tls), &certificate(tls));
        self.keep("streaming.tls_key", &key(&old.tls), &key(tls));
        self.keep("streaming.idle_timeout", &old.idle_timeout, idle_timeout);
        self.keep("streaming.creation_timeout", &old.creation_timeout, creation_timeout);
        self.keep("streaming.on_disconnect", &old.on_disconnect, on_disconnect);
    }

    fn nri(&mut self, old: &NriSettings, new: &NriSettings) {
        let NriSettings { socket, installed, registration_timeout, request_timeout, rules } = new;
        let Rules { required, tolerate_missing_annotation, reject } = rules;
        self.keep("nri.socket", &old.socket, socket);
        self.keep("nri.plugin_dir or nri.plugin_config_dir", &old.installed, installed);
        self.keep("nri.registration_timeout", &old.registration_timeout, registration_timeout);
        self.keep("nri.request_timeout", &old.request_timeout, request_timeout);
        self.keep("nri.required_plugins", &old.rules.required, required);
        let annotation = &old.rules.tolerate_missing_annotation;
        self.keep("nri.tolerate_missing_annotation", annotation, tolerate_missing_annotation);
        self.keep("nri.reject", &old.rules.reject, reject);
    }

    fn pods(&mut self, old: &peapod_pod::Config, new: &peapod_pod::Config) {
        let peapod_pod::Config {
            // These are compared where they are written.
            listed_bytes: _,
            state_root: _,
            run_root: _,
            timeouts: _,
            shim,
            runtimes: _,
            default_runtime,
            cgroup_root,
            cgroup_driver,
            cgroup_parent,
            scope_prefix,
            shim_cgroup,
            boot_id_file,
            containers: peapod_pod::ContainerSettings { log_rate, restores, ulimits, selinux },
            cdi_dirs,
        } = new;
        self.keep("boot_id_file", &old.boot_id_file, boot_id_file);
        self.next.pods.cdi_dirs = self.take("cdi.spec_dirs", &old.cdi_dirs, cdi_dirs.clone());
        let ulimits = self.take("containers.default_ulimits", &old.containers.ulimits, ulimits.clone());
        self.next.pods.containers.ulimits = ulimits;
        self.keep("container_log.rate", &old.containers.log_rate, log_rate);
        self.keep("containers.selinux", &old.containers.selinux, selinux);
        self.keep("checkpoint.restore", &old.containers.restores, restores);
        self.keep("shim.path", &old.shim, shim);
        self.keep("cgroup.root", &old.cgroup_root, cgroup_root);
        self.keep("cgroup.driver", &old.cgroup_driver, cgroup_driver);
        self.keep("cgroup.parent", &old.cgroup_parent, cgroup_parent);
        self.keep("cgroup.scope_prefix", &old.scope_prefix, scope_prefix);
        self.keep("cgroup.shims", &old.shim_cgroup, shim_cgroup);
        self.keep("runtimes.default", &old.default_runtime, default_runtime);
        self.handlers(old, new);
    }

    /// Those that are found come and go; of the configuration's own a restart is needed. The default one stays, and so
    /// do all whose states would lie in another run root.
    fn handlers(&mut self, old: &peapod_pod::Config, new: &peapod_pod::Config) {
        let moves = old.run_root != new.run_root;
        let (old, new) = (&old.runtimes, &new.runtimes);
        let is_found = |runtime: Option<&OciRuntime>| runtime.is_none_or(|it| it.origin == HandlerOrigin::Found);
        let path = |runtime: Option<&OciRuntime>| runtime.map_or("none".to_owned(), |it| it.path.display().to_string());
        let names: BTreeSet<&String> = old.by_name.keys().chain(new.by_name.keys()).collect();
        for name in names {
            let (before, now) = (old.by_name.get(name), new.by_name.get(name));
            let key = format!("runtimes.handlers.{name}");
            if moves || before == now || !is_found(before) || !is_found(now) || *name == self.next.pods.default_runtime
            {
                self.keep(&key, &before, &now);
                continue;
            }
            self.applied.push(SettingChange { key, from: path(before), to: path(now) });
            match now {
                Some(runtime) => self.next.pods.runtimes.by_name.insert(name.clone(), runtime.clone()),
                None => self.next.pods.runtimes.by_name.remove(name),
            };
        }
        self.next.pods.runtimes.left_out.clone_from(&new.left_out);
    }

    fn images(&mut self, old: &peapod_image::Config, new: peapod_image::Config) {
        let peapod_image::Config {
            // Compared where it is written; the next one is no key.
            state_root: _,
            boot_id: _,
            hosts_dirs,
            default_registry,
            max_downloads,
            max_unpacks,
            requests,
            partial: PartialConfig { keep, max_bytes },
            limits,
            import_dir,
        } = new;
        self.keep("image.import_dir", &old.import_dir, &import_dir);
        self.next.images.hosts_dirs = self.take("image.hosts_dirs", &old.hosts_dirs, hosts_dirs);
        self.keep("image.default_registry", &old.default_registry, &default_registry);
        self.keep("image.max_downloads", &old.max_downloads, &max_downloads);
        self.keep("image.max_unpacks", &old.max_unpacks, &max_unpacks);
        self.requests(&old.requests, requests);
        self.keep("image.keep_partial", &old.partial.keep, &keep);
        self.keep("image.max_partial_bytes", &old.partial.max_bytes, &max_bytes);
        self.limits(&old.limits, &limits);
    }

    fn requests(&mut self, old: &RequestConfig, new: RequestConfig) {
        // The last one is no key.
        let RequestConfig { connect_timeout, stall_timeout, request_timeout, retries, host_cooldown: _ } = new;
        let request_timeout = self.take("image.request_timeout", &old.request_timeout, request_timeout);
        self.next.images.requests.request_timeout = request_timeout;
        self.next.images.requests.retries = self.take("image.retries", &old.retries, retries);
        self.keep("image.connect_timeout", &old.connect_timeout, &connect_timeout);
        self.keep("image.stall_timeout", &old.stall_timeout, &stall_timeout);
    }

    fn limits(&mut self, old: &UnpackLimits, new: &UnpackLimits) {
        let UnpackLimits { layer_entries, layer_bytes, image_entries, image_bytes, reserve_percent } = new;
        self.keep("image.max_layer_entries", &old.layer_entries, layer_entries);
        self.keep("image.max_layer_bytes", &old.layer_bytes, layer_bytes);
        self.keep("image.max_image_entries", &old.image_entries, image_entries);
        self.keep("image.max_image_bytes", &old.image_bytes, image_bytes);
        self.keep("image.disk_reserve_percent", &old.reserve_percent, reserve_percent);
    }

    fn network(&mut self, old: &peapod_network::Config, new: &peapod_network::Config) {
        let peapod_network::Config { bridge, subnets, netns_dir, mtu, cni } = new;
        let peapod_network::CniConfig { conf_dir, bin_dirs, timeout, give_up_after } = cni;
        self.keep("network.bridge", &old.bridge, bridge);
        self.keep("network.subnets", &old.subnets, subnets);
        self.keep("network.netns_dir", &old.netns_dir, netns_dir);
        self.keep("network.mtu", &old.mtu, mtu);
        self.keep("network.cni_conf_dir", &old.cni.conf_dir, conf_dir);
        self.keep("network.cni_bin_dirs", &old.cni.bin_dirs, bin_dirs);
        self.keep("network.cni_timeout", &old.cni.timeout, timeout);
        self.keep("network.cni_patience", &old.cni.give_up_after, give_up_after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ServeArgs;

    /// What changes when these keys are set.
    fn changes(set: &[&str]) -> ReloadPlan {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("config.toml");
        std::fs::write(&file, "").unwrap();
        let load = |more: &[&str]| {
            let usual = ["shim.path=/bin/true", "runtimes.handlers.true.path=/bin/true"];
            let set = usual.iter().chain(more).map(|&text| text.to_owned()).collect();
            crate::config::load(ServeArgs { config: Some(file.clone()), set, ..ServeArgs::default() }).unwrap()
        };
        plan(&load(&[]), load(set))
    }

    #[test]
    fn nothing_new_is_no_change() {
        let plan = changes(&[]);
        assert!(plan.applied.is_empty() && plan.restart.is_empty(), "{plan:?}");
    }

    #[test]
    fn what_can_change_does() {
        let plan = changes(&[
            "log.level=debug",
            "log.format=json",
            "timeouts.operation=5s",
            "timeouts.exec_drain=3s",
            "cdi.spec_dirs=[]",
            "containers.default_ulimits=[\"nofile=1024:4096\"]",
            "image.hosts_dirs=[\"/etc/other\"]",
            "image.request_timeout=7s",
            "image.retries=9",
        ]);
        let said: Vec<String> = plan.applied.iter().map(|c| format!("{} {} {}", c.key, c.from, c.to)).collect();
        assert_eq!(
            said,
            [
                "log.level \"info\" \"debug\"",
                "log.format Text Json",
                "timeouts.operation 110s 5s",
                "timeouts.exec_drain 2s 3s",
                "cdi.spec_dirs [\"/etc/cdi\", \"/run/cdi\"] []",
                "containers.default_ulimits [] [\"nofile=1024:4096\"]",
                "image.hosts_dirs [\"/etc/peapod/certs.d\", \"/etc/containerd/certs.d\"] [\"/etc/other\"]",
                "image.request_timeout 60s 7s",
                "image.retries 3 9",
            ]
        );
        assert!(plan.restart.is_empty(), "{:?}", plan.restart);
        assert_eq!(plan.next.log.level, "debug");
        assert_eq!(plan.next.images.requests.retries, 9);
        assert_eq!(plan.next.pods.timeouts.operation.as_secs(), 5);
    }

    #[test]
    fn found_handlers_come_and_go() {
        let running = changes(&["runtimes.discover=false"]).next;
        let runtime = |path: &str, origin| OciRuntime {
            path: path.into(),
            root: "/r".into(),
            origin,
            grouping: peapod_pod::Grouping::Namespaces,
            cgroup_writable: false,
            arguments: Vec::new(),
        };
        let with = |handlers: &[(&str, &str, HandlerOrigin)]| {
            let mut config = running.clone();
            let all = handlers.iter().map(|(name, path, origin)| ((*name).to_owned(), runtime(path, *origin)));
            config.pods.runtimes.by_name = all.collect();
            config.pods.default_runtime = "crun".to_owned();
            config
        };
        use HandlerOrigin::{Configured, Found};
        let before = with(&[("crun", "/c", Found), ("runc", "/r", Found), ("own", "/o", Configured)]);
        let wanted = with(&[("youki", "/y", Found), ("own", "/p", Configured)]);
        let ReloadPlan { next, applied, restart } = plan(&before, wanted);
        let said: Vec<String> = applied.iter().map(|c| format!("{} {} {}", c.key, c.from, c.to)).collect();
        assert_eq!(said, ["runtimes.handlers.runc /r none", "runtimes.handlers.youki none /y"]);
        assert_eq!(restart, ["runtimes.handlers.crun", "runtimes.handlers.own"]);
        let names: Vec<&str> = next.pods.runtimes.by_name.keys().map(String::as_str).collect();
        assert_eq!(names, ["crun", "own", "youki"]);
    }

    #[test]
    fn the_rest_is_named_and_stays() {
        let plan = changes(&[
            "state_root=/other",
            "run_root=/run/other",
            "grpc.mode=0600",
            "metrics.address=127.0.0.1:9434",
            "tracing.endpoint=http://127.0.0.1:4317",
            "tracing.sample_percent=7",
            "timeouts.shutdown=2s",
            "streaming.on_disconnect=leave",
            "cgroup.parent=/other",
            "containers.selinux=all",
            "runtimes.handlers.false.path=/bin/false",
            "runtimes.handlers.true.root=/elsewhere",
            "image.max_downloads=2",
            "network.mtu=1400",
            "network.cni_timeout=1s",
        ]);
        for key in [
            "state_root",
            "run_root",
            "grpc.socket",
            "grpc.mode",
            "metrics.address",
            "tracing.endpoint",
            "tracing.sample_percent",
            "timeouts.shutdown",
            "streaming.on_disconnect",
            "cgroup.parent",
            "containers.selinux",
            "runtimes.handlers.false",
            "runtimes.handlers.true",
            "image.max_downloads",
            "network.mtu",
            "network.cni_timeout",
        ] {
            assert!(plan.restart.iter().any(|named| named == key), "no {key} in {:?}", plan.restart);
        }
        assert!(plan.applied.is_empty(), "{:?}", plan.applied);
        assert_eq!(plan.next.images.max_downloads, 4);
    }
}
