//! A program that does nothing until it is killed, as a file of some 200 bytes: root containers execute it. Made here,
//! so that no image and no file of the node is needed for it, whatever the node's processor is.
//!
//! It ignores SIGCHLD: the kernel then keeps nothing of processes that end as its children.

/// Where it is in memory, as linkers do it.
const BASE: u64 = 0x0040_0000;
const HEADER: usize = 64;
const SEGMENT: usize = 56;

/// A `struct sigaction` that ignores a signal.
const IGNORE: [u64; 4] = [1, 0, 0, 0];

/// What there is to do, for each kind of processor; `IGNORE` comes right behind it.
struct Code {
    /// ELF's number of the processor.
    machine: u16,
    bytes: &'static [u8],
}

/// rt_sigaction(SIGCHLD, IGNORE, NULL, 8), then pause() for ever.
const AMD64: Code = Code {
    machine: 62,
    bytes: &[
        0xb8, 0x0d, 0x00, 0x00, 0x00, // mov eax, 13
        0xbf, 0x11, 0x00, 0x00, 0x00, // mov edi, 17
        0x48, 0x8d, 0x35, 0x17, 0x00, 0x00, 0x00, // lea rsi, [rip + 23]
        0x31, 0xd2, // xor edx, edx
        0x41, 0xba, 0x08, 0x00, 0x00, 0x00, // mov r10d, 8
        0x0f, 0x05, // syscall
        0xb8, 0x22, 0x00, 0x00, 0x00, // mov eax, 34
        0x0f, 0x05, // syscall
        0xeb, 0xf7, // jmp -9
        0x90, 0x90, 0x90, 0x90, // to a multiple of 8
    ],
};

/// The same, with ppoll(NULL, 0, NULL, NULL, 0): there is no pause.
const ARM64: Code = Code {
    machine: 183,
    bytes: &[
        0xc8, 0x10, 0x80, 0xd2, // mov x8, 134
        0x20, 0x02, 0x80, 0xd2, // mov x0, 17
        0x81, 0x01, 0x00, 0x10, // adr x1, +48
        0x02, 0x00, 0x80, 0xd2, // mov x2, 0
        0x03, 0x01, 0x80, 0xd2, // mov x3, 8
        0x01, 0x00, 0x00, 0xd4, // svc 0
        0x28, 0x09, 0x80, 0xd2, // mov x8, 73
        0x00, 0x00, 0x80, 0xd2, // mov x0, 0
        0x01, 0x00, 0x80, 0xd2, // mov x1, 0
        0x02, 0x00, 0x80, 0xd2, // mov x2, 0
        0x03, 0x00, 0x80, 0xd2, // mov x3, 0
        0x04, 0x00, 0x80, 0xd2, // mov x4, 0
        0x01, 0x00, 0x00, 0xd4, // svc 0
        0xf9, 0xff, 0xff, 0x17, // b -28
    ],
};

/// The program's file; `None` for processors that runtimes with sandboxes don't know.
pub(crate) fn idle_program() -> Option<Vec<u8>> {
    match std::env::consts::ARCH {
        "x86_64" => Some(elf(&AMD64)),
        "aarch64" => Some(elf(&ARM64)),
        _ => None,
    }
}

/// Header, one segment that is read and executed, code.
fn elf(code: &Code) -> Vec<u8> {
    let start = HEADER + SEGMENT;
    let size = (start + code.bytes.len() + size_of_val(&IGNORE)) as u64;
    let mut file = Vec::new();
    // 64 bits, little-endian, version 1; an executable.
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0");
    file.extend(code.machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for number in [BASE + start as u64, HEADER as u64, 0] {
        file.extend(number.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for number in [HEADER as u16, SEGMENT as u16, 1, 0, 0, 0] {
        file.extend(number.to_le_bytes());
    }
    // A segment to be loaded, that is read and executed.
    for number in [1_u32, 5] {
        file.extend(number.to_le_bytes());
    }
    for number in [0, BASE, BASE, size, size, 0x1_0000] {
        file.extend(number.to_le_bytes());
    }
    file.extend(code.bytes);
    IGNORE.iter().for_each(|number| file.extend(number.to_le_bytes()));
    file
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn headers_have_their_sizes_and_code_is_aligned() {
        for code in [AMD64, ARM64] {
            let file = elf(&code);
            assert_eq!(file.len(), HEADER + SEGMENT + code.bytes.len() + 32);
            assert_eq!(&file[HEADER + SEGMENT..][..code.bytes.len()], code.bytes);
            assert_eq!(code.bytes.len() % 8, 0);
        }
    }

    #[test]
    fn it_waits_until_it_is_killed() {
        let Some(program) = idle_program() else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        std::fs::write(&path, program).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = Command::new(&path).spawn().unwrap();
        let status = || std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        // SIGCHLD, the 17th, is ignored, beside what this process ignores.
        let ignores = |status: &str| {
            let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
            u64::from_str_radix(ignored, 16).unwrap() & 1 << 16 != 0
        };
        while !(ignores(&status()) && status().contains("State:\tS")) {
            std::thread::yield_now();
        }
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
