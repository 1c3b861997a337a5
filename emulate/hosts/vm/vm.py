#!/usr/bin/env python3
"""Runs one command in a throwaway virtual machine which has SoftRoCE, for hosts whose kernel has not.

  vm.py run [--addresses N] [--writable DIR]... -- COMMAND ARGUMENT...
  vm.py prepare    fetch and build what is cached, only
  vm.py probe      say as JSON whether hardware virtualisation works here

COMMAND runs as root in the folder where vm.py was called, over the host's own root; what is installed on the host is
installed in the guest. The root is read-only there, but for /etc and /var: what is written to these stays in the
guest's memory and is gone with it. /tmp, /run and /dev/shm are the guest's own and empty, except that of /tmp the
folder of the call and every --readable folder are there to read, and every --writable folder, wherever it is, to read
and write: what is written there is on the host at once, and files there cannot be mapped shared to be written. The
guest has an interface slip0 with the addresses 10.77.0.1 to 10.77.0.N, an RDMA device rxe0 on it with a GID for each
address, and no way out. Kernel modules are loaded on demand. SLIPSTREAM_IN_VM in COMMAND's environment tells how its
processor comes about: "hardware" or "emulated".

Mininet and containers work there too. podman needs a graphroot on a file system of the guest's own, say in /tmp, and
has the host's images with additionalimagestores = ["/var/lib/containers/storage"] (storage.conf, named by
CONTAINERS_STORAGE_CONF).

COMMAND's output comes out of vm.py as it went in; its standard input is empty. vm.py's exit status is COMMAND's (128 +
signal when one ended it; 126, 127 when it cannot be run), 124 when --limit is over, 125 when the machine failed.
SIGINT, SIGTERM and SIGHUP go to COMMAND, which has some seconds to end; a second one ends the guest. No guest outlives
its vm.py.

How it works: QEMU boots Debian's kernel (packages.py, kernel.py, initramfs.py), the guest mounts the host's folders
by 9p (guest_init.sh), and an agent in it (guest_agent.py) takes orders and sends output over a virtio-serial port
(frames.py). The host needs the packages named in problem.py, rdma-core and ibverbs-providers.
"""

import argparse
import errno
import json
import os
import re
import select
import signal
import socket
import sys
import time

import frames
import initramfs
import kernel
import machine
from problem import SYSTEM_PATH, VM_FAILED, Problem, find_program

LIMIT_OVER = 124
GRACE_S = 15
# Folders that the guest has of its own. Only from /tmp are some of the host's shown (see shares_of).
OWN_FOLDERS = ("/tmp", "/run", "/dev", "/proc", "/sys")
PASSED_VARIABLES = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TERM", "TZ",
                    "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS")
MOST_ADDRESSES = 254
# How long a guest may take to start, by how its processor comes about: several seconds at most, or a minute on a
# crowded machine. What is longer does not start at all.
BOOT_LIMITS_S = {"kvm": 60, "tcg": 300}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def say(text):
    print(f"vm: {text}", file=sys.stderr, flush=True)


class Ended(Exception):
    """The guest is to be ended now, with this exit status."""

    def __init__(self, status):
        super().__init__(status)
        self.status = status


# --- what the guest is asked to be ------------------------------------------------------------------------------------


def is_within(path, folder):
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def shares_of(options, tree):
    """The host's folders that the guest mounts besides the root."""
    writable = []
    for folder in options.writable:
        path = os.path.abspath(folder)
        if not os.path.isdir(path):
            raise Problem(f"--writable {folder}: there is no such folder; make it first")
        if path in ("/", *OWN_FOLDERS):
            raise Problem(f"--writable {folder}: the guest needs its own {path}; name a folder further down")
        writable.append(path)
    # Seen only where they are not hidden by the guest's own /tmp.
    readable = [os.getcwd(), tree, *options.readable]
    if os.path.isabs(options.command[0]):
        readable.append(os.path.dirname(options.command[0]))
    hidden = [path for path in map(os.path.abspath, readable)
              if is_within(path, "/tmp") and path != "/tmp" and path not in writable]
    folders = [(path, True) for path in dict.fromkeys(writable)] + [(path, False) for path in dict.fromkeys(hidden)]
    return [{"tag": f"share{i}", "path": path, "writable": is_writable}
            for i, (path, is_writable) in enumerate(folders)]


def setup_of(options, shares, tree, accel):
    """The order to the agent."""
    environment = {name: value for name, value in os.environ.items()
                   if name in PASSED_VARIABLES or name.startswith("SLIPSTREAM_")}
    environment["PATH"] = environment.get("PATH", "") + ":" + SYSTEM_PATH
    environment["SLIPSTREAM_IN_VM"] = "hardware" if accel == "kvm" else "emulated"
    environment["MODPROBE_OPTIONS"] = f"-d {tree}"
    return {"command": options.command, "folder": os.getcwd(), "environment": environment, "shares": shares,
            "addresses": options.addresses, "modules": tree, "hostname": socket.gethostname()}


def check_host(options):
    if not 0 <= options.addresses <= MOST_ADDRESSES:
        raise Problem(f"--addresses {options.addresses}: from 0 to {MOST_ADDRESSES}")
    find_program("ip")
    if options.addresses > 0:
        find_program("rdma")
        if not os.path.exists("/etc/libibverbs.d/rxe.driver"):
            say("libibverbs has no driver for rxe, so no program sees the device: apt-get install ibverbs-providers")


# --- a run ------------------------------------------------------------------------------------------------------------


