"""Breaks a disk: `python -m tests.lab.disk MOUNT_POINT`; every read and write is an EIO then."""

from __future__ import annotations

import fcntl
import os
import struct
import sys

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2

if __name__ == "__main__":
    mounted = os.open(sys.argv[1], os.O_RDONLY)
    fcntl.ioctl(mounted, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
