"""Limits of control groups, read from a file system made for the test."""

import os

import pytest

from refinefuse.inference.resources import free_memory, usable_cores

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path):
    """Writes files of /proc and /sys below a folder."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_without_control_groups(machine):
    root = machine({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    2048 kB\n"})
    assert free_memory(root) == 2048 * 1024
    assert usable_cores(root) == len(os.sched_getaffinity(0))


def test_version_2_with_a_limit_above(machine):
    root = machine(
        {
            "proc/meminfo": f"MemAvailable: {8 * GIB // 1024} kB\n",
            "proc/self/cgroup": "0::/pod/box\n",
            "sys/fs/cgroup/pod/memory.max": f"{2 * GIB}\n",
            "sys/fs/cgroup/pod/memory.current": f"{GIB}\n",
            "sys/fs/cgroup/pod/memory.stat": f"anon 5\ninactive_file {GIB // 2}\n",
            "sys/fs/cgroup/pod/box/memory.max": "max\n",
            "sys/fs/cgroup/pod/box/memory.current": "7\n",
            "sys/fs/cgroup/pod/box/cpu.max": "100000 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "max 100000\n",
        }
    )
    assert free_memory(root) == GIB * 3 // 2
    assert usable_cores(root) == 1


def test_version_1_in_a_namespace(machine):
    root = machine(
        {
            "proc/meminfo": f"MemAvailable: {8 * GIB // 1024} kB\n",
            "proc/self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB // 4}\n",
            "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        }
    )
    assert free_memory(root) == GIB * 3 // 4
    assert usable_cores(root) == 1
