"""The messages between vm.py and the agent in its guest, over one virtio-serial port.

A frame is a kind (1 byte), the payload's length (4 bytes, big endian) and the payload. One port for everything keeps
the order: when EXIT arrives, so has all output.
"""

import struct

HEADER = struct.Struct("!cI")
CHUNK = 64 * 1024

# Guest to host.
HELLO = b"H"    # the agent runs
READY = b"R"    # the guest is set up, the command starts now
STDOUT = b"O"   # what the command wrote
STDERR = b"E"
EXIT = b"X"     # its exit status in decimal, 128 + signal when a signal ended it
FAILED = b"F"   # the guest could not be set up: the reason

# Host to guest.
SETUP = b"S"    # JSON; see vm.py
SIGNAL = b"K"   # a signal's number in decimal, for the command's process group


def pack(kind, payload=b""):
    return HEADER.pack(kind, len(payload)) + payload


class Unpacker:
    """Frames out of a stream that arrives in pieces."""

    def __init__(self):
        self.pending = b""

    def feed(self, data):
        """The frames that are complete now, as (kind, payload)."""
        self.pending += data
        frames = []
        while len(self.pending) >= HEADER.size:
            kind, length = HEADER.unpack_from(self.pending)
            end = HEADER.size + length
            if len(self.pending) < end:
                break
            frames.append((kind, self.pending[HEADER.size:end]))
            self.pending = self.pending[end:]
        return frames
