//! What the daemon has from whoever started it, and must not matter: modes of what it makes are those in the code, its
//! children get no descriptors that nobody meant for them, it hears its signals. Where it runs and how urgently
//! (affinity, niceness) is the administrator's choice, for the daemon alone: shims give it up
//! (`shim/src/attributes.rs`).

use std::io;

use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit, setrlimit, umask};

/// Of everything that is made with no other mode in mind: readable by all, as containers run as any user; what is not
/// for others lies in closed folders or says so.
const UMASK: Mode = Mode::from_raw_mode(0o022);

/// Sets all of these to what the daemon needs. To be called before there are threads, which would keep what they had.
pub(crate) fn reset() -> io::Result<()> {
    umask(UMASK);
    peapod_sys::default_signals()?;
    peapod_sys::keep_descriptors_from_children()?;
    // A limit of 1024, as shells have it, is for programs that use select(2).
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    // Where scores can't be lowered, a container could get none below the daemon's.
    const SCORE: &str = "/proc/self/oom_score_adj";
    if std::fs::read_to_string(SCORE)?.trim().parse().is_ok_and(|score: i32| score > 0) {
        let _ = std::fs::write(SCORE, "0");
    }
    Ok(())
}
