#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Puts a study's lines into tables and plots.

    report.py build/study/cpu.jsonl --document docs/results.md --plots docs/results

In the document, what stands between `<!-- table: NAME -->` and `<!-- end -->` is replaced by the table of that name. Every
figure is a mean over seeds with its standard error; a difference to plain data parallelism is taken seed by seed (the same
seed gives the same weights and data), and is called significant by a paired t-test, two-sided, at 5 %.
"""

import argparse
import collections
import json
import math
import pathlib
import re
import statistics
import sys

import plans

# Two-sided 5 % points of Student's t by degrees of freedom.
T_LIMIT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
COLOURS = {"block forward": "#0072b2", "neuron forward": "#d55e00", "block backward": "#56b4e9", "neuron backward": "#e69f00",
           "dense": "#000000"}
# Of the small models: branches of one size; neurons of the largest group. The ResNet's branches are of many sizes.
UNIT_COUNTS = {("llama", "block"): 8, ("llama", "neuron"): 512, ("resnet", "neuron"): 64}
UNITS = {"llama": "nats per byte", "resnet": "nats per image"}


def mean_error(values):
    """Mean and standard error; no error of a single value."""
    mean = statistics.fmean(values)
    return mean, statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def text(values, digits=3, scale=1):
    if not values:
        return ""
    mean, error = mean_error([scale * v for v in values])
    return f"{mean:.{digits}f}" + (f" ± {error:.{digits}f}" if error is not None else "")


def mib(value):
    return f"{value / 2**20:,.1f}"


def known(value):
    """Bytes that workers who share a device cannot tell apart are 0."""
    return mib(value) if value else "–"


class Lines:
    def __init__(self, path):
        self.all = [json.loads(line) for line in path.read_text().splitlines()]

    def pick(self, **wanted):
        return [line for line in self.all if all(line[key] == value for key, value in wanted.items())]

    def losses(self, lines):
        return {line["seed"]: line["result"]["final_heldout_loss"] for line in lines}

    def families(self):
        return list(dict.fromkeys(line["family"] for line in self.all))

    def dense(self, family, workers=8):
        """The runs of plain data parallelism by the number of workers; any number if there is none with that."""
        mine = self.pick(family=family, axis="dense", workers=workers)
        return mine or self.pick(family=family, axis="dense")


def budget_name(budget):
    return "equal steps" if budget == "equal" else "equal FLOPs"


def difference(ours, dense):
    """Ours less plain data parallelism's, over the seeds that both have, and whether it is significant."""
    pairs = [ours[seed] - dense[seed] for seed in ours if seed in dense]
    if not pairs:
        return ""
    mean, error = mean_error(pairs)
    if error is None:
        return f"{mean:+.3f}"
    star = " *" if error > 0 and abs(mean / error) > T_LIMIT.get(len(pairs) - 1, 2.26) else ""
    return f"{mean:+.3f} ± {error:.3f}{star}"


def share_of(line):
    """Held of what can be split, in percent, of the worker that holds most."""
    maskable = line["result"]["maskable_parameters"]
    return 100 * line["result"]["held_maskable_parameters"] / maskable if maskable else 100


