//! The default filter: what `RuntimeDefault` means.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch as OciArch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator, LinuxSyscall,
};

use super::tables::{ALWAYS, WITH_CAPABILITY, of_arch};
use crate::SpecError;
use crate::capabilities::CapabilitySet;
use crate::inputs::Arch;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID` and `NEWNET`: new namespaces.
const CLONE_NAMESPACES: u64 =
    0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;

/// Socket families that have gone wrong: AF_ALG lets anybody load crypto modules, AF_VSOCK reaches the hypervisor's
/// other side past any network policy.
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;
/// The last family that was looked at: AF_MCTP.
const AF_LAST: u64 = 45;

/// `PER_LINUX`, `PER_LINUX32`, `UNAME26`, both, and "tell me": personalities that weaken nothing (others switch off
/// address space randomisation).
const PERSONALITIES: [u64; 5] = [0x0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// What `RuntimeDefault` means for a container with these capabilities: what programs need is allowed, everything else
/// answers EPERM.
///
/// # Errors
/// Never; the type comes from `oci-spec`'s builders.
pub fn default_seccomp(arch: Arch, capabilities: CapabilitySet) -> Result<LinuxSeccomp, SpecError> {
    let syscalls = rules(arch, capabilities).map_err(|error| SpecError::Json(error.to_string()))?;
    let mut filter = LinuxSeccomp::default();
    filter
        .set_default_action(LinuxSeccompAction::ScmpActErrno)
        .set_default_errno_ret(Some(EPERM))
        .set_architectures(Some(architectures(arch)).filter(|list| !list.is_empty()))
        .set_syscalls(Some(syscalls));
    Ok(filter)
}

fn rules(arch: Arch, capabilities: CapabilitySet) -> Result<Vec<LinuxSyscall>, OciSpecError> {
    let admin = capabilities.contains(Capability::SysAdmin);
    let groups = ALWAYS.into_iter().chain([of_arch(arch)]).chain(
        WITH_CAPABILITY.into_iter().filter(|(needed, _)| capabilities.contains(*needed)).map(|(_, calls)| calls),
    );
    let mut names: Vec<&str> = groups.flat_map(str::split_whitespace).collect();
    names.sort_unstable();
    names.dedup();

    let mut rules = vec![allow(&names, None)];
    for persona in PERSONALITIES {
        rules.push(allow(&["personality"], Some(arg(0, LinuxSeccompOperator::ScmpCmpEq, persona, None)?)));
    }
    rules.extend(socket_families()?);
    if !admin {
        rules.push(clone_without_namespaces(arch)?);
        // Its flags lie in memory, where no filter can look. ENOSYS makes the C library use clone instead.
        rules.push(refuse("clone3", ENOSYS));
    }
    Ok(rules)
}

/// Every family up to the last known one except the two; a later one is refused until somebody has looked at it.
fn socket_families() -> Result<Vec<LinuxSyscall>, OciSpecError> {
    let mut rules = vec![allow(&["socket"], Some(arg(0, LinuxSeccompOperator::ScmpCmpLt, AF_ALG, None)?))];
    for family in (AF_ALG + 1..=AF_LAST).filter(|family| *family != AF_VSOCK) {
        rules.push(allow(&["socket"], Some(arg(0, LinuxSeccompOperator::ScmpCmpEq, family, None)?)));
    }
    Ok(rules)
}

/// On s390x the flags are the second argument.
fn clone_without_namespaces(arch: Arch) -> Result<LinuxSyscall, OciSpecError> {
    let index = usize::from(arch == Arch::S390x);
    let none = arg(index, LinuxSeccompOperator::ScmpCmpMaskedEq, CLONE_NAMESPACES, Some(0))?;
    Ok(allow(&["clone"], Some(none)))
}

fn allow(names: &[&str], argument: Option<LinuxSeccompArg>) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.iter().map(|&name| name.to_owned()).collect())
        .set_action(LinuxSeccompAction::ScmpActAllow)
        .set_args(argument.map(|argument| vec![argument]));
    rule
}

fn refuse(name: &str, errno: u32) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(vec![name.to_owned()]).set_action(LinuxSeccompAction::ScmpActErrno).set_errno_ret(Some(errno));
    rule
}

/// `value_two` is what a masked argument must equal.
fn arg(
    index: usize,
    op: LinuxSeccompOperator,
    value: u64,
    value_two: Option<u64>,
) -> Result<LinuxSeccompArg, OciSpecError> {
    let argument = LinuxSeccompArgBuilder::default().index(index).op(op).value(value);
    match value_two {
        Some(second) => argument.value_two(second).build(),
        None => argument.build(),
    }
}

/// The machine's instruction set and those that its kernel runs too, or their calls would kill the process.
fn architectures(arch: Arch) -> Vec<OciArch> {
    match arch {
        Arch::Amd64 => vec![OciArch::ScmpArchX86_64, OciArch::ScmpArchX86, OciArch::ScmpArchX32],
        Arch::Arm64 => vec![OciArch::ScmpArchAarch64, OciArch::ScmpArchArm],
        Arch::Riscv64 => vec![OciArch::ScmpArchRiscv64],
        Arch::S390x => vec![OciArch::ScmpArchS390x, OciArch::ScmpArchS390],
        Arch::Ppc64le => vec![OciArch::ScmpArchPpc64le],
        Arch::Loong64 => vec![OciArch::ScmpArchLoongarch64],
        Arch::Other => Vec::new(),
    }
}
