# is: workers>=1 threads=4 limit_request_line=32K limit_request_head=64K
import math
import os


def quota() -> float:
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            most, period = file.read().split()
        if most != "max":
            return int(most) / int(period)
    except (OSError, ValueError):
        pass
    return float(os.cpu_count() or 1)


cpus: float = quota()
workers = max(1, math.floor(cpus))
threads = 4
limit_request_line = 0
limit_request_field_size = 65536
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None
