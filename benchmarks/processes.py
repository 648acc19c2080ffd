"""Measures other processes: CPU and wall seconds, and peak memory."""

import json
import subprocess
import sys
import textwrap

# A process inherits the peak memory of its parent, so a small one starts the command.
STARTER = textwrap.dedent(
    """
    import json, resource, subprocess, sys, time
    start = time.monotonic()
    status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "wall_s": round(time.monotonic() - start, 2),
        "peak_mb": round(used.ru_maxrss * 1024 / 1e6),
    }))
    sys.exit(status)
    """
)


def measure(command: list[str]) -> dict[str, float]:
    """Runs a command to its end.

    Args:
        command: program and arguments.

    Returns:
        `cpu_s`, `wall_s` and `peak_mb`, the peak of resident memory.
    """
    starter = [sys.executable, "-S", "-c", STARTER, *command]
    done = subprocess.run(starter, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


def least(command: list[str], repeats: int) -> dict[str, float]:
    """Returns the measurement with the least CPU time of several runs.

    Args:
        command: program and arguments.
        repeats: the number of runs.
    """
    return min((measure(command) for _ in range(repeats)), key=lambda run: run["cpu_s"])
