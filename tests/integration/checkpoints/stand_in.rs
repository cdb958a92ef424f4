//! An OCI runtime with a CRIU that needs no kernel's help: runc, but `checkpoint` writes a file that says what it saw,
//! and `restore` makes a container in which the same program begins anew. What it is asked, and when, is as with runc.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use peapod_tests::{Options, Programs};

/// Is run with DIR and RUNC before it. CRIU's notes go to `--work-path`, its files to `--image-path`.
const SCRIPT: &str = r#"
words=("$@")
after() { local i; for ((i = 0; i < ${#words[@]}; i++)); do [ "${words[i]}" != "$1" ] || echo "${words[i + 1]}"; done; }
for word; do case $word in features|--version|checkpoint|restore|create|pause) command=$word; break ;; esac; done
[ "$command" != pause ] || while [ -e "$DIR/hang-pause" ]; do : >"$DIR/hangs"; sleep 0.02; done
case $command in checkpoint|restore) ;; *) exec "$RUNC" "$@" ;; esac
id=${words[-1]} images=$(after --image-path) work=$(after --work-path) root=$(after --root)
echo "$command ${words[*]}" >>"$DIR/calls"
if [ -e "$DIR/fail-$command" ]; then
    [ "$command" = checkpoint ] && notes=dump.log || notes=restore.log
    printf '(00.1) all is well\n(00.2) Error (criu/made.c:1): made to fail by its test\n' >"$work/$notes"
    echo "half" >"$images/half.img"
    echo "{\"level\":\"error\",\"msg\":\"criu failed: type NOTIFY errno 0\"}" >>"$(after --log)"
    exit 1
fi
while [ -e "$DIR/hang-$command" ]; do : >"$DIR/hangs"; sleep 0.02; done
if [ "$command" = checkpoint ]; then
    "$RUNC" --root "$root" state "$id" >"$images/inventory.img" || exit
    echo '(00.1) Dumping finished successfully' >"$work/dump.log"
    exit 0
fi
[ -s "$images/inventory.img" ] || exit 7
runc=("$RUNC" --root "$root" --log "$(after --log)" --log-format json)
[ "$(after --console-socket)" = "" ] || console=(--console-socket "$(after --console-socket)")
"${runc[@]}" create --bundle "$(after --bundle)" --pid-file "$(after --pid-file)" "${console[@]}" "$id" || exit
exec "${runc[@]}" start "$id"
"#;

pub(super) struct StandIn {
    dir: PathBuf,
}

impl StandIn {
    pub(super) fn new(dir: &Path) -> Self {
        let new = Self { dir: dir.join("stand-in") };
        fs::create_dir_all(new.dir.join("bin")).unwrap();
        let runc = Programs::get().runc.display();
        let head = format!("#!/bin/bash\nDIR=\"{}\" RUNC=\"{runc}\"", new.dir.display());
        for (name, script) in [("bin/criu", "#!/bin/sh\n".to_owned()), ("standin", head + SCRIPT)] {
            fs::write(new.dir.join(name), script).unwrap();
            fs::set_permissions(new.dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        new
    }

    /// A daemon of which it is the default handler, and that finds a `criu`.
    pub(super) fn options(&self) -> Options {
        let bin = self.dir.join("bin");
        Options::new()
            .set(format!("runtimes.handlers.standin.path={:?}", self.dir.join("standin")))
            .started_by(format!("PATH={}:$PATH; exec", bin.display()))
    }

    /// From now on that command fails, with words of CRIU's.
    pub(super) fn fail(&self, command: &str) {
        fs::write(self.dir.join(format!("fail-{command}")), "").unwrap();
    }

    /// From now on that command waits, for as long as it is not healed.
    pub(super) fn hang(&self, command: &str) {
        fs::write(self.dir.join(format!("hang-{command}")), "").unwrap();
    }

    pub(super) fn heal(&self) {
        for fault in ["fail-checkpoint", "fail-restore", "hang-checkpoint", "hang-restore", "hang-pause", "hangs"] {
            let _ = fs::remove_file(self.dir.join(fault));
        }
    }

    pub(super) fn hangs(&self) -> bool {
        self.dir.join("hangs").exists()
    }

    /// The command lines of `checkpoint` and `restore` so far.
    pub(super) fn calls(&self) -> String {
        fs::read_to_string(self.dir.join("calls")).unwrap_or_default()
    }
}
