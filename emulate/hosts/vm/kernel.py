"""The guest's kernel: one of Debian's, fetched and unpacked into the cache (packages.py), made quick to boot.

What is in the cache is used for good; to have a newer kernel, remove the cache's folder.
"""

import contextlib
import fcntl
import lzma
import os
import re
import shutil
import subprocess

import packages
from problem import Problem, find_program

KINDS = sorted(packages.SUITES)

SPACE_NEEDED = 600 << 20

XZ_MAGIC, ZSTD_MAGIC, ELF_MAGIC = b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"\x7fELF"


def cache_folder():
    base = os.environ.get("SLIPSTREAM_CACHE")
    if not base:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "slipstream")
    return os.path.join(os.path.abspath(base), "vm")


@contextlib.contextmanager
def locked_cache():
    """Only one process at a time makes what is cached; each thing is made beside its place and then renamed."""
    folder = cache_folder()
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "lock"), "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield folder
    except PermissionError as error:
        raise Problem(f"no right to write {error.filename}; set SLIPSTREAM_CACHE to a folder of yours") from error


class Kernel:
    """An unpacked kernel: `tree` has boot/ and lib/modules/RELEASE."""

    def __init__(self, tree):
        self.tree = tree
        [self.release] = os.listdir(os.path.join(tree, "lib/modules"))
        self.image = os.path.join(tree, "boot/image")

    def module_files(self, names):
        """(file, options) of each to load for these modules, what others need first. One it has not is left out."""
        files = []
        for name in names:
            shown = subprocess.run(
                [find_program("modprobe"), "-d", self.tree, "-S", self.release, "--show-depends", name],
                capture_output=True, text=True, check=False)
            for line in shown.stdout.splitlines():
                if line.startswith("insmod "):
                    found = re.match(r"insmod (.*?\.ko(?:\.\w+)?)(?: (.*))?$", line)
                    entry = found.group(1), (found.group(2) or "").strip()
                    if entry not in files:
                        files.append(entry)
        return files


def get(kind, say):
    """The kernel of that kind, from the cache or else fetched."""
    tree = os.path.join(cache_folder(), kind)
    if not os.path.isdir(tree):
        with locked_cache() as folder:
            if not os.path.isdir(tree):
                make(kind, folder, tree, say)
    return Kernel(tree)


def make(kind, folder, tree, say):
    free = shutil.disk_usage(folder).free
    if free < SPACE_NEEDED:
        raise Problem(f"{folder} has {free >> 20} MiB of space left and a kernel takes up to {SPACE_NEEDED >> 20}; "
                      "make room, or set SLIPSTREAM_CACHE to a folder elsewhere")
    new = tree + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    try:
        say(f"fetching Debian's kernel once, into {folder}")
        for package in packages.fetch(kind, new):
            packages.unpack(package, new)
            os.remove(package)
        [release] = os.listdir(os.path.join(new, "lib/modules"))
        packages.run([find_program("depmod"), "-b", new, release], "the kernel's modules cannot be listed")
        extract_image(new, release)
        os.rename(new, tree)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def extract_image(tree, release):
    """Unpacks the kernel here, which under emulation would take the guest longer than all the rest of its start."""
    # Newer packages have both beside the modules.
    compressed, config = (
        next(filter(os.path.exists, (os.path.join(tree, f"boot/{name}-{release}"),
                                     os.path.join(tree, f"lib/modules/{release}/{name}"))))
        for name in ("vmlinuz", "config"))
    with open(compressed, "rb") as file:
        data = file.read()
    start = data.find(XZ_MAGIC)
    kernel = b""
    if start >= 0:
        kernel = lzma.LZMADecompressor().decompress(data[start:])
    elif (start := data.find(ZSTD_MAGIC)) >= 0:
        # It complains about what follows the kernel, after it has unpacked that.
        kernel = subprocess.run([find_program("zstd"), "-dcq"], input=data[start:], capture_output=True,
                                check=False).stdout
    with open(config, encoding="ascii") as file:
        starts_unpacked = "\nCONFIG_PVH=y\n" in file.read()
    os.makedirs(os.path.join(tree, "boot"), exist_ok=True)
    with open(os.path.join(tree, "boot/image"), "wb") as file:
        file.write(kernel if starts_unpacked and kernel.startswith(ELF_MAGIC) else data)
