"""What vm.py tells its user when the virtual machine, not the command in it, failed; and what it needs on the host."""

import os
import shutil

# Exit status when the machine itself failed, so that it is told apart from the command's own.
VM_FAILED = 125

# An ordinary user's PATH lacks the folders of ip, rdma and modprobe.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Program -> the Debian package it comes in.
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "modprobe": "kmod",
    "depmod": "kmod",
    "ip": "iproute2",
    "rdma": "iproute2",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "zstd": "zstd",
}


class Problem(Exception):
    """One line: what is wrong and the remedy."""


def find_program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":" + SYSTEM_PATH)
    if path is None:
        raise Problem(f"{name} is missing; install it: apt-get install {PROGRAMS[name]}")
    return path


def find_static_busybox():
    path = find_program("busybox")
    with open(path, "rb") as file:
        if b"/ld-linux" in file.read(4096):
            raise Problem(f"{path} needs shared libraries, which the guest's first moments have not; "
                          "install the static one: apt-get install busybox-static")
    return path
