"""Driving a server with load and measuring what that took: the rates, and the CPU of server, driver and everybody else."""

import json
import os
import resource
import subprocess
import time

import meter

DELIVERED_SECONDS = 120
REST_SECONDS = 300


def drive(command):
    """(seconds, CPU seconds of the driver, what it printed)"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0 or done.stderr:
        raise SystemExit(f"{command[0]}: {done.stderr}{done.stdout}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, cpu, done.stdout


def wait_until(is_done, what, seconds=DELIVERED_SECONDS, every=0.02):
    end = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not after {seconds} s")
        time.sleep(every)


def wait_delivered(server, is_done=None):
    wait_until(is_done or server.is_delivered, f"{server.name} has delivered everything")


class Others:
    """What else ran on the machine since this was made."""

    def __init__(self):
        self.began = time.monotonic()
        self.busy, self.stolen = meter.machine_cpu_seconds()

    def row(self, ours_cpu):
        seconds = (time.monotonic() - self.began) * os.cpu_count()
        busy, stolen = meter.machine_cpu_seconds()
        return {
            "other_cpu_pct": round(100 * max(0, busy - self.busy - ours_cpu) / seconds, 1),
            "stolen_pct": round(100 * (stolen - self.stolen) / seconds, 1),
        }


def measure(server, command, count, is_done=None, rest_seconds=REST_SECONDS, aside_cpu=lambda: 0.0):
    """One load until everything is delivered and the server is at rest; aside_cpu: of what belongs to the driver's side."""
    group = server.group
    cpu, aside, others, began = group.cpu_seconds(), aside_cpu(), Others(), time.monotonic()
    took, driver_cpu, printed = drive(command)
    wait_delivered(server, is_done)
    delivered, cpu_delivered = time.monotonic() - began, group.cpu_seconds() - cpu
    other_row = others.row(cpu_delivered + driver_cpu + aside_cpu() - aside)
    # What is left to do (checkpoints, compression) is paid for by these messages too.
    to_rest = server.wait_rest(rest_seconds)
    cpu_rest = group.cpu_seconds() - cpu
    row = {
        "accepted_per_s": round(count / took, 1), "delivered_per_s": round(count / delivered, 1),
        "cpu_us": round(cpu_rest / count * 1e6, 1), "cpu_us_until_delivered": round(cpu_delivered / count * 1e6, 1),
        "seconds_to_rest": None if to_rest is None else round(delivered + to_rest, 1),
        "driver_cpu_us": round(driver_cpu / count * 1e6, 1), **other_row,
        "pss_mb": round(group.pss_bytes() / 1e6, 1),
    }
    if printed.startswith("{"):
        row["driver"] = json.loads(printed)
    return row