def table(header, rows):
    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(out + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def by(lines, key):
    out = collections.defaultdict(list)
    for line in lines:
        out[key(line)].append(line)
    return out


def coverage_table(data, family):
    dense = data.losses(data.dense(family))
    accuracy = any("final_heldout_accuracy" in line["result"] for line in data.pick(family=family))
    rows = [["plain data parallelism", "1", ""] + amount(data.dense(family)) + [text(list(dense.values())), ""]
            + ([accuracy_of(data.dense(family))] if accuracy else [])]
    cells = by(data.pick(family=family, axis="coverage"), lambda l: (l["variant"], l["coverage"], l["budget"]))
    order = [" ".join(v) for v in plans.VARIANTS]
    for variant, c, budget in sorted(cells, key=lambda k: (order.index(k[0]), k[1], k[2])):
        lines = cells[variant, c, budget]
        ours = data.losses(lines)
        rows.append([variant, f"{c:g}", budget_name(budget)] + amount(lines)
                    + [text(list(ours.values())), difference(ours, dense)] + ([accuracy_of(lines)] if accuracy else []))
    item = "tokens" if "tokens" in data.dense(family)[0]["result"] else "images"
    return table(["method", "C", "budget", "steps", f"{item}, thousands", "seeds",
                  f"held-out loss, {UNITS.get(family.split('-')[0], 'nats')}", "less plain"]
                 + (["accuracy, %"] if accuracy else []), rows)


def orderings_table(data, family):
    """Variants against each other, seed by seed."""
    cells = {key: data.losses(lines) for key, lines in by(
        data.pick(family=family, axis="coverage"), lambda l: (l["variant"], l["coverage"], l["budget"])).items()}
    rows = []

    def compare(what, budget, c, ours, other):
        if len(cells.get(ours, {})) > 1 and len(cells.get(other, {})) > 1:
            rows.append([what, f"{c:g}", budget_name(budget), difference(cells[ours], cells[other])])

    coverages = sorted({c for _, c, _ in cells})
    for budget in ("equal", "flops"):
        for masking in ("forward", "backward"):
            for c in coverages:
                compare(f"blocks less neurons, {masking}", budget, c, (f"block {masking}", c, budget), (f"neuron {masking}", c, budget))
        for part in ("block", "neuron"):
            for c in coverages:
                compare(f"forward less backward, {part}s", budget, c, (f"{part} forward", c, budget), (f"{part} backward", c, budget))
        for variant in (" ".join(v) for v in plans.VARIANTS):
            compare(f"C = 1/4 less C = 1/2, {variant}", budget, 0.25, (variant, 0.25, budget), (variant, 0.5, budget))
    return table(["compared", "C", "budget", f"difference, {UNITS.get(family.split('-')[0], 'nats')}"], rows) if rows else "Not run yet."


def amount(lines):
    """What each of some runs trained on, and how many there are."""
    r = lines[0]["result"]
    return [str(r["steps"]), f"{r.get('tokens', r.get('images')) / 1000:,.0f}", str(len(lines))]


def accuracy_of(lines):
    return text([line["result"]["final_heldout_accuracy"] for line in lines if "final_heldout_accuracy" in line["result"]], 2, 100)


def cost_table(data, family):
    """Memory and traffic of the worker that needs most, at equal steps."""
    rows = []
    order = [" ".join(v) for v in plans.VARIANTS]
    lines = data.dense(family)[:1] \
        + sorted(data.pick(family=family, axis="coverage", budget="equal", seed=1),
                 key=lambda l: (order.index(l["variant"]), l["coverage"])) \
        + data.pick(family=family, axis="baseline", budget="equal", seed=1)
    for line in lines:
        r = line["result"]
        rows.append([name_of(line), f"{share_of(line):.0f}", mib(r["value_bytes"] + r["gradient_bytes"] + r["optimizer_bytes"]),
                     known(r["activation_peak_bytes"]), known(r["peak_bytes"]), mib(r["bytes_sent_per_step"]),
                     f"{r['spectral_gap']:.3f}" if line["variant"] != "dense" else "", f"{r['final_heldout_loss']:.3f}"])
    return table(["method", "held of what can be split, %", "values + gradients + optimizer, MiB",
                  "in a pass beyond the state, MiB", "peak, MiB", "sent per step, MiB", "spectral gap", "loss, seed 1"], rows)


def name_of(line):
    extra = " ".join(key if value is True else f"{key} {value}" for key, value in line["extra"].items())
    coverage = f" C={line['coverage']:g}" if line["variant"] != "dense" or line["extra"].get("--shrink") in ("neuron", "block") else ""
    name = "plain data parallelism" if line["variant"] == "dense" else line["variant"]
    return f"{name}{coverage}" + (f" `{extra}`" if extra else "")


def extras_table(data, family, axis):
    lines = data.pick(family=family, axis=axis)
    if not lines:
        return "Not run yet."
    reference = by(data.pick(family=family, axis="coverage"), lambda l: (l["variant"], l["coverage"], l["budget"], l["workers"]))
    rows = []
    for key, group in by(lines, lambda l: (name_of(l), l["workers"], l["budget"])).items():
        ours, first = data.losses(group), group[0]
        plain = data.losses(reference.get((first["variant"], first["coverage"], first["budget"], key[1]), []))
        dense = data.losses(data.pick(family=family, axis="dense", workers=key[1]))
        accuracy = accuracy_of(group)
        held = 100 * first["result"]["held_parameters"] / data.dense(family)[0]["result"]["full_parameters"]
        rows.append([key[0] + ("" if key[1] == 8 else f", N = {key[1]}"), budget_name(key[2]), str(len(group)), f"{held:.0f}",
                     text(list(ours.values())), difference(ours, dense), difference(ours, plain) if plain else "", accuracy])
    header = ["method", "budget", "seeds", "trained by a worker, % of the model", "held-out loss", "less plain data parallelism", "less the same without it", "accuracy, %"]
    keep = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return table([header[i] for i in keep], [[row[i] for i in keep] for row in rows])


def number(value, digits=3):
    return "–" if value is None else f"{value:.{digits}f}"


def left_out(line):
    """Share of the couplings between two units that no common holder computes, for balanced holders: of U units each holder has
    kU/N, so it has a given other one with probability (kU/N − 1)/(U − 1)."""
    units = UNIT_COUNTS.get((line["family"], line["variant"].split()[0]))
    return None if units is None else 1 - (line["coverage"] * units - 1) / (units - 1)


def alignment_table(data, family):
    rows = []
    for line in data.pick(family=family, axis="alignment"):
        for probe in line["result"]["alignment"]:
            rows.append([line["variant"], f"{line['coverage']:g}", probe["step"]]
                        + [number(probe[key]) for key in ("to_full", "pairwise", "bias", "bias_over_masks")]
                        + [number(left_out(line)) if line["variant"].endswith("forward") else "0"])
    if not rows:
        return "Not run yet."
    return table(["method", "C", "step", "cosine to the full model's gradient", "cosine between two workers", "bias, own masks",
                  "bias, masks drawn anew", "couplings left out"], rows)


def straggler_name(line):
    balance = line["extra"].get("--balance")
    how = "" if balance is None else ", not balanced" if balance == "none" else f", balanced by {balance}"
    return name_of(line).split(" `")[0] + how


def straggler_table(data, family):
    rows = []
    for line in data.pick(family=family, axis="straggler"):
        steps = line["result"]["steps"]
        for rank, (computing, waiting, exchanging) in enumerate(line["result"]["breakdown"]):
            rows.append([straggler_name(line), rank] + [f"{1000 * x / steps:.1f}" for x in (computing, waiting, exchanging)])
    if not rows:
        return "Not run yet."
    return table(["method", "worker", "computing, ms per step", "waiting, ms", "exchanging, ms"], rows)


def memory_table(data, family):
    lines = data.pick(family=family, axis="memory")
    if not lines:
        return "Not run yet."
    whole = lines[0]["result"]["peak_bytes"]
    rows = []
    for line in lines:
        r = line["result"]
        rest = r["peak_bytes"] - r["value_bytes"] - r["optimizer_bytes"] - r["gradient_bytes_at_peak"]
        rows.append([name_of(line), f"{share_of(line):.0f}"] + [mib(r[key]) for key in (
            "value_bytes", "gradient_bytes_at_peak", "optimizer_bytes")] + [mib(rest), mib(r["peak_bytes"]),
            f"{100 * (r['peak_bytes'] / whole - 1):+.1f}", mib(r["exchange_buffer_bytes"])])
    return table(["method", "held of what can be split, %", "values", "gradients at the peak", "optimizer",
                  "activations and workspace", "peak", "against plain, %", "buffers of messages"], rows)


def provenance(data):
    dates, machines = {l["date"] for l in data.all}, {l["machine"] for l in data.all}
    hours = sum(l["seconds"] for l in data.all) / 3600
    return f"{len(data.all)} runs, {hours:.1f} hours, {', '.join(sorted(dates))}, {'; '.join(sorted(machines))}."


def tables(data):
    out = {"provenance": provenance(data)}
    for family in data.families():
        if data.dense(family):
            out[f"coverage {family}"] = coverage_table(data, family)
            out[f"orderings {family}"] = orderings_table(data, family)
            out[f"cost {family}"] = cost_table(data, family)
            out[f"baselines {family}"] = extras_table(data, family, "baseline")
            out[f"switches {family}"] = extras_table(data, family, "switch")
            out[f"rates {family}"] = extras_table(data, family, "rate")
            out[f"alignment {family}"] = alignment_table(data, family)
            out[f"stragglers {family}"] = straggler_table(data, family)
        out[f"memory {family}"] = memory_table(data, family)
    return out


def plot(data, family, folder):
    try:
        import matplotlib
    except ImportError:
        sys.exit("report.py: plots need matplotlib (Debian package: python3-matplotlib)")
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "sdp"  # the same figures give the same file
    from matplotlib import pyplot

    def save(figure, name):
        figure.tight_layout()
        figure.savefig(folder / f"{name}-{family}.svg", metadata={"Date": None})
        pyplot.close(figure)

    dense = list(data.losses(data.dense(family)).values())
    unit = UNITS.get(family.split("-")[0], "nats")
    cells = by(data.pick(family=family, axis="coverage", workers=8) or data.pick(family=family, axis="coverage"),
               lambda l: (l["variant"], l["budget"]))
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for axis, budget in zip(axes, ("equal", "flops")):
        axis.axhline(statistics.fmean(dense), color=COLOURS["dense"], linewidth=1, label="plain data parallelism")
        for variant in (" ".join(v) for v in plans.VARIANTS):
            points = sorted((c, mean_error([l["result"]["final_heldout_loss"] for l in lines]))
                            for c, lines in by(cells.get((variant, budget), []), lambda l: l["coverage"]).items())
            if points:
                axis.errorbar([c for c, _ in points], [m for _, (m, _) in points], [e or 0 for _, (_, e) in points],
                              color=COLOURS[variant], marker="o", markersize=3, linewidth=1, capsize=2, label=variant)
        axis.set(xlabel="coverage C", title=budget_name(budget))
    axes[0].set_ylabel(f"held-out loss, {unit}")
    axes[1].legend(fontsize=7)
    save(figure, "coverage")

    for name, label, of in (("memory", "peak tensor memory of a worker, MiB", lambda r: r["peak_bytes"] / 2**20),
                            ("traffic", "sent per worker and step, MiB", lambda r: r["bytes_sent_per_step"] / 2**20)):
        if not all(of(l["result"]) for l in data.dense(family)):
            continue  # not known where workers share a device
        figure, axis = pyplot.subplots(figsize=(6, 4))
        lines = data.pick(family=family, axis="coverage", budget="flops") + data.pick(family=family, axis="switch", budget="flops")
        for (variant, rescaled), group in by(lines, lambda l: (l["variant"], "--rescale" in l["extra"])).items():
            points = sorted((statistics.fmean([of(l["result"]) for l in same]),
                             statistics.fmean([l["result"]["final_heldout_loss"] for l in same]))
                            for same in by(group, lambda l: l["coverage"]).values())
            axis.plot(*zip(*points), "--" if rescaled else "-", color=COLOURS[variant], marker="o", markersize=3, linewidth=1,
                      label=f"{variant}{', rescaled' if rescaled else ''}, equal FLOPs")
        rest = data.dense(family) + data.pick(family=family, axis="baseline")
        for number, (key, same) in enumerate(by(rest, lambda l: (name_of(l), l["budget"])).items()):
            axis.plot(statistics.fmean([of(l["result"]) for l in same]),
                      statistics.fmean([l["result"]["final_heldout_loss"] for l in same]), linestyle="", markersize=5,
                      marker="sv^<>DPXdph8*"[number % 13], color="#000000" if number == 0 else "#777777",
                      label=key[0].replace("`", "") + (", equal FLOPs" if key[1] == "flops" else ""))
        axis.set(xlabel=label, ylabel=f"held-out loss, {unit}")
        axis.legend(fontsize=6, ncols=1, loc="center left", bbox_to_anchor=(1, 0.5))
        save(figure, name)

    lines = data.pick(family=family, axis="alignment")
    if lines:
        figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6))
        for line in lines:
            probes = line["result"]["alignment"]
            style = {0.25: ":", 0.5: "--", 0.75: "-"}.get(line["coverage"], "-.")
            for axis, key in zip(axes, ("to_full", "bias")):
                axis.plot([p["step"] for p in probes], [math.nan if p[key] is None else p[key] for p in probes], style,
                          color=COLOURS[line["variant"]], marker="o", markersize=3, linewidth=1, label=f"{line['variant']} C={line['coverage']:g}")
        axes[0].set(xlabel="step", ylabel="cosine to the full model's gradient")
        axes[1].set(xlabel="step", ylabel="bias of the mean over holders, relative")
        axes[1].legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5))
        save(figure, "alignment")


    lines = data.pick(family=family, axis="straggler")
    if lines:
        names, spent = [], []
        for line in lines:
            for rank, times in enumerate(line["result"]["breakdown"]):
                names.append(f"{straggler_name(line)}, worker {rank}")
                spent.append([1000 * x / line["result"]["steps"] for x in times])
        figure, axis = pyplot.subplots(figsize=(7, 0.6 + 0.3 * len(names)))
        left = [0.0] * len(names)
        for what, colour, widths in zip(("computing", "waiting", "exchanging"), ("#0072b2", "#bbbbbb", "#d55e00"), zip(*spent)):
            axis.barh(names, widths, left=left, color=colour, label=what)
            left = [a + b for a, b in zip(left, widths)]
        axis.invert_yaxis()
        axis.set(xlabel="ms per step")
        axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
        save(figure, "stragglers")


