"""QEMU: starting a guest that cannot outlive this process, and whether hardware virtualisation works here."""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time

import initramfs
from kernel import cache_folder, locked_cache
from problem import Problem, find_program

PROBE_S = 5
PROBE_ANSWER = b"slipstream-probe-ok"
PR_SET_PDEATHSIG = 1
KVM = "/dev/kvm"

# The console is the log: little goes there. A panic ends the machine. The rest saves time in a guest of minutes.
KERNEL_ARGUMENTS = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check"

# Without a processor of its own: all that QEMU can emulate but the features that make kernel and libc copy with string
# instructions, which it does byte by byte, five times slower than a loop.
CPU = "max,-erms,-fsrm"

libc = ctypes.CDLL(None)


def die_with(parent):
    """In the child: the kernel kills it when its parent ends, in whatever way."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    # Ctrl-C at the terminal is vm.py's to deal with.
    os.setpgid(0, 0)


def start(accel, kernel, options, kernel_arguments, stdout, inherited=()):
    arguments = [
        find_program("qemu-system-x86_64"), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-accel", *(["kvm", "-cpu", "host"] if accel == "kvm" else ["tcg,thread=multi", "-cpu", CPU]),
        "-kernel", kernel.image, "-initrd", initramfs.get(kernel),
        "-append", " ".join([KERNEL_ARGUMENTS, *kernel_arguments]), "-serial", "stdio", *options]
    parent = os.getpid()
    return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT,
                            pass_fds=inherited, preexec_fn=lambda: die_with(parent))


def end(process):
    process.kill()
    process.wait()


class Machine:
    """A running guest: `socket` leads to the agent in it."""

    def __init__(self, accel, kernel, cpus, memory_mib, shares):
        self.console = tempfile.TemporaryFile()
        self.socket, other = socket.socketpair()
        options = ["-smp", str(cpus), "-m", str(memory_mib), "-nic", "none",
                   "-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,fd={other.fileno()}",
                   "-device", "virtserialport,chardev=agent,name=agent"]
        for share in [{"tag": "root", "path": "/", "writable": False}, *shares]:
            path = os.path.realpath(share["path"]).replace(",", ",,")
            access = "off" if share["writable"] else "on"
            options += ["-fsdev", f"local,id={share['tag']},path={path},security_model=none,readonly={access},"
                                  "multidevs=remap",
                        "-device", f"virtio-9p-pci,fsdev={share['tag']},mount_tag={share['tag']}"]
        self.process = start(accel, kernel, options, [], self.console, [other.fileno()])
        other.close()

    def end(self):
        end(self.process)
        self.socket.close()

    def console_text(self):
        self.console.seek(0)
        return self.console.read().decode(errors="replace").replace("\r", "")


# --- hardware virtualisation ------------------------------------------------------------------------------------------


def probe(get_kernel):
    """{"accel": "kvm" or "tcg", "why": ...}; `get_kernel` gives the kernel to try with. Known for good until the host's
    next start."""
    if not os.path.exists(KVM):
        return verdict("tcg", f"this machine offers no {KVM}")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return verdict("tcg", f"no right to open {KVM} (its group is usually kvm)")
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        key = file.read().strip()
    path = os.path.join(cache_folder(), "probe.json")
    try:
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
        if known["boot"] == key:
            return known["verdict"]
    except (OSError, ValueError, KeyError):
        pass
    found = try_kvm(get_kernel())
    with locked_cache():
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({"boot": key, "verdict": found}, file)
        os.rename(path + ".new", path)
    return found


def verdict(accel, why):
    return {"accel": accel, "why": why}


def try_kvm(kernel):
    """That the device can be opened is no proof: some para-virtual ones never get a stock kernel to start."""
    process = start("kvm", kernel, ["-m", "256", "-nic", "none"], ["slipstream.probe"], subprocess.PIPE)
    output, deadline = b"", time.monotonic() + PROBE_S
    try:
        while PROBE_ANSWER not in output:
            ready, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return verdict("tcg", f"a guest did not start within {PROBE_S} s under {KVM}")
            data = os.read(process.stdout.fileno(), 4096)
            if not data:
                said = output.decode(errors="replace").split("\n")[0].strip()
                return verdict("tcg", f"a guest did not start under {KVM}: {said or 'QEMU ended'}")
            output += data
        return verdict("kvm", f"a guest started under {KVM}")
    finally:
        end(process)
        process.stdout.close()


def explain(text, what):
    """A Problem that ends with the console's last words and where the whole is."""
    lines = [line for line in text.splitlines() if line.strip()]
    with locked_cache() as folder:
        path = os.path.join(folder, "console.log")
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(path + ".new", path)
    last = "".join(f"\n  {line}" for line in lines[-5:]) or " nothing"
    return Problem(f"{what}; its console is in {path} and ends with:{last}")
