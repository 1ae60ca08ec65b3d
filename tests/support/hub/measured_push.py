"""Push a folder in a process of its own and print its peak memory in MB: measured_push.py FOLDER OWNER/NAME."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from robotrove.tests.support.hub.pushing import push

if __name__ == "__main__":
    push(Path(sys.argv[1]), sys.argv[2])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
