//! What of containerd's configuration is so on peapod, and what is not. Versions 2 and 3 of the file.

use super::keys::{Fate, ForeignKey, KnownKey};

/// Keys of the CRI plugin in version 2; version 3 has them in two plugins, some under other names.
pub(super) const KEYS: &[KnownKey] = &[
    known("sandbox_image", Fate::Needless("pods need no pause image")),
    known("pinned_images.*", Fate::Needless("pods need no pause image; pin others with `peapod pin`")),
    known("stream_server_address", Fate::Is("streaming.address")),
    known("stream_server_port", Fate::Is("streaming.address")),
    known("stream_idle_timeout", Fate::Is("streaming.idle_timeout")),
    known("enable_tls_streaming", Fate::Is("streaming.tls_cert and streaming.tls_key")),
    known("x509_key_pair_streaming.tls_cert_file", Fate::Is("streaming.tls_cert")),
    known("x509_key_pair_streaming.tls_key_file", Fate::Is("streaming.tls_key")),
    known("systemd_cgroup", Fate::Is("cgroup.driver")),
    known("containerd.default_runtime_name", Fate::Is("runtimes.default")),
    known("containerd.snapshotter", Fate::Overlay),
    known("snapshotter", Fate::Overlay),
    known("containerd.discard_unpacked_layers", Fate::Needless("peapod keeps no compressed layers")),
    known("containerd.disable_snapshot_annotations", Fate::Needless("there are no snapshotters")),
    known("discard_unpacked_layers", Fate::Needless("peapod keeps no compressed layers")),
    known("disable_snapshot_annotations", Fate::Needless("there are no snapshotters")),
    known("containerd.ignore_rdt_not_enabled_errors", Fate::Needless("peapod sets no RDT classes")),
    known("containerd.ignore_blockio_not_enabled_errors", Fate::Needless("peapod sets no block I/O classes")),
    known("containerd.runtimes.*.runtime_type", Fate::ShimOfRuntime),
    known(
        "containerd.runtimes.*.runtime_path",
        Fate::Missing("peapod has a shim of its own; use an OCI runtime as handler"),
    ),
    known("containerd.runtimes.*.options.BinaryName", Fate::Is("runtimes.handlers.NAME.path")),
    known("containerd.runtimes.*.options.Root", Fate::Is("runtimes.handlers.NAME.root")),
    known("containerd.runtimes.*.options.SystemdCgroup", Fate::Is("cgroup.driver, for all handlers")),
    known("containerd.runtimes.*.options.ShimCgroup", Fate::Is("cgroup.shims, for all handlers")),
    known("containerd.runtimes.*.options.*", Fate::Missing("an option of containerd's own shim")),
    known(
        "containerd.runtimes.*.pod_annotations",
        Fate::Missing("annotations are not handed to OCI runtimes by a list; configure the runtime itself"),
    ),
    known(
        "containerd.runtimes.*.container_annotations",
        Fate::Missing("annotations are not handed to OCI runtimes by a list; configure the runtime itself"),
    ),
    known(
        "containerd.runtimes.*.privileged_without_host_devices",
        Fate::Missing("privileged containers get the node's devices; ask for capabilities instead"),
    ),
    known(
        "containerd.runtimes.*.privileged_without_host_devices_all_devices_allowed",
        Fate::Missing("privileged containers get the node's devices"),
    ),
    known(
        "containerd.runtimes.*.base_runtime_spec",
        Fate::Missing("there is no base for config.json; wrap the OCI runtime if it is needed"),
    ),
    known("containerd.runtimes.*.cgroup_writable", Fate::Is("runtimes.handlers.NAME.cgroup_writable")),
    known("containerd.runtimes.*.snapshotter", Fate::Overlay),
    known("containerd.runtimes.*.sandbox_mode", Fate::Needless("pods have no pause container")),
    known("containerd.runtimes.*.sandboxer", Fate::Needless("pods have no pause container")),
    known("containerd.runtimes.*.io_type", Fate::Needless("peapod's shim has the streams")),
    known("registry.config_path", Fate::Is("image.hosts_dirs (/etc/containerd/certs.d is looked into without it)")),
    known("registry.mirrors.*", Fate::Missing("write a hosts.toml for each registry, in /etc/peapod/certs.d")),
    known(
        "registry.configs.*",
        Fate::Missing(
            "TLS belongs into hosts.toml; credentials into imagePullSecrets or a kubelet's credential provider",
        ),
    ),
    known("registry.auths.*", Fate::Missing("use imagePullSecrets or a kubelet's credential provider")),
    known("registry.headers.*", Fate::Missing("headers belong into hosts.toml")),
    known("cni.bin_dir", Fate::Is("network.cni_bin_dirs")),
    known("cni.bin_dirs", Fate::Is("network.cni_bin_dirs")),
    known("cni.conf_dir", Fate::Is("network.cni_conf_dir")),
    known("cni.max_conf_num", Fate::Needless("the first configuration by name is used, as with 1")),
    known("cni.conf_template", Fate::Missing("let the network's own agent write the configuration")),
    known("cni.ip_pref", Fate::Missing("the first address that a plugin answers is the pod's")),
    known("cni.setup_serially", Fate::Needless("plugins of one pod run one after the other")),
    known("cni.use_internal_loopback", Fate::Needless("peapod brings up lo by itself")),
    known("max_concurrent_downloads", Fate::Is("image.max_downloads")),
    known("max_container_log_line_size", Fate::Needless("long lines are written in parts, as CRI says")),
    known("max_concurrent_uploads", Fate::Needless("peapod pushes nothing")),
    known("image_pull_progress_timeout", Fate::Is("image.stall_timeout")),
    known("image_pull_with_sync_fs", Fate::Needless("layers are always synced before they are recorded")),
    known("stats_collect_period", Fate::Needless("statistics are taken when they are asked for")),
    known("drain_exec_sync_io_timeout", Fate::Is("timeouts.exec_drain")),
    known("enable_selinux", Fate::Is("containers.selinux")),
    known("selinux_category_range", Fate::Needless("pods have two of all 1024 categories")),
    known("disable_apparmor", Fate::Missing("ask for the profile Unconfined in the pods")),
    known("disable_cgroup", Fate::Missing("peapod needs control groups")),
    known("disable_proc_mount", Fate::Missing("remove it from the pods")),
    known("disable_hugetlb_controller", Fate::Needless("limits that the node can't set are named")),
    known("tolerate_missing_hugetlb_controller", Fate::Needless("limits that the node can't set are named")),
    known("restrict_oom_score_adj", Fate::Missing("run peapod with the right to lower scores (CAP_SYS_RESOURCE)")),
    known("unset_seccomp_profile", Fate::Missing("set the kubelet's seccompDefault")),
    known(
        "device_ownership_from_security_context",
        Fate::Missing("devices keep the node's owners; set their mode on the node"),
    ),
    known("ignore_image_defined_volumes", Fate::Missing("volumes of images get folders of their own")),
    known("netns_mounts_under_state_dir", Fate::Is("network.netns_dir")),
    known("enable_unprivileged_ports", Fate::Missing("set the pod's sysctl net.ipv4.ip_unprivileged_port_start")),
    known("enable_unprivileged_icmp", Fate::Missing("set the pod's sysctl net.ipv4.ping_group_range")),
    known("enable_cdi", Fate::Is("cdi.spec_dirs, which is empty where it is off")),
    known("cdi_spec_dirs", Fate::Is("cdi.spec_dirs")),
    known("image_decryption.*", Fate::Missing("encrypted layers are refused by name")),
    known("use_local_image_pull", Fate::Needless("there is one way to pull")),
    known("ignore_deprecation_warnings", Fate::Needless("nothing of it is deprecated here")),
];

