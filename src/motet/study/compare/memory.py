"""How much memory processes take, and how much is left for another: as the system says it, where it does."""

import sys
from pathlib import Path


def peak(process: int | str = "self") -> int | None:
    """The most bytes that a process has held so far; None where that can not be known."""
    found = _field(Path(f"/proc/{process}/status"), "VmHWM")
    if found is None and process == "self":
        try:
            import resource
        except ImportError:
            return None
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
    return found


def held(process: int) -> int:
    """The bytes a process holds now; 0 where that can not be known."""
    return _field(Path(f"/proc/{process}/status"), "VmRSS") or 0


def available() -> int | None:
    """The bytes that may still be taken: of the machine, and of the group that this process is confined to."""
    known = [_field(Path("/proc/meminfo"), "MemAvailable"), _of_group()]
    return min((one for one in known if one is not None), default=None)


def _of_group(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What control groups (version 2) leave; what the system could take back at once counts as left."""
    try:
        most = (folder / "memory.max").read_text().strip()
        if most == "max":
            return None
        used = int((folder / "memory.current").read_text())
        lines = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        cached = next((int(number) for name, number in lines if name == "inactive_file"), 0)
        return max(0, int(most) - used + cached)
    except (OSError, ValueError):
        return None


def _field(path: Path, name: str) -> int | None:
    """A line such as `VmRSS:  1234 kB`, in bytes."""
    try:
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None
