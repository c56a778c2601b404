#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs a plan of trainings and keeps what they report, one JSON line per run.

    study.py --plan cpu --build build/release

A run that has its line already is not run again, so a study that was stopped goes on where it was. What the lines say is
put into tables and plots by report.py.
"""

import argparse
import datetime
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import plans

TEXT = pathlib.Path("/usr/share/dictd/gcide.dict.dz")
IMAGES = pathlib.Path("/usr/share/datasets/fashion-mnist")


def identity(run):
    """The same for the same options, whatever the plan."""
    words = [run["program"]]
    for key in sorted(run["options"]):
        value = run["options"][key]
        words.append(key if value is True else f"{key} {value}")
    return " ".join(words)


def command(run, build, places, summary):
    out = [str(build / "examples" / run["program"])]
    for key, value in run["options"].items():
        out += [key] if value is True else [key, str(value).format(**places)]
    return out + ["--summary", str(summary)]


def heaviest(summary, key):
    return max(worker[key] for worker in summary["workers"])


def digest(summary):
    """What is kept of a summary: losses, and the figures of the worker that needs most."""
    out = {key: summary[key] for key in ("method", "steps", "full_parameters", "maskable_parameters", "spectral_gap")}
    if "final_heldout_loss" in summary and summary["final_heldout_loss"] is None:
        raise ValueError("the loss is not a number: the training diverged")
    if summary["interrupted"]:
        raise ValueError("the training was interrupted")
    for key in ("final_heldout_loss", "best_heldout_loss", "final_heldout_accuracy", "tokens", "images", "tokens_per_second",
                "images_per_second", "alignment"):
        if key in summary:
            out[key] = summary[key]
    for key in ("held_parameters", "held_maskable_parameters", "value_bytes", "gradient_bytes", "optimizer_bytes",
                "activation_peak_bytes", "peak_bytes", "gradient_bytes_at_peak", "exchange_buffer_bytes", "bytes_sent_per_step",
                "bytes_sent_formula"):
        out[key] = heaviest(summary, key)
    out["least_held_parameters"] = min(worker["held_parameters"] for worker in summary["workers"])
    if "computing_seconds" in summary["workers"][0]:
        out["breakdown"] = [[worker[key] for key in ("computing_seconds", "waiting_seconds", "exchanging_seconds")]
                            for worker in summary["workers"]]
    return out


def data_of(run, places):
    """The name of the data, and the size of a text: what a run must not be mixed with others over."""
    wanted = run["options"].get("--data", "")
    place = pathlib.Path(str(wanted).format(**places))
    return f"{place.name} {place.stat().st_size}" if place.is_file() else place.name


def machine():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()}, {len(os.sched_getaffinity(0))} cores"
    return "unknown"


def prepare_places(runs, folder, text, images):
    """Where the data is. Says what is missing before anything runs."""
    wanted = {value for run in runs for value in run["options"].values() if isinstance(value, str)}
    places = {"text": str(text), "images": str(images)}
    if "{text}" in wanted and text == TEXT:
        if not TEXT.exists():
            sys.exit(f"study.py: {TEXT} is missing; it is in the Debian package dict-gcide (or name another text with --text)")
        plain = folder / "gcide.txt"
        if not plain.exists():
            with gzip.open(TEXT) as packed, open(folder / "gcide.part", "wb") as out:
                shutil.copyfileobj(packed, out)
            (folder / "gcide.part").rename(plain)
        places["text"] = str(plain)
    if "{images}" in wanted and not images.is_dir():
        sys.exit(f"study.py: {images} is missing; it is in the Debian package dataset-fashion-mnist (or name another folder "
                 "with --images)")
    return places


# A step frees and allocates the same tensors again. Kept by the process instead of given back to the system, they need not be
# mapped and cleared each time.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32), "MALLOC_TOP_PAD_": str(1 << 26)}


def show(done, total, started, spent, run):
    left = spent / done * (total - done) if done else 0
    print(f"[{done}/{total}] {datetime.timedelta(seconds=int(time.time() - started))} gone, "
          f"about {datetime.timedelta(seconds=int(left))} left: {run}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", required=True, choices=sorted(plans.PLANS))
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"), help="where the trainers are")
    parser.add_argument("--out", type=pathlib.Path, help="folder for results; by default build/study")
    parser.add_argument("--text", type=pathlib.Path, default=TEXT)
    parser.add_argument("--images", type=pathlib.Path, default=IMAGES)
    parser.add_argument("--family", help="only the runs of this family")
    parser.add_argument("--axis", help="only the runs of this axis")
    parser.add_argument("--minutes", type=float, help="begin no run after so long")
    parser.add_argument("--list", action="store_true", help="print the commands and run nothing")
    options = parser.parse_args()
    folder = options.out or pathlib.Path("build/study")
    runs = [run for run in plans.PLANS[options.plan]()
            if options.family in (None, run["family"]) and options.axis in (None, run["axis"])]
    if options.list:
        for run in runs:
            print(" ".join(command(run, options.build, {"text": "TEXT", "images": "IMAGES"}, "SUMMARY")))
        return
    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / f"{options.plan}.jsonl"
    have = {json.loads(line)["id"] for line in lines.read_text().splitlines()} if lines.exists() else set()
    places = prepare_places(runs, folder, options.text, options.images)
    for line in lines.read_text().splitlines() if lines.exists() else []:
        line = json.loads(line)
        for run in runs:
            if identity(run) == line["id"] and data_of(run, places) != line.get("data", ""):
                sys.exit(f"study.py: {lines} has runs on '{line.get('data')}', not on '{data_of(run, places)}'; name another --out")
    todo, seen = [], set(have)
    for run in runs:
        if identity(run) not in seen:
            seen.add(identity(run))
            todo.append(run)
    print(f"{len(have)} runs are done already, {len(todo)} to go")
    started, spent, failed = time.time(), 0.0, []
    for number, run in enumerate(todo):
        if options.minutes is not None and time.time() - started > 60 * options.minutes:
            print(f"study.py: {len(todo) - number} runs are left for another time")
            break
        show(number, len(todo), started, spent, f"{run['family']} {run['axis']} {run['variant']} C={run['coverage']} "
             f"{run['budget']} N={run['workers']} seed {run['seed']} {run['extra'] or ''}")
        begin = time.time()
        with tempfile.TemporaryDirectory() as scratch:
            summary = pathlib.Path(scratch) / "summary.json"
            done = subprocess.run(command(run, options.build, places, summary), capture_output=True, text=True,
                                  env={**os.environ, **ENVIRONMENT})
            if done.returncode != 0:
                failed.append(identity(run))
                print(f"study.py: status {done.returncode}: {' '.join(done.args)}\n{done.stderr}", file=sys.stderr)
                continue
            try:
                result = digest(json.loads(summary.read_text()))
            except ValueError as error:
                failed.append(identity(run))
                print(f"study.py: {error}: {' '.join(done.args)}", file=sys.stderr)
                continue
        spent += time.time() - begin
        line = {key: run[key] for key in ("family", "axis", "variant", "coverage", "budget", "workers", "seed", "extra")}
        line |= {"id": identity(run), "data": data_of(run, places), "result": result, "seconds": round(time.time() - begin, 1),
                 "date": datetime.date.today().isoformat(), "machine": machine()}
        with open(lines, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    if failed:
        sys.exit(f"study.py: {len(failed)} runs failed")


if __name__ == "__main__":
    main()
