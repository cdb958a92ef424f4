//! Archives to damage, and their repair: what the property tests of this module and of whole layers begin with.

pub(in crate::unpack) fn block(name: &str, kind: u8, size: usize, link: &str) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\x000001750\x000001750\0");
    put(124, format!("{size:011o}\x0014000000000\0").as_bytes());
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, if kind == b'S' { b"ustar  \0" } else { b"ustar\x0000" });
    block
}

pub(in crate::unpack) fn with(mut header: Vec<u8>, content: &[u8]) -> Vec<u8> {
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

pub(in crate::unpack) fn all() -> Vec<Vec<u8>> {
    let records = b"13 path=long\n21 SCHILY.xattr.user.a=b\n30 GNU.sparse.map=0,1,9,1,20,0\n";
    let sparse = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n26 GNU.sparse.realsize=99\n";
    vec![
        [block("d/", b'5', 0, ""), with(block("d/f", b'0', 3, ""), b"abc"), block("l", b'2', 0, "d/f")].concat(),
        [with(block("x", b'x', records.len(), ""), records), with(block("f", b'0', 2, ""), b"ab")].concat(),
        [with(block("g", b'g', records.len(), ""), records), block("f", b'1', 0, "t")].concat(),
        [with(block("x", b'x', sparse.len(), ""), sparse), with(block("f", b'0', 513, ""), b"1\n0\n1\n")].concat(),
        [with(block("L", b'L', 5, ""), b"name\0"), block("c", b'3', 0, ""), vec![0; 1024]].concat(),
        [block("s", b'S', 0, ""), vec![0; 1024]].concat(),
    ]
}

/// Gives each block the checksum that it would have as a header.
pub(in crate::unpack) fn repaired(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for block in bytes.as_chunks_mut::<512>().0 {
        if block.iter().any(|byte| *byte != 0) && block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        }
    }
    bytes
}
