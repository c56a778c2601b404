#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""performance.py <docs>: puts <docs>/results/*.jsonl into the tables of <docs>/performance.md, and draws its plot.

Text between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced; all else stays. A bound is met or not by the best of the
runs that are in the results; tables show each setting's median over its runs.
"""
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys

MESSAGES = ("two-sided", "swap")
SHARED = ("two-sided-shared", "swap-shared", "window-shared")  # gradients in memory of the library
OURS = (*MESSAGES, *SHARED, "window", "threads", "native")
KI, MI = 1 << 10, 1 << 20


def read(path):
    if not os.path.exists(path):
        return []
    with open(path) as lines:
        return [json.loads(line) for line in lines]


class Setting:
    """The contenders of one setting in one run, by route."""

    def __init__(self, row):
        self.key = tuple(row[k] for k in ("backend", "layout", "workers", "holders", "bytes", "run_bytes"))
        self.backend, self.layout, self.workers, self.holders, self.bytes, self.run_bytes = self.key
        self.rows = {}

    def best(self, routes=OURS):
        present = [self.rows[r] for r in routes if r in self.rows]
        return min(present, key=lambda r: r["median_ms"]) if present else None


def settings_of(rows):
    out = []
    for row in rows:  # a dense row opens a setting
        if row["route"] == "dense":
            out.append(Setting(row))
        out[-1].rows[row["route"]] = row
    return out


def chosen(settings, backend, workers, holders, size, run_bytes):
    """Sizes are rounded down to whole rounds over the holder sets, by up to a quarter."""
    return [
        s
        for s in settings
        if s.layout == "scattered"
        and (s.backend, s.workers, s.holders, s.run_bytes) == (backend, workers, holders, run_bytes)
        and 0.75 * size <= s.bytes <= 1.05 * size
    ]


def size_text(size):
    for unit, name in ((MI, "MiB"), (KI, "KiB")):
        if size >= 0.75 * unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"


def k_text(holders):
    return str(holders) if holders else "mixed"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]
    return "\n".join(lines) if rows else "Not measured."


def bounds_table(settings, backward, plan):
    rows = []

    def add(what, at_most, values, text="{:.2f}", at_least=False):
        sign = "≥" if at_least else "≤"
        bound = f"{sign} {at_most:g}"
        if not values:
            rows.append((what, bound, "not measured", "–"))
            return
        value = max(values) if at_least else min(values)
        met = value >= at_most if at_least else value <= at_most
        rows.append((what, bound, text.format(value), "met" if met else "**not met**"))

    ours = [r for s in settings for name, r in s.rows.items() if name in MESSAGES]
    off = [r["bytes_off"] for r in ours]
    add("bytes off the formula, all ranks and settings together", 0, [sum(off)] if off else [], "{:.0f}")
    groups = {(8, 2): 28, (8, 4): 70, (8, 8): 1, (4, 2): 6}
    skew = [
        r["bytes_sent_max"] / r["bytes_sent_mean"]
        for r in ours
        if r["layout"] == "scattered"
        and r["bytes_sent_mean"] > 0
        and r["bytes"] / groups.get((r["workers"], r["holders"]), float("inf")) >= 64 * KI
    ]
    add("bytes sent, busiest rank / mean, worst of all with ≥ 64 KiB per group", 1.02, [max(skew)] if skew else [], "{:.4f}")

    def ratios(routes, *where):
        return [s.best(routes)["ratio"] for s in chosen(settings, *where) if s.best(routes)]

    for size, run, bounds in (
        (16 * MI, 4096, ((8, 2, 0.28), (8, 4, 0.75), (4, 2, 0.65))),
        (64 * MI, 64 * KI, ((8, 2, 0.17), (8, 4, 0.45), (4, 2, 0.40))),
    ):
        for n, k, bound in bounds:
            what = f"messages / MPI_Allreduce, N = {n}, k = {k}, {size_text(size)}, runs of {size_text(run)}"
            add(what, bound, ratios(MESSAGES, "mpi", n, k, size, run))
    for n, k, bound in ((8, 2, 0.20), (8, 4, 0.35)):
        what = f"shared window / MPI_Allreduce, N = {n}, k = {k}, 16 MiB, runs of 4 KiB"
        add(what, bound, ratios(("window", "window-shared"), "mpi", n, k, 16 * MI, 4096))

    def speedups(baseline, *where):
        return [
            s.rows[baseline]["median_ms"] / s.best()["median_ms"]
            for s in chosen(settings, *where)
            if baseline in s.rows and s.best()
        ]

    for size, bound in ((16 * MI, 1.5), (1 * MI, 3)):
        for k in (2, 4):
            what = f"one Iallreduce per set of holders / best route, N = 8, k = {k}, {size_text(size)}"
            add(what, bound, speedups("iallreduce", "mpi", 8, k, size, 4096), at_least=True)
    add("gloo of everything / best route, N = 8, k = 4, 16 MiB", 5, speedups("gloo", "mpi", 8, 4, 16 * MI, 4096), at_least=True)
    for k in (8, 0):
        what = "everything held by all (C = 1)" if k else "masks drawn by chance (mixed k)"
        add(f"best route / MPI_Allreduce, N = 8, {what}, 16 MiB", 1.10, ratios(OURS, "mpi", 8, k, 16 * MI, 4096))
    for run, bound in ((4096, 1.10), (256, 1.5), (4, 3)):
        for k in (2, 4, 8):
            values = [r / (k / 8) for r in ratios(OURS, "threads", 8, k, 16 * MI, run)]
            add(f"threads, best route / dense sum / C, N = 8, k = {k}, 16 MiB, runs of {size_text(run)}", bound, values)
    for n, k in ((2, 2), (3, 2), (4, 2), (4, 4)):
        some = [
            r
            for r in backward
            if (r["backend"], r["compute"], r["workers"], r["holders"]) == ("threads", "device", n, k)
            and r["default_bucket"]
            and r["bytes"] > 8 * r["bucket_bytes"]
        ]
        add(f"hidden behind the backward pass, N = {n}, k = {k}, default buckets", 0.9, [r["hidden"] for r in some], at_least=True)
        add(f"share of the step spent polling, N = {n}, k = {k}, default buckets", 0.02, [r["polling"] for r in some], "{:.4f}")
    runs = [r for r in plan if r["experiment"].startswith("runs:") and r["runs"] > 500_000]
    for r in runs:
        what = f"plan of 10⁶ runs, split by {r['split']}, {r['masking']} masking, k = {r['k']}, {r['sets']} sets of holders"
        add(f"{what}: ms", 250, [r["plan ms"]], "{:.0f}")
        add(f"{what}: bytes per run", 32, [r["B/run"]], "{:.1f}")
    if not runs:
        add("plan of 10⁶ runs: ms", 250, [])
        add("plan of 10⁶ runs: bytes per run", 32, [])
    llama = [r for r in plan if r["experiment"].startswith("llama: 405B on 16384 ")]
    for design in dict.fromkeys(r["design   "].strip() for r in llama):
        some = [r for r in llama if r["design   "].strip() == design]
        what = f"plan of LLaMA-405B on 16,384 workers, {design}, worst of {len(some)} levels and granularities"
        add(f"{what}: ms", 1000, [max(r["total ms"] for r in some)], "{:.0f}")
        add(f"{what}: MiB", 256, [max(r["peak MiB"] for r in some)], "{:.0f}")
    if not llama:
        add("plan of LLaMA-405B on 16,384 workers: ms", 1000, [])
        add("plan of LLaMA-405B on 16,384 workers: MiB", 256, [])
    return table(("bound on", "", "measured", ""), rows)


def exchange_table(settings, backend):
    by_key = {}
    for s in settings:
        if s.backend == backend:
            by_key.setdefault(s.key, []).append(s)
    rows = []
    for key in sorted(by_key, key=lambda k: (k[1], k[2], k[4], k[5], k[3] or 99)):
        _, layout, workers, holders, size, run = key
        routes = dict.fromkeys(route for s in by_key[key] for route in s.rows)
        for route in routes:
            if route == "memcpy":
                continue
            some = [s.rows[route] for s in by_key[key] if route in s.rows]
            ms = statistics.median(r["median_ms"] for r in some)
            ratio = statistics.median(r["ratio"] for r in some)
            bus = statistics.median(r["busbw_gbs"] for r in some)
            name = f"**{route}**" if route in OURS else route
            where = (layout, workers, k_text(holders), size_text(size), size_text(run) if run else "–")
            low, high = min(r["min_ms"] for r in some), max(r["max_ms"] for r in some)
            rows.append(where + (name, f"{ms:.3f}", f"{low:.3f} … {high:.3f}", f"{ratio:.2f}", f"{bus:.2f}"))
    return table(("layout", "N", "k", "model", "runs", "route", "median ms", "min … max", "/ dense", "bus GB/s"), rows)


def backward_table(backward):
    by_key = {}
    for r in backward:
        key = tuple(r[k] for k in ("backend", "compute", "workers", "holders", "bytes", "bucket_bytes"))
        by_key.setdefault(key, []).append(r)
    rows = []
    for key in sorted(by_key):
        middle = lambda name: statistics.median(r[name] for r in by_key[key])
        rows.append(
            key[:4]
            + (size_text(key[4]), size_text(key[5]))
            + tuple(f"{middle(n):.1f}" for n in ("backward_ms", "exchange_ms", "both_ms"))
            + (f"{middle('hidden'):.3f}", f"{middle('polling'):.4f}", f"{middle('ready_ms'):.1f}", f"{middle('blocked_ms'):.1f}")
        )
    head = ("backend", "compute", "N", "k", "model", "bucket", "backward ms", "exchange ms", "both ms", "hidden", "polling")
    return table(head + ("in ready ms", "blocked ms"), rows)


def processor():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def version(command, pattern):
    try:
        found = re.search(pattern, subprocess.run(command, capture_output=True, text=True).stdout)
    except OSError:
        found = None
    return found.group(0) if found else "unknown"


def header():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return table(
        ("", ""),
        [
            ("date", datetime.date.today().isoformat()),
            ("processor", f"{processor()}, {os.cpu_count()} cores"),
            ("memory", f"{memory:.0f} GiB"),
            ("system", f"{platform.system()} {platform.release()}"),
            ("compiler", version(["c++", "--version"], r"\S+ \(.*\) [\d.]+")),
            ("MPI", version(["mpirun", "--version"], r"mpirun .*")),
            ("load at the end (1, 5, 15 min)", load),
        ],
    )


def draw(settings, docs):
    """Time over that of the dense all-reduce by model size, N = 8 under MPI."""
    data = os.path.join(docs, "results", "performance.dat")
    wanted = [("messages", MESSAGES), ("window", ("window",)), ("iallreduce", ("iallreduce",)), ("gloo", ("gloo",))]
    with open(data, "w") as out:
        for k in (2, 4):
            for name, routes in wanted:
                points = {}
                for s in settings:
                    row = s.best(routes)
                    if row and (s.backend, s.layout, s.workers, s.holders) == ("mpi", "scattered", 8, k):
                        if s.run_bytes == (256 if s.bytes < MI // 2 else 4096):
                            points.setdefault(s.bytes, []).append(row["ratio"])
                out.write(f'"{name}, k = {k}"\n')
                for size in sorted(points):
                    out.write(f"{size / MI} {statistics.median(points[size])}\n")
                if not points:
                    out.write("1 NaN\n")
                out.write("\n\n")
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "performance.gp")
    svg = os.path.join(docs, "performance.svg")
    subprocess.run(["gnuplot", "-e", f"data = '{data}'; svg = '{svg}'", script], check=True)
    os.remove(data)


def main():
    docs = sys.argv[1]
    settings = settings_of(read(os.path.join(docs, "results", "overlap.jsonl")))
    backward = read(os.path.join(docs, "results", "backward.jsonl"))
    plan = read(os.path.join(docs, "results", "plan.jsonl"))
    path = os.path.join(docs, "performance.md")
    with open(path) as file:
        text = file.read()
    parts = {
        "machine": header(),
        "bounds": bounds_table(settings, backward, plan),
        "mpi": exchange_table(settings, "mpi"),
        "threads": exchange_table(settings, "threads"),
        "backward": backward_table(backward),
    }
    for name, content in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin not in text or end not in text:
            sys.exit(f"{path} lacks the markers of '{name}'")
        text = text[: text.index(begin) + len(begin)] + "\n" + content + "\n" + text[text.index(end) :]
    draw(settings, docs)
    with open(path, "w") as file:
        file.write(text)


main()
