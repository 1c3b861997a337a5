"""The guest's init after guest_init.sh: sets the guest up as vm.py asks, runs one command, sends its output and status.

Runs as process 1 on the host's Python, over the host's root. An exception here ends process 1; the kernel then panics,
the machine ends, and vm.py shows the console, where the traceback is.
"""

import ctypes
import glob
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import time

import frames

OWN_FOLDER = "/run/slipstream"
# Where programs keep what they need to work at all: to be written in the guest, in memory. All else of the host's root
# stays read-only, so that results put there by mistake are an error and not lost.
WRITABLE_FOLDERS = ["/etc", "/var"]
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INTERFACE, DEVICE = "slip0", "rxe0"
# rxe offers the largest path MTU, 4096, when that and its headers fit into a packet of the interface; 9000 is what real
# networks with large packets have. With 1500 it would be 1024.
INTERFACE_MTU = 9000
SUBNET = "10.77.0"
GID_PATIENCE_S = 60

MS_RDONLY, MS_NOSUID, MS_NODEV = 1, 2, 4
SHARE_OPTIONS = "trans=virtio,version=9p2000.L,msize=512000,cache="


class SetupFailed(Exception):
    pass


# --- setting up -------------------------------------------------------------------------------------------------------


def mount(source, target, kind, options="", flags=0):
    libc = ctypes.CDLL(None, use_errno=True)
    os.makedirs(target, exist_ok=True)
    arguments = [text.encode() for text in (source, target, kind)]
    if libc.mount(*arguments, ctypes.c_ulong(flags), options.encode()) != 0:
        raise SetupFailed(f"cannot mount {kind} on {target}: {os.strerror(ctypes.get_errno())}")


def make_writable(folder):
    """What is written there goes to the guest's memory; the host's folder below stays as it is."""
    upper, work = (f"{OWN_FOLDER}/written{folder}/{name}" for name in ("upper", "work"))
    os.makedirs(upper)
    os.makedirs(work)
    shutil.copystat(folder, upper)
    mount("written", folder, "overlay", f"lowerdir={folder},upperdir={upper},workdir={work}")


def mount_all(shares):
    mount("tmp", "/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV)
    # Replica memory is here: more than the half of the memory that is usual.
    mount("shm", "/dev/shm", "tmpfs", "mode=1777,size=90%", MS_NOSUID | MS_NODEV)
    mount("pts", "/dev/pts", "devpts", "mode=620,ptmxmode=666")
    mount("cgroup", "/sys/fs/cgroup", "cgroup2")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, f"/dev/{name}")
    for folder in WRITABLE_FOLDERS:
        make_writable(folder)
    os.makedirs("/run/lock", exist_ok=True)
    os.chmod("/run/lock", 0o1777)
    # A folder before those inside it.
    for share in sorted(shares, key=lambda share: len(share["path"])):
        # none: what is written is on the host at once. (mmap would be the same, and allow shared mappings, but since
        # kernel 6.4 that writes back later.)
        cache, flags = ("none", 0) if share["writable"] else ("loose", MS_RDONLY)
        try:
            mount(share["tag"], share["path"], "9p", SHARE_OPTIONS + cache, flags)
        except OSError as error:
            raise SetupFailed(f"{share['path']} cannot be made in the guest: {error.strerror}") from error


def load_modules_on_demand(tree):
    """What the kernel lacks it asks for by this script; what a program asks for by modprobe goes the same way."""
    script = f"{OWN_FOLDER}/modprobe"
    quoted = "'" + tree.replace("'", "'\\''") + "'"
    with open(script, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nPATH={SYSTEM_PATH} exec modprobe -d {quoted} "$@"\n')
    os.chmod(script, 0o755)
    write("/proc/sys/kernel/modprobe", script)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def run(arguments, stdin=""):
    done = subprocess.run(arguments, input=stdin, capture_output=True, text=True, check=False,
                          env={"PATH": SYSTEM_PATH})
    if done.returncode != 0:
        said = " ".join((done.stderr + done.stdout).split())
        raise SetupFailed(f"`{' '.join(arguments)}` failed in the guest: {said or done.returncode}")


def set_up_network(addresses):
    """One RDMA device with an address, and so a GID, for each node."""
    commands = ["link set lo up"]
    if addresses > 0:
        commands.append(f"link add {INTERFACE} mtu {INTERFACE_MTU} type dummy")
        commands += [f"address add {SUBNET}.{i}/24 dev {INTERFACE}" for i in range(1, addresses + 1)]
        commands.append(f"link set {INTERFACE} up")
    run(["ip", "-batch", "-"], "\n".join(commands) + "\n")
    if addresses > 0:
        run(["rdma", "link", "add", DEVICE, "type", "rxe", "netdev", INTERFACE])
        wait_for_gids(addresses)


def wait_for_gids(count):
    """The kernel enters the addresses into the device's table in its own time."""
    deadline = time.monotonic() + GID_PATIENCE_S
    while True:
        found = 0
        for path in glob.glob(f"/sys/class/infiniband/{DEVICE}/ports/1/gids/[0-9]*"):
            try:
                with open(path, encoding="ascii") as file:
                    found += file.read().startswith("0000:0000:0000:0000:0000:ffff:")
            except OSError:
                pass  # an empty entry
            if found == count:
                return
        if time.monotonic() > deadline:
            raise SetupFailed(f"{DEVICE} has {found} of {count} addresses as GIDs after {GID_PATIENCE_S} s")
        time.sleep(0.01)


def set_up(setup):
    time.clock_settime(time.CLOCK_REALTIME, setup["time_s"])
    write("/proc/sys/kernel/hostname", setup["hostname"])
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
    resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))
    mount_all(setup["shares"])
    load_modules_on_demand(setup["modules"])
    set_up_network(setup["addresses"])


