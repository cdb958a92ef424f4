//! A seccomp filter of the simplest kind.

use std::io;

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xC000_00B7;

const LOAD_WORD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// Lets the process call nothing but these system calls from here on; others answer `EPERM`, calls of another
/// architecture end the process. Needs `no_new_privs`. Can't be undone.
///
/// # Errors
/// More than 128 calls, or what the kernel says.
pub fn allow_only(calls: &[libc::c_long]) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    if calls.len() > 128 {
        return Err(invalid());
    }
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = vec![
        op(LOAD_WORD, 0, 0, ARCHITECTURE),
        op(JUMP_IF_EQUAL, 1, 0, ARCH),
        op(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        op(LOAD_WORD, 0, 0, NUMBER),
    ];
    for (index, call) in calls.iter().enumerate() {
        // Over the checks that are left and the refusal.
        let skip = u8::try_from(calls.len() - index).map_err(|_| invalid())?;
        program.push(op(JUMP_IF_EQUAL, skip, 0, u32::try_from(*call).map_err(|_| invalid())?));
    }
    program.push(op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    program.push(op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    let filter =
        libc::sock_fprog { len: u16::try_from(program.len()).map_err(|_| invalid())?, filter: program.as_mut_ptr() };
    // SAFETY: the program and its header outlive the call, which copies them; the length is the vector's.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
