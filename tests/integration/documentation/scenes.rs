//! The machine on which each document is read: what is there before, and what is done in place of what only a real
//! machine can do.

/// How a command is carried out that is not run as it stands.
pub(crate) enum Way {
    /// It stays: this is run beside what follows (or, where it is empty, the command itself), once the second succeeds.
    Beside(&'static str, &'static str),
    /// Another one has its place.
    Instead(&'static str),
    /// In a terminal, where this is typed.
    Typing(&'static str),
}
use Way::{Beside, Instead, Typing};

/// One document.
pub(crate) struct Scene {
    /// Its name.
    pub(crate) document: &'static str,
    /// What of tests/documents/given.sh there is from a heading on, or from the beginning.
    pub(crate) given: &'static [(&'static str, &'static str)],
    /// Commands that are carried out in other ways.
    pub(crate) ways: &'static [(&'static str, Way)],
}

/// What systemd does, which a node does not have: tests/documents/unit.sh does as the unit says, and tests/vm/unit.sh
/// holds the real one to it.
pub(crate) const EVERYWHERE: &[(&str, Way)] = &[
    // The optimised build is the same with other flags.
    ("make install", Instead(INSTALL)),
    ("systemctl enable --now peapod", Instead("unit start")),
    ("systemctl disable --now peapod", Instead("unit stop")),
    ("systemctl start peapod", Instead("unit start")),
    ("systemctl stop peapod", Instead("unit stop")),
    ("systemctl restart peapod", Instead("unit restart")),
    ("systemctl reload peapod", Instead("unit reload")),
    ("journalctl -u peapod --no-pager", Instead("unit log")),
    ("journalctl -u peapod -n 5 --no-pager", Instead("unit log | tail -n 5")),
];
const INSTALL: &str = r#"
rm -f /usr/bin/peapod /usr/libexec/peapod/*
make -s -C "$PEAPOD_CHECKOUT" install-files PEAPOD_BIN="$PEAPOD_BIN" PEAPOD_SHIM="$PEAPOD_SHIM"
found=$(systemd-analyze verify peapod.service 2>&1); echo "$found"; test -z "$found"
"#;

/// A page may come a moment after its server has started.
const PAGE: Way = Instead("until curl -fs http://127.0.0.1:8080/; do sleep 0.05; done");
/// With the configuration of the document's folder, beside what else a kubelet needs in a node.
const KUBELET: Way = Beside(
    "\"$PEAPOD_CHECKOUT/tests/kubelet/kubelet.sh\" /run/peapod/peapod.sock \"$NODE_DIR/kubelet\" \\\n\
     --config-dir=/etc/kubernetes/kubelet.conf.d",
    "curl -fsS http://127.0.0.1:10248/healthz",
);
const KUBELET_UNIT: &str = r#"
printf '[Service]\nExecStart=/usr/bin/kubelet\n' >/etc/systemd/system/kubelet.service
found=$(systemd-analyze verify kubelet.service 2>&1); echo "$found"; test -z "$found"
"#;

/// All of them.
pub(crate) const SCENES: &[Scene] = &[
    Scene { document: "README.md", given: &[], ways: &[("curl -s http://127.0.0.1:8080/", PAGE)] },
    Scene { document: "docs/configuration.md", given: &[("", "daemon")], ways: &[] },
    Scene { document: "docs/devices.md", given: &[("", "daemon")], ways: &[] },
    Scene {
        document: "docs/images.md",
        given: &[("Import", "archives"), ("Check", "containerd"), ("", "daemon")],
        ways: &[],
    },
    Scene { document: "docs/in-place-of-containerd.md", given: &[("Other words for ctr", "daemon")], ways: &[] },
    Scene {
        document: "docs/kubelet.md",
        given: &[],
        ways: &[
            ("kubelet --config-dir=/etc/kubernetes/kubelet.conf.d", KUBELET),
            (
                "kubeadm init --config kubeadm.yaml",
                Instead("kubeadm init --config kubeadm.yaml --dry-run --ignore-preflight-errors=all"),
            ),
            (
                "kubeadm reset --cri-socket=unix:///run/peapod/peapod.sock",
                Instead("kubeadm reset --cri-socket=unix:///run/peapod/peapod.sock --dry-run --force"),
            ),
            ("systemctl daemon-reload", Instead(KUBELET_UNIT)),
        ],
    },
    Scene { document: "docs/metrics.md", given: &[("", "daemon")], ways: &[] },
    Scene {
        document: "docs/pods.md",
        given: &[("", "daemon"), ("Without a terminal", "no_pods")],
        ways: &[
            ("peapod run examples/web.yaml", Beside("", "peapod exec web -c writer -- true")),
            ("peapod logs -f web", Beside("", "true")),
            ("peapod attach web -c writer", Beside("", "true")),
            ("peapod exec -it web -c writer -- sh", Typing("exit\\n")),
            ("peapod port-forward web 8081:80", Beside("", "curl -fs http://127.0.0.1:8081/")),
            ("peapod run --watch examples/web.yaml", Beside("", "peapod exec web -c writer -- true")),
        ],
    },
    Scene {
        document: "docs/registries.md",
        given: &[
            ("", "daemon"),
            ("Mirrors", "mirror"),
            ("Certificates", "certificates"),
            ("Passwords", "private_registry"),
        ],
        ways: &[],
    },
    Scene {
        document: "docs/troubleshooting.md",
        given: &[
            ("The daemon does not start", "mistake"),
            ("The node is NotReady", "broken_network"),
            ("A pod hangs in ContainerCreating", "slow_network"),
            ("ErrImagePull, ImagePullBackOff", "built_in_network"),
            ("A container ends at once, CrashLoopBackOff", "wrong_command"),
            ("A pod does not end", "slow_end"),
            ("exec, attach or port-forward hang or fail", "sessions"),
            ("The disk is full", "small_disk"),
            ("Something is left over", "large_disk"),
            ("Tell us", "web"),
        ],
        ways: &[],
    },
    Scene { document: "docs/volumes.md", given: &[("", "daemon")], ways: &[] },
];