const fn known(pattern: &'static str, fate: Fate) -> KnownKey {
    KnownKey { pattern, fate }
}

/// Keys outside of the CRI plugin.
pub(super) const OUTSIDE: &[KnownKey] = &[
    known("version", Fate::Needless("peapod's file has no version")),
    known("root", Fate::Is("state_root")),
    known("state", Fate::Is("run_root")),
    known("temp", Fate::Needless("peapod makes no temporary files elsewhere")),
    known("oom_score", Fate::Is("OOMScoreAdjust of the unit")),
    known("imports", Fate::Files),
    known("grpc.address", Fate::Is("grpc.socket")),
    known("grpc.max_recv_message_size", Fate::Is("grpc.max_message_bytes")),
    known("grpc.max_send_message_size", Fate::Is("grpc.max_message_bytes")),
    known("grpc.*", Fate::Needless("the socket is root's")),
    known("ttrpc.*", Fate::Needless("containerd's own interface")),
    known("debug.level", Fate::Is("log.level")),
    known("debug.format", Fate::Is("log.format")),
    known("debug.*", Fate::Needless("there is no socket for debugging: see `peapod why`")),
    known("metrics.address", Fate::Is("metrics.address")),
    known("metrics.*", Fate::Needless("see docs/metrics.md")),
    known("cgroup.path", Fate::Is("the unit's slice")),
    known("timeouts.*", Fate::Needless("peapod's calls have time-outs of their own: [timeouts]")),
    known("stream_processors.*", Fate::Missing("layers are plain, gzip or zstd")),
    known("proxy_plugins.*", Fate::Missing("there are no snapshotters: images are pulled and unpacked as a whole")),
    known("disabled_plugins", Fate::Needless("there are no plugins")),
    known("required_plugins", Fate::Needless("there are no plugins")),
    known("plugin_dir", Fate::Needless("there are no plugins")),
    known("plugins.io.containerd.nri.v1.nri.disable", Fate::Is("nri.socket, which is empty where it is off")),
    known("plugins.io.containerd.nri.v1.nri.socket_path", Fate::Is("nri.socket")),
    known("plugins.io.containerd.nri.v1.nri.plugin_registration_timeout", Fate::Is("nri.registration_timeout")),
    known("plugins.io.containerd.nri.v1.nri.plugin_request_timeout", Fate::Is("nri.request_timeout")),
    known("plugins.io.containerd.nri.v1.nri.default_validator.required_plugins", Fate::Is("nri.required_plugins")),
    known(
        "plugins.io.containerd.nri.v1.nri.default_validator.tolerate_missing_plugins_annotation",
        Fate::Is("nri.tolerate_missing_annotation"),
    ),
    known("plugins.io.containerd.nri.v1.nri.default_validator.*", Fate::Is("nri.reject")),
    known("plugins.io.containerd.nri.v1.nri.plugin_path", Fate::Is("nri.plugin_dir")),
    known("plugins.io.containerd.nri.v1.nri.plugin_config_path", Fate::Is("nri.plugin_config_dir")),
    known(
        "plugins.io.containerd.nri.v1.nri.disable_connections",
        Fate::Is("nri.socket, which is empty where it is on"),
    ),
    known("plugins.io.containerd.nri.v1.nri.*", Fate::Needless("see docs/nri.md")),
    known("plugins.io.containerd.tracing.processor.v1.otlp.endpoint", Fate::Is("tracing.endpoint")),
    known("plugins.io.containerd.internal.v1.tracing.sampling_ratio", Fate::Is("tracing.sample_percent")),
    known("plugins.io.containerd.gc.v1.scheduler.*", Fate::Needless("what nobody needs goes at once")),
    known("plugins.*", Fate::Needless("a part of containerd that peapod does not have")),
];

/// The keys of the CRI plugin in the names of version 2.
pub(super) fn of_plugin(key: &ForeignKey) -> Option<String> {
    let v3_images = "plugins.io.containerd.cri.v1.images.";
    let v3_runtime = "plugins.io.containerd.cri.v1.runtime.";
    let v2 = "plugins.io.containerd.grpc.v1.cri.";
    let name = key.name.as_str();
    [v2, v3_images, v3_runtime].iter().find_map(|prefix| name.strip_prefix(prefix)).map(str::to_owned)
}
