//! Places at which a test lets the process die, as `kill -9` would there.

/// Ends the process at once if the environment's `PEAPOD_FAIL_POINT` has this name, or panics, once, if it is `panic:`
/// and the name. Only in debug builds; in others it is nothing.
///
/// # Panics
/// When it is told to.
#[inline]
pub fn fail_point(name: &str) {
    #[cfg(debug_assertions)]
    {
        static WANTED: std::sync::OnceLock<Option<std::ffi::OsString>> = std::sync::OnceLock::new();
        let wanted = WANTED.get_or_init(|| std::env::var_os("PEAPOD_FAIL_POINT"));
        if wanted.as_deref().is_some_and(|wanted| wanted == name) {
            // By the real signal: no destructor, no other thread gets to do anything.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            crate::exit_now(137);
        }
        let panics = wanted.as_deref().and_then(|wanted| wanted.to_str()?.strip_prefix("panic:"));
        if panics == Some(name) {
            static DONE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
            #[expect(clippy::panic, reason = "a defect is what is asked for")]
            if !DONE.swap(true, std::sync::atomic::Ordering::Relaxed) {
                panic!("the fail point {name}");
            }
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
