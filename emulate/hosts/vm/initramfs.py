"""The guest's first file system: busybox, the modules every guest needs, guest_init.sh and the agent.

Cached by the kernel's release and a digest of everything that goes in. Not compressed: the guest would be slow to
unpack it.
"""

import hashlib
import lzma
import os
import subprocess
import time

from kernel import locked_cache
from problem import find_program, find_static_busybox

# The machine's own devices and its folders first; then SoftRoCE, whose sums come from the crc32 modules. All
# others are loaded on demand (see guest_agent.py).
MODULES = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay",
           "crc32_generic", "crc32c_generic", "rdma_rxe", "ib_uverbs", "rdma_ucm", "dummy"]

HERE = os.path.dirname(os.path.abspath(__file__))
AGENT = ["guest_agent.py", "frames.py"]
UNUSED_AFTER_S = 86400


def get(kernel):
    """The path of the archive for this kernel."""
    busybox = find_static_busybox()
    digest = hashlib.sha256()
    for path in [busybox, __file__, *(os.path.join(HERE, name) for name in ["guest_init.sh", *AGENT])]:
        digest.update(read(path))
    prefix = f"initramfs-{kernel.release}-"
    with locked_cache() as folder:
        path = os.path.join(folder, prefix + digest.hexdigest()[:16])
        if not os.path.exists(path):
            remove_unused(folder, prefix)
            with open(path + ".new", "wb") as file:
                file.write(archive(contents(kernel, busybox)))
            os.rename(path + ".new", path)
        return path


def remove_unused(folder, prefix):
    """Those of earlier versions of these scripts, when nobody can be about to start with one."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith(prefix) and time.time() - os.path.getmtime(path) > UNUSED_AFTER_S:
            os.remove(path)


def contents(kernel, busybox):
    """(path, mode, bytes) of each file, None for a folder."""
    entries = [(folder, 0o755, None) for folder in ("agent", "bin", "dev", "modules", "proc", "root", "sys")]
    entries.append(("init", 0o755, read(os.path.join(HERE, "guest_init.sh"))))
    entries.append(("bin/busybox", 0o755, read(busybox)))
    entries += [(f"agent/{name}", 0o644, read(os.path.join(HERE, name))) for name in AGENT]
    order = []
    for file, options in kernel.module_files(MODULES):
        name = os.path.basename(file)
        name = name[:name.index(".ko") + 3]
        order.append(f"{name} {options}\n")
        entries.append((f"modules/{name}", 0o644, module(file)))
    entries.append(("modules/order", 0o644, "".join(order).encode()))
    return entries


def read(path):
    with open(path, "rb") as file:
        return file.read()


def module(path):
    """A module, unpacked."""
    if path.endswith(".xz"):
        return lzma.decompress(read(path))
    if path.endswith(".zst"):
        return subprocess.run([find_program("zstd"), "-dcq", path], capture_output=True, check=True).stdout
    return read(path)


def archive(entries):
    """The entries as the cpio archive ("newc") that a kernel reads."""
    parts = []
    for number, (path, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        kind = 0o040000 if data is None else 0o100000
        name = path.encode() + b"\0"
        # inode, mode, uid, gid, links, time, size, device (2), special device (2), name's length, checksum
        fields = (number, kind | mode, 0, 0, 1, 0, len(data or b""), 0, 0, 0, 0, len(name), 0)
        for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + name, data or b""):
            parts.append(part + b"\0" * (-len(part) % 4))
    return b"".join(parts)