# --- running ----------------------------------------------------------------------------------------------------------


class Port:
    """The way to vm.py."""

    def __init__(self):
        [name] = glob.glob("/sys/class/virtio-ports/*/name")
        self.fd = os.open("/dev/" + name.split("/")[-2], os.O_RDWR | os.O_CLOEXEC)
        self.unpacker = frames.Unpacker()

    def send(self, kind, payload=b""):
        data = frames.pack(kind, payload)
        while data:
            data = data[os.write(self.fd, data):]

    def receive(self):
        return self.unpacker.feed(os.read(self.fd, frames.CHUNK))


def start(setup):
    """The command with its two pipes, or the exit status and the reason why it cannot be."""
    command = setup["command"]
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                bufsize=0, cwd=setup["folder"], env=setup["environment"], start_new_session=True), None
    except FileNotFoundError as error:
        if error.filename == setup["folder"]:
            return None, (127, f"the folder {setup['folder']} is not there in the guest")
        return None, (127, f"{command[0]}: not found in the guest")
    except OSError as error:
        return None, (126, f"{command[0]}: cannot be run in the guest: {error.strerror}")


def pump(port, process):
    """Sends the command's output until it ends, then what is left in its pipes; returns its exit status.

    What it left running in the background ends with the guest.
    """
    woken, wake = os.pipe()
    for fd in (woken, wake, process.stdout.fileno(), process.stderr.fileno()):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    streams = {process.stdout.fileno(): frames.STDOUT, process.stderr.fileno(): frames.STDERR}
    poll = select.poll()
    for fd in (woken, port.fd, *streams):
        poll.register(fd, select.POLLIN)
    status = reap(process.pid)
    while status is None:
        for fd, _ in poll.poll():
            if fd == port.fd:
                for kind, payload in port.receive():
                    if kind == frames.SIGNAL:
                        signal_group(process.pid, int(payload))
            elif fd == woken:
                os.read(woken, frames.CHUNK)
                status = reap(process.pid)
            elif not forward(port, fd, streams[fd]):
                poll.unregister(fd)
    for fd, kind in streams.items():
        while forward(port, fd, kind):
            pass
    return status


def signal_group(group, number):
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass  # it ended in this moment


def forward(port, fd, kind):
    """Sends one piece of output; False when there is none now, or none any more."""
    try:
        data = os.read(fd, frames.CHUNK)
    except BlockingIOError:
        return False
    if data:
        port.send(kind, data)
    return bool(data)


def reap(command):
    """Takes all children that ended, orphans too; the exit status of `command` if it is among them."""
    status = None
    while True:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == command:
            code = os.waitstatus_to_exitcode(code)
            status = code if code >= 0 else 128 - code


def settle(shares):
    """All that was written to the host's folders is there."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    if any(share["writable"] for share in shares):
        os.sync()


def main():
    port = Port()
    port.send(frames.HELLO)
    received = []
    while not received:
        received = port.receive()
    setup = json.loads(received[0][1])
    try:
        set_up(setup)
    except SetupFailed as error:
        port.send(frames.FAILED, str(error).encode())
    else:
        port.send(frames.READY)
        process, failure = start(setup)
        if process is not None:
            status = pump(port, process)
        else:
            status = failure[0]
            port.send(frames.STDERR, f"vm: {failure[1]}\n".encode())
        settle(setup["shares"])
        port.send(frames.EXIT, str(status).encode())
    # The host ends the machine now.
    while True:
        time.sleep(1000)


if __name__ == "__main__":
    main()
