# What a container may do where AppArmor is on and the pod asks for no other profile. It adds to seccomp, capabilities,
# read-only and masked paths: whoever gets around one of them still meets this one. It includes no other file, so it
# loads on every distribution.
profile peapod-default flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  unix,
  umount,

  # The shim, the runtime and the node's tools may signal; containers do so among themselves.
  signal (receive) peer=unconfined,
  signal (receive) peer=crun,
  signal (receive) peer=runc,
  signal (send, receive) peer=peapod-default,

  # Debuggers see what is confined alike.
  ptrace (trace, read, tracedby, readby) peer=peapod-default,

  # No file system may be mounted, moved or made the root.
  deny mount,
  deny pivot_root,

  # Of /proc only processes can be written, the node's own files not. 's' leads to sys.
  deny /proc/* w,
  deny /proc/[^0-9s]*/** w,
  deny /proc/s[^y]*/** w,
  deny /proc/sysv*/** w,
  deny /proc/{kcore,kmem,mem,sysrq-trigger} rwklx,

  # Of /proc/sys only shared memory's limits, kernel/shm*.
  deny /proc/sys/[^k]** w,
  deny /proc/sys/k[^e]** w,
  deny /proc/sys/kernel/[^s]** w,
  deny /proc/sys/kernel/s[^h]** w,

  # Of /sys only the container's cgroups.
  deny /sys/[^f]** wklx,
  deny /sys/f[^s]** wklx,
  deny /sys/fs/[^c]** wklx,
  deny /sys/fs/c[^g]** wklx,
  deny /sys/{firmware,kernel/{debug,security,tracing},devices/virtual/powercap}/** rwklx,
}
