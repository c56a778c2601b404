#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""performance.py <json> <docs>: makes <docs>/results/performance/, and the tables and the plot of <docs>/performance.md, from the
programs' output.

<json> is a folder of Google Benchmark's JSON, a file for each run of a program, named after the program. <docs>/results/performance/ gets a line
for each benchmark of each run: medians over its repetitions, and the shortest and longest time.

Text between `<!-- begin NAME -->` and `<!-- end NAME -->` is replaced; all else stays. A bound is met or not by the best of the
runs; tables show each setting's median over its runs.
"""
import datetime
import glob
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
NOT_COUNTERS = {
    "name", "family_index", "per_family_instance_index", "run_name", "run_type", "repetitions", "repetition_index", "threads",
    "iterations", "real_time", "cpu_time", "time_unit", "label", "error_occurred", "error_message",
}  # fmt: skip
MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3}


def rows_of(path):
    """One row a benchmark: the parts of its name, medians of time and counters over its repetitions."""
    with open(path) as file:
        document = json.load(file)
    repetitions = {}
    for entry in document["benchmarks"]:
        if entry.get("error_occurred"):
            sys.exit(f"{path}: {entry['name']}: {entry['error_message']}")
        if entry["run_type"] == "iteration":
            repetitions.setdefault(entry["run_name"], []).append(entry)
    for name, entries in repetitions.items():
        name = re.sub("/iterations:.*", "", name)
        times = [e["real_time"] * MILLISECONDS[e["time_unit"]] for e in entries]
        row = {
            "run": os.path.basename(path)[: -len(".json")],
            "name": name,
            "median_ms": statistics.median(times),
            "min_ms": min(times),
            "max_ms": max(times),
            "rounds": len(times),
        }
        if "label" in entries[0]:
            row["label"] = entries[0]["label"]
        for counter in entries[0].keys() - NOT_COUNTERS:
            row[counter] = statistics.median(e[counter] for e in entries)
        yield row


def rounded(value):
    return int(value) if value.is_integer() else float(f"{value:.6g}")


def collected(folder, docs, program):
    """All rows of a program, also written to <docs>/results/performance/."""
    rows = [row for path in sorted(glob.glob(os.path.join(folder, program + "-*.json"))) for row in rows_of(path)]
    with open(os.path.join(docs, "results", "performance", program + ".jsonl"), "w") as out:
        for row in rows:
            short = {k: rounded(v) if isinstance(v, float) else v for k, v in row.items()}
            out.write(json.dumps(dict(sorted(short.items(), key=lambda i: (i[0] not in ("run", "name"), i[0])))) + "\n")
    return rows


def parts(name):
    """'mpi/scattered/N:8/k:2/swap' → (['mpi', 'scattered', 'swap'], {'N': '8', 'k': '2'})"""
    pieces = name.split("/")
    return [p for p in pieces if ":" not in p], dict(p.split(":", 1) for p in pieces if ":" in p)


def size(text):
    return int(text[:-1]) << {"K": 10, "M": 20, "G": 30}[text[-1]] if text[-1] in "KMG" else int(text)


class Setting:
    """The contenders of one setting in one run, by route."""

    def __init__(self, row):
        (self.backend, self.layout, _), named = parts(row["name"])
        self.workers = int(named["N"])
        self.holders = 0 if named["k"] == "mixed" else int(named["k"])
        self.bytes = int(row["bytes"])
        self.run_bytes = size(named["run"]) if "run" in named else 0
        self.key = (self.backend, self.layout, self.workers, self.holders, self.bytes, self.run_bytes)
        self.rows = {}

    def best(self, routes=OURS):
        present = [self.rows[r] for r in routes if r in self.rows]
        return min(present, key=lambda r: r["median_ms"]) if present else None


def settings_of(rows):
    out = {}
    for row in rows:
        setting, route = row["name"].rsplit("/", 1)
        out.setdefault((row["run"], setting), Setting(row)).rows[route] = row
    return list(out.values())


def chosen(settings, backend, workers, holders, size, run_bytes):
    """Sizes are rounded down to whole rounds over the holder sets, by up to a quarter."""
    return [
        s
        for s in settings
        if s.layout == "scattered"
        and (s.backend, s.workers, s.holders, s.run_bytes) == (backend, workers, holders, run_bytes)
        and 0.75 * size <= s.bytes <= 1.05 * size
    ]


def size_text(count):
    for unit, name in ((MI, "MiB"), (KI, "KiB")):
        if count >= 0.75 * unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} B"


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

    ours = [(s, r) for s in settings for name, r in s.rows.items() if name in MESSAGES]
    off = [r["bytes_off"] for _, r in ours]
    add("bytes off the formula, all ranks and settings together", 0, [sum(off)] if off else [], "{:.0f}")
    skew = [
        r["sent_max"] / r["sent_mean"]
        for s, r in ours
        if s.layout == "scattered" and s.holders and r["sent_mean"] > 0 and s.bytes / r["sets"] >= 64 * KI
    ]
    add("bytes sent, busiest rank / mean, worst of all with ≥ 64 KiB per group", 1.02, [max(skew)] if skew else [], "{:.4f}")

    def ratios(routes, *where):
        return [s.best(routes)["to_dense"] for s in chosen(settings, *where) if s.best(routes)]

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
            if r["name"].startswith(f"threads/device/N:{n}/k:{k}/") and r["name"].endswith("/bucket:1M/both") and r["bytes"] > 8 * MI
        ]
        add(f"hidden behind the backward pass, N = {n}, k = {k}, default buckets", 0.9, [r["hidden"] for r in some], at_least=True)
        add(f"share of the step spent polling, N = {n}, k = {k}, default buckets", 0.02, [r["polling"] for r in some], "{:.4f}")
    runs = [r for r in plan if r["name"].startswith("runs/") and r["name"].endswith("/plan") and r["runs"] > 500_000]
    for r in runs:
        _, named = parts(r["name"])
        what = f"plan of 10⁶ runs, split by {named['split']}, {named['masking']} masking, k = {named['k']}, {r['sets']:.0f} sets of holders"
        add(f"{what}: ms", 250, [r["min_ms"]], "{:.0f}")
        add(f"{what}: bytes per run", 32, [r["B/run"]], "{:.1f}")
    if not runs:
        add("plan of 10⁶ runs: ms", 250, [])
        add("plan of 10⁶ runs: bytes per run", 32, [])
    llama = {}
    for r in plan:
        if r["name"].startswith("llama/N:16384/"):
            llama.setdefault(parts(r["name"])[1]["design"].replace("_", " "), []).append(r)
    for design, some in llama.items():
        what = f"plan of LLaMA-405B on 16,384 workers, {design}, worst of {len(some)} levels and granularities"
        add(f"{what}: ms", 1000, [max(r["min_ms"] for r in some)], "{:.0f}")
        add(f"{what}: MiB", 256, [max(r["peak_MiB"] for r in some)], "{:.0f}")
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
            ratio = statistics.median(r["to_dense"] for r in some)
            bus = statistics.median(r["busbw_GB/s"] for r in some)
            name = f"**{route}**" if route in OURS else route
            where = (layout, workers, k_text(holders), size_text(size), size_text(run) if run else "–")
            low, high = min(r["min_ms"] for r in some), max(r["max_ms"] for r in some)
            rows.append(where + (name, f"{ms:.3f}", f"{low:.3f} … {high:.3f}", f"{ratio:.2f}", f"{bus:.2f}"))
    return table(("layout", "N", "k", "model", "runs", "route", "median ms", "min … max", "/ dense", "bus GB/s"), rows)


def backward_table(backward):
    by_setting = {}
    for r in backward:
        setting, contender = r["name"].rsplit("/", 1)
        by_setting.setdefault(setting, {}).setdefault(contender, []).append(r)
    rows = []
    for setting, of in by_setting.items():
        (backend, compute), named = parts(setting)
        middle = lambda contender, name: statistics.median(r[name] for r in of[contender])
        key = (backend, compute, int(named["N"]), int(named["k"]), size(named["model"]), size(named["bucket"]))
        cells = [f"{middle(c, 'median_ms'):.1f}" for c in ("backward", "exchange", "both")]
        cells += [f"{middle('both', 'hidden'):.3f}", f"{middle('both', 'polling'):.4f}"]
        cells += [f"{middle('both', n):.1f}" for n in ("ready_ms", "blocked_ms")]
        rows.append((key, cells))
    head = ("backend", "compute", "N", "k", "model", "bucket", "backward ms", "exchange ms", "both ms", "hidden", "polling")
    return table(
        head + ("in ready ms", "blocked ms"),
        [key[:4] + (size_text(key[4]), size_text(key[5])) + tuple(cells) for key, cells in sorted(rows)],
    )


def kernel_table(kernels):
    by_setting = {}
    for r in kernels:
        setting, contender = r["name"].rsplit("/", 1)
        by_setting.setdefault(setting, {})[contender] = r
    rows = []
    for setting, of in by_setting.items():
        named = parts(setting)[1]
        rows.append(
            (named["split"], size_text(size(named["run"])), named["k"], f"{of['memcpy']['GB/s']:.1f}")
            + tuple(f"{of[c]['GB/s']:.1f} ({of[c]['of_copy']:.2f})" for c in ("pack", "sum", "unpack"))
        )
    return table(("split", "runs", "k", "memcpy GB/s", "pack", "sum", "unpack"), rows)


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
    data = os.path.join(docs, "results", "performance", "performance.dat")
    wanted = [("messages", MESSAGES), ("window", ("window",)), ("iallreduce", ("iallreduce",)), ("gloo", ("gloo",))]
    with open(data, "w") as out:
        for k in (2, 4):
            for name, routes in wanted:
                points = {}
                for s in settings:
                    row = s.best(routes)
                    if row and (s.backend, s.layout, s.workers, s.holders) == ("mpi", "scattered", 8, k):
                        if s.run_bytes == (256 if s.bytes < MI // 2 else 4096):
                            points.setdefault(s.bytes, []).append(row["to_dense"])
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
    folder, docs = sys.argv[1:]
    settings = settings_of(collected(folder, docs, "overlap"))
    backward, plan, kernels = (collected(folder, docs, p) for p in ("backward", "plan", "kernels"))
    path = os.path.join(docs, "performance.md")
    with open(path) as file:
        text = file.read()
    tables = {
        "machine": header(),
        "bounds": bounds_table(settings, backward, plan),
        "mpi": exchange_table(settings, "mpi"),
        "threads": exchange_table(settings, "threads"),
        "backward": backward_table(backward),
        "kernels": kernel_table(kernels),
    }
    for name, content in tables.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin not in text or end not in text:
            sys.exit(f"{path} lacks the markers of '{name}'")
        text = text[: text.index(begin) + len(begin)] + "\n" + content + "\n" + text[text.index(end) :]
    draw(settings, docs)
    with open(path, "w") as file:
        file.write(text)


main()
