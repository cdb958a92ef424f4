"""A command on a terminal, and a dialogue with it: terminal.py ROWSxCOLS STEP... -- CMD...

expect:REGEX        waits until what was printed since the last match has it
send:LINE           types it, with return
key:HEX             types bytes
size:ROWSxCOLS      changes the terminal's size
file:PATH           waits until the file exists
again:LINE~REGEX    types the line until the expression is there

Ends with the command's exit code; 124 if it waited for a minute in vain, or for the end. Prints what was printed.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 60


class Terminal:
    def __init__(self, size, command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # What runs in the background inherits that this one is ignored.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            # Not before the size is there.
            sys.stdin.readline()
            os.execvp(command[0], command)
        self.resize(size)
        os.write(self.fd, b'\n')
        self.text, self.seen, self.ended = b'', 0, False

    def resize(self, size):
        rows, columns = map(int, size.split('x'))
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def read(self, seconds):
        if self.ended or not select.select([self.fd], [], [], seconds)[0]:
            return
        try:
            chunk = os.read(self.fd, 65536)
        except OSError:
            chunk = b''
        self.ended = not chunk
        self.text += chunk
        sys.stdout.write(chunk.decode(errors='replace'))
        sys.stdout.flush()

    def expect(self, pattern, seconds=PATIENCE):
        """Whether it is printed in time."""
        limit = time.monotonic() + seconds
        while True:
            found = re.compile(pattern.encode()).search(self.text, self.seen)
            if found:
                self.seen = found.end()
                return True
            if self.ended or time.monotonic() > limit:
                return False
            self.read(0.1)

    def step(self, step):
        kind, _, what = step.partition(':')
        if kind == 'expect':
            return self.expect(what)
        if kind == 'again':
            line, _, pattern = what.partition('~')
            limit = time.monotonic() + PATIENCE
            while time.monotonic() < limit and not self.ended:
                os.write(self.fd, line.encode() + b'\r')
                if self.expect(pattern, 0.5):
                    return True
            return False
        if kind == 'file':
            limit = time.monotonic() + PATIENCE
            while not os.path.exists(what) and time.monotonic() < limit:
                self.read(0.1)
            return os.path.exists(what)
        if kind == 'size':
            self.resize(what)
        elif kind == 'send':
            os.write(self.fd, what.encode() + b'\r')
        elif kind == 'key':
            os.write(self.fd, bytes.fromhex(what))
        else:
            sys.exit(f'terminal.py: no step {step}')
        return True

    def end(self):
        limit = time.monotonic() + PATIENCE
        while not self.ended and time.monotonic() < limit:
            self.read(0.1)
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status) if self.ended else 124


def main():
    border = sys.argv.index('--')
    size, steps, command = sys.argv[1], sys.argv[2:border], sys.argv[border + 1:]
    terminal = Terminal(size, command)
    for step in steps:
        if not terminal.step(step):
            print(f'\nterminal.py: in vain: {step}')
            os.kill(terminal.pid, signal.SIGKILL)
            sys.exit(124)
    sys.exit(terminal.end())


main()
