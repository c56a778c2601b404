# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the study runs: plans of training runs, each with the axes it is a point on.

A plan is a list of runs in the order of their use: what runs first says most, so that a study that is cut short is a smaller
study and not half of one.
"""

VARIANTS = [("block", "forward"), ("neuron", "forward"), ("block", "backward"), ("neuron", "backward")]


def work_factor(masking, coverage):
    """Steps that cost as much as one of plain data parallelism: 1/C under forward masking, which computes C of the maskable
    part; 3/(2+C) under backward masking, which saves only the weights' gradients, a third of the work."""
    return 1 / coverage if masking == "forward" else 3 / (2 + coverage)


class Family:
    """A model and its data: the options that all of its runs have in common."""

    def __init__(self, name, program, options, steps, batch):
        self.name, self.program, self.options, self.steps = name, program, options, steps
        self.batch = batch  # of all workers together, so that the number of workers changes nothing else

    def run(self, axis, seed=1, workers=8, variant=None, coverage=1, budget="equal", **more):
        """One run. `axis` says what it is there to show; `more` are further options, as the programs name them."""
        steps = self.steps
        options = dict(self.options)
        factor = more.pop("factor", 1)  # how much cheaper a step is than one of the whole model
        if variant:
            options.update({"--partition": variant[0], "--masking": variant[1], "--coverage": coverage})
        if budget == "flops":
            steps = round(steps * (work_factor(variant[1], coverage) if variant else factor))
        extra = {"--" + key.replace("_", "-"): value for key, value in more.items()}
        if more.get("shrink") in ("neuron", "block"):
            options["--coverage"] = coverage
        options.update(extra)
        options.update({"--workers": workers, "--batch": self.batch // workers, "--steps": steps, "--seed": seed})
        options.setdefault("--eval-every", 0)
        if "--eval-batches" in options:  # batches of a worker's size: the same samples whatever the number of workers
            options["--eval-batches"] = max(1, options["--eval-batches"] * workers // 8)
        return {
            "family": self.name, "program": self.program, "axis": axis, "variant": " ".join(variant) if variant else "dense",
            "coverage": coverage, "budget": budget, "workers": workers, "seed": seed, "extra": extra, "options": options,
        }


def grid(family, coverages, seeds, budgets=("equal", "flops"), workers=8, variants=VARIANTS):
    return [family.run("coverage", seed, workers, variant, c, budget)
            for variant in variants for c in coverages for budget in budgets for seed in seeds]


def dense(family, seeds, workers=8):
    return [family.run("dense", seed, workers) for seed in seeds]


def baselines(family, seeds, coverages=(0.25, 0.5)):
    """Single models to compare with, all trained by plain data parallelism."""
    out = []
    for seed in seeds:
        for c in coverages:
            out += [family.run("baseline", seed, coverage=c, dropout=1 - c),
                    family.run("baseline", seed, coverage=c, stochastic_depth=1 - c),
                    family.run("baseline", seed, coverage=c, budget="flops", stochastic_depth=1 - c, factor=1 / c)]
            for part in ("neuron", "block"):
                if family.name.startswith("resnet") and part == "block" and c < 0.5:
                    continue  # a stage keeps one block at least, which is half of them
                out += [family.run("baseline", seed, coverage=c, shrink=part),
                        family.run("baseline", seed, coverage=c, budget="flops", shrink=part, factor=1 / c)]
        out.append(family.run("baseline", seed, shrink="pinned"))
    # These change memory and time but not the loss, up to the order of additions.
    out += [family.run("baseline", seeds[0], owner_update=True), family.run("baseline", seeds[0], checkpoint=True)]
    return out


def switches(family, seeds, variants, changes, coverage=0.5):
    """One thing changed at a time."""
    return [family.run("switch", seed, variant=variant, coverage=coverage, **change)
            for seed in seeds for variant in variants for change in changes]


def rates(family, seeds, factors, variants, coverage=0.5, budget="flops"):
    """Learning rates around the default: what is best for one method need not be for another."""
    base = family.options["--lr"]
    out = []
    for seed in seeds:
        for factor in factors:
            out.append(family.run("rate", seed, lr=base * factor))
            out += [family.run("rate", seed, variant=v, coverage=coverage, budget=budget, lr=base * factor) for v in variants]
    return out


def alignment(family, variants, coverages, seed=1):
    return [family.run("alignment", seed, variant=v, coverage=c, probe_every=family.steps // 2) for v in variants for c in coverages]


def stragglers(family, seed=1):
    """Two workers, so that each has a core of two."""
    out = [family.run("straggler", seed, 2, breakdown=True, no_overlap=True)]
    for balance in ("parameters", "work", "none"):
        out.append(family.run("straggler", seed, 2, ("block", "forward"), 0.5, breakdown=True, no_overlap=True, balance=balance))
    for run in out:
        run["options"]["--steps"] = min(run["options"]["--steps"], 60)
    return out


def llama(steps=250, batch=32, **options):
    base = {"--data": "{text}", "--layers": 4, "--hidden": 128, "--heads": 4, "--ffn": 512, "--seq": 64, "--lr": 2e-3,
            "--eval-batches": 64}
    base.update({"--" + k.replace("_", "-"): v for k, v in options.items()})
    return Family("llama", "train_llama", base, steps, batch)


def resnet(steps=150, batch=128, **options):
    base = {"--data": "{images}", "--width": 8, "--lr": 0.1, "--bn": "recalibrate", "--eval-batches": 100}
    base.update({"--" + k.replace("_", "-"): v for k, v in options.items()})
    return Family("resnet", "train_resnet", base, steps, batch)


def smoke():
    """Every kind of run once, small."""
    text = llama(6, 8, layers=2, hidden=32, heads=4, ffn=48, seq=16, eval_batches=2)
    images = resnet(4, 16, width=4, eval_batches=2)
    out = []
    for family in (text, images):
        out += dense(family, (1, 2), 4) + [family.run("coverage", s, 4, v, 0.5, b) for v in VARIANTS for b in ("equal", "flops")
                                           for s in ((1, 2) if v == VARIANTS[0] else (1,))]
        out += [family.run("baseline", 1, 4, coverage=0.5, stochastic_depth=0.5), family.run("baseline", 1, 4, checkpoint=True)]
        out += [family.run("switch", 1, 4, VARIANTS[0], 0.5, pin="first"),
                family.run("alignment", 1, 4, VARIANTS[0], 0.5, probe_every=4)]
        out += stragglers(family)
    return out


def cpu():
    """Two cores, some two hours. Three seeds where variants are compared; one where a curve is filled in."""
    text, images = llama(), resnet()
    seeds, forward, backward = (1, 2, 3), VARIANTS[:2], VARIANTS[2:]
    out = []
    for family in (text, images):
        out += dense(family, seeds) + grid(family, (0.5,), seeds)
    for family in (text, images):
        out += grid(family, (0.25, 0.75), seeds, variants=forward)
        out += grid(family, (0.25,), seeds, variants=backward) + grid(family, (0.75,), (1,), variants=backward)
    for family in (text, images):
        out += baselines(family, seeds, (0.5,)) + stragglers(family)
        # Under backward masking a worker's gradient is the full model's where it has one, at any coverage.
        out += alignment(family, forward, (0.25, 0.5, 0.75)) + alignment(family, backward, (0.5,))
    # One thing changed at a time. The batch norm behind a branch's channels brings their sum to one size, however many there are, so
    # only whole branches are rescaled; and what AdamW makes of a gradient hardly depends on a factor, so SGD shows what a normalizer
    # does.
    pin, world = {"pin": "ends"}, {"normalizer": "world"}
    rescaled, norms = [{"rescale": "train"}, {"rescale": "eval"}], [{"bn": "batch"}, {"bn": "running"}]
    out += switches(images, seeds, forward, [pin, world] + norms)
    out += switches(images, seeds, forward[:1], rescaled + [{"balance": "work"}, {"balance": "none"}])
    out += switches(text, seeds, forward[:1], [world, pin] + rescaled) + switches(text, (1,), forward[1:], [world, pin] + rescaled)
    # With C = 1/4 the full model has four times the branches that a worker has seen.
    out += switches(text, seeds, forward, rescaled, 0.25)
    for coverage in (0.25, 0.5):
        out += switches(text, seeds, forward, [{"rescale": "eval", "budget": "flops"}], coverage)
    out += dense(text, seeds, 4) + switches(text, seeds, forward, [{"workers": 4}]) + switches(text, (1,), backward, [{"workers": 4}])
    for family in (images, text):
        out += rates(family, (1,), (0.5, 2), VARIANTS[:1])
        out += grid(family, (0.375, 0.625), (1,))
    return out


def gpu():
    """One card; LLaMA 60M and 130M on as much text as there is, the full ResNet-18. No stragglers: workers share the card."""
    out, families = [], []
    seeds, forward = (1, 2, 3), VARIANTS[:2]
    for model, batch, steps in (("60M", 128, 2000), ("130M", 128, 2000)):
        family = llama(steps, batch, model=model, seq=256, lr=1e-3, device="cuda", precision="bf16")
        for option in ("--layers", "--hidden", "--heads", "--ffn"):
            del family.options[option]
        family.name = "llama-" + model
        families.append(family)
        out += dense(family, seeds) + grid(family, (0.5, 0.25, 0.75), seeds if model == "60M" else (1,))
        out += baselines(family, (1,), (0.5,)) + alignment(family, forward, (0.25, 0.5, 0.75))
    text = families[0]
    images = resnet(4000, 512, width=64, device="cuda", precision="bf16")
    out += dense(images, seeds) + grid(images, (0.5, 0.25, 0.75, 0.375, 0.625), seeds) + baselines(images, seeds)
    out += alignment(images, forward, (0.25, 0.5, 0.75))
    pin, world = {"pin": "ends"}, {"normalizer": "world"}
    rescaled = [{"rescale": "train"}, {"rescale": "eval"}]
    out += switches(text, seeds, forward, [pin, world] + rescaled) + switches(text, seeds, forward, rescaled, 0.25)
    out += switches(images, seeds, forward, [pin, world, {"bn": "batch"}]) + switches(images, seeds, forward[:1], rescaled)
    for family in (text, images):
        for workers in (4, 16):
            out += switches(family, (1,), VARIANTS, [{"workers": workers}])
    return out


def memory(model="130M", device="cpu", batch=4, workers=8):
    """One worker's memory at its peak, without peers: no losses."""
    out = []
    family = llama(3, batch * workers, model=model, seq=256, memory_only=True, device=device)
    for option in ("--data", "--layers", "--hidden", "--heads", "--ffn"):
        del family.options[option]
    if device == "cpu":
        family.options["--threads"] = 2
    family.name = "llama-" + model
    out.append(family.run("memory"))
    out += [family.run("memory", variant=v, coverage=c) for v in VARIANTS for c in (0.25, 0.5, 0.75, 1)]
    out += [family.run("memory", owner_update=True), family.run("memory", checkpoint=True)]
    out += [family.run("memory", variant=VARIANTS[0], coverage=0.5, checkpoint=True),
            family.run("memory", variant=VARIANTS[0], coverage=0.5, owner_update=True)]
    return out


PLANS = {
    "smoke": smoke, "cpu": cpu, "gpu": gpu, "memory": memory,
    "memory-gpu": lambda: memory("1.3B", "cuda", 8),
}