PLOTS_OF = {  # by table
    "coverage": [("coverage", "Held-out loss against coverage")],
    "cost": [("memory", "Loss against memory"), ("traffic", "Loss against traffic")],
    "alignment": [("alignment", "Alignment and bias of gradients")],
    "stragglers": [("stragglers", "Computing, waiting and exchanging")],
}


def fill(path, made, plots):
    """Puts each table in its place, behind its plots."""

    def content(found):
        name = found[2]
        kind, _, family = name.partition(" ")
        images = [f"![{title}, {family}]({(plots / f'{plot}-{family}.svg').relative_to(path.parent)})"
                  for plot, title in (PLOTS_OF.get(kind, []) if plots else []) if (plots / f"{plot}-{family}.svg").exists()]
        return f"{found[1]}\n" + "".join(image + "\n\n" for image in images) + f"{made.get(name, 'Not run yet.')}\n\n{found[3]}"

    place = re.compile(r"(<!-- table: ([^>]*) -->\n).*?(<!-- end -->)", re.DOTALL)
    path.write_text(place.sub(content, path.read_text()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=pathlib.Path)
    parser.add_argument("--document", type=pathlib.Path, help="Markdown with places for tables; without it they are printed")
    parser.add_argument("--plots", type=pathlib.Path, help="folder for plots, as SVG")
    options = parser.parse_args()
    data = Lines(options.lines)
    if not data.all:
        sys.exit(f"report.py: {options.lines} has no runs")
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        for family in data.families():
            if data.dense(family):
                plot(data, family, options.plots)
    made = tables(data)
    if options.document:
        fill(options.document, made, options.plots)
    else:
        for name, content in made.items():
            print(f"## {name}\n\n{content}\n")


if __name__ == "__main__":
    main()