class Run:
    """One guest from its start to its end."""

    def __init__(self, options):
        self.options = options
        self.started = False        # the command, that is
        self.ending = None          # the exit status once the command was told to end
        self.guest = None
        self.boot_limit = None
        self.start_time = 0
        self.shows_boot = os.isatty(2)

    def run(self):
        options = self.options
        check_host(options)
        image = kernel.get(options.kernel, say)
        shares = shares_of(options, image.tree)
        accel = machine.probe(lambda: image)["accel"]
        for number in SIGNALS:
            signal.signal(number, self.on_signal)
        signal.signal(signal.SIGALRM, self.on_time_over)
        self.start_time = time.monotonic()
        self.guest = machine.Machine(accel, image, options.cpus, options.memory, shares)
        self.boot_limit = options.boot_limit or BOOT_LIMITS_S[accel]
        signal.setitimer(signal.ITIMER_REAL, self.boot_limit)
        try:
            return self.talk(setup_of(options, shares, image.tree, accel))
        finally:
            self.end_boot()
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self.guest.end()

    def talk(self, setup):
        """Does what the frames from the agent ask until the last one; the exit status."""
        unpacker = frames.Unpacker()
        while True:
            self.show_boot()
            try:
                data = self.guest.socket.recv(frames.CHUNK)
            except ConnectionError:
                data = b""
            if not data:
                self.guest.process.wait()
                raise machine.explain(self.guest.console_text(), "the guest ended by itself")
            for kind, payload in unpacker.feed(data):
                if kind == frames.HELLO:
                    setup["time_s"] = time.time()
                    self.guest.socket.sendall(frames.pack(frames.SETUP, json.dumps(setup).encode()))
                elif kind == frames.READY:
                    self.started = True
                    self.end_boot()
                    signal.setitimer(signal.ITIMER_REAL, self.options.limit or 0)
                elif kind == frames.STDOUT:
                    write_all(1, payload)
                elif kind == frames.STDERR:
                    write_all(2, payload)
                elif kind == frames.FAILED:
                    raise machine.explain(self.guest.console_text(), payload.decode())
                elif kind == frames.EXIT:
                    return LIMIT_OVER if self.ending == LIMIT_OVER else int(payload)

    def show_boot(self):
        """Until the guest says something: a line that tells how long that takes, when there is a terminal."""
        while self.shows_boot:
            seconds = time.monotonic() - self.start_time
            print(f"\r\033[Kbooting a virtual machine, {seconds:.0f} s", end="", file=sys.stderr,
                  flush=True)
            if select.select([self.guest.socket], [], [], 1)[0]:
                break

    def end_boot(self):
        if self.shows_boot:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        self.shows_boot = False

    def on_signal(self, number, _):
        if not self.started or self.ending is not None:
            raise Ended(128 + number)
        self.tell_to_end(number, 128 + number)

    def on_time_over(self, *_):
        if not self.started:
            raise machine.explain(self.guest.console_text(),
                                  f"the guest did not start within {self.boot_limit:g} s (--boot-limit)")
        if self.ending is not None:
            raise Ended(self.ending)
        say(f"the command's {self.options.limit:g} s are over (--limit)")
        self.tell_to_end(signal.SIGTERM, LIMIT_OVER)

    def tell_to_end(self, number, status):
        self.ending = status
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        self.guest.socket.sendall(frames.pack(frames.SIGNAL, str(int(number)).encode()))


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


# --- command line -----------------------------------------------------------------------------------------------------


def usual_cpus():
    """The host's, but one virtual processor alone is ten times slower than two."""
    return min(max(len(os.sched_getaffinity(0)), 2), 16)


def usual_memory_mib():
    """Half of what is free on the host: the guest takes only what it uses."""
    with open("/proc/meminfo", encoding="ascii") as file:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", file.read(), re.MULTILINE)
    return min(max(int(found.group(1)) // 2048, 1024), 8192)


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="vm.py", formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    run = commands.add_parser("run", help="run a command in a guest",
                              usage="vm.py run [OPTION]... -- COMMAND ARGUMENT...")
    prepare = commands.add_parser("prepare", help="fetch and build what is cached")
    commands.add_parser("probe", help="say as JSON whether hardware virtualisation works here")
    for command in (run, prepare):
        command.add_argument("--kernel", choices=kernel.KINDS, default="stable",
                             help="of the host's Debian, or the newest of Debian's backports")
    run.add_argument("--cpus", type=int, default=usual_cpus())
    run.add_argument("--memory", type=int, default=usual_memory_mib(), metavar="MIB")
    run.add_argument("--addresses", type=int, default=8, metavar="N", help="0: no interface and no RDMA device")
    run.add_argument("--readable", action="append", default=[], metavar="DIR")
    run.add_argument("--writable", action="append", default=[], metavar="DIR")
    run.add_argument("--boot-limit", type=float, metavar="SECONDS", help="how long the start may take")
    run.add_argument("--limit", type=float, metavar="SECONDS", help="how long the command may take")
    run.add_argument("command", nargs="+", metavar="COMMAND")
    return parser.parse_args(arguments)


def do(options):
    if options.what == "run":
        return Run(options).run()
    if options.what == "prepare":
        initramfs.get(kernel.get(options.kernel, say))
        find_program("qemu-system-x86_64")
    else:
        print(json.dumps(machine.probe(lambda: kernel.get("stable", say))))
    return 0


def main():
    try:
        return do(parse(sys.argv[1:]))
    except Problem as problem:
        say(problem)
    except OSError as error:
        if error.errno == errno.EPIPE:
            return 128 + signal.SIGPIPE
        say(f"{error.filename or 'the machine'}: {error.strerror}"
            + ("; make room there" if error.errno == errno.ENOSPC else ""))
    except Ended as ended:
        return ended.status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return VM_FAILED


if __name__ == "__main__":
    sys.exit(main())
