#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The arithmetic of the tables, against numbers worked out by hand, and what the plans must keep to."""

import json
import pathlib
import tempfile
import unittest

import plans
import report
import study


def line(seed, loss, axis="coverage", variant="block forward", coverage=0.5, budget="equal", **result):
    return {"family": "llama", "axis": axis, "variant": variant, "coverage": coverage, "budget": budget, "workers": 8, "seed": seed,
            "extra": {}, "id": f"{axis} {seed} {loss}", "seconds": 1800, "date": "2026-01-02", "machine": "a machine",
            "result": {"final_heldout_loss": loss} | result}


def lines_of(*entries):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "lines.jsonl"
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        return report.Lines(path)


class Report(unittest.TestCase):
    def test_standard_error(self):
        mean, error = report.mean_error([1.0, 2.0, 4.0])
        self.assertAlmostEqual(mean, 7 / 3)
        self.assertAlmostEqual(error, (7 / 3) ** 0.5 / 3**0.5)  # the variance is 7/3
        self.assertEqual(report.mean_error([5.0]), (5.0, None))
        self.assertEqual(report.text([1.0, 2.0, 3.0], 2), "2.00 ± 0.58")

    def test_paired_difference(self):
        dense = {1: 2.0, 2: 2.2, 3: 2.4}
        # Differences .1, .1, .1001: tiny error, far beyond 4.303 of them.
        self.assertTrue(report.difference({1: 2.1, 2: 2.3, 3: 2.5001}, dense).endswith("*"))
        # Differences −1, 0, 1: mean 0, error .577.
        self.assertEqual(report.difference({1: 1.0, 2: 2.2, 3: 3.4}, dense), "+0.000 ± 0.577")
        # Only seeds that both have.
        self.assertEqual(report.difference({3: 2.5, 4: 9.0}, dense), "+0.100")
        # t = 4.2 is not significant with three seeds, t = 4.4 is.
        for t, star in ((4.2, False), (4.4, True)):
            shift = t / 3**0.5  # of differences with deviation 1
            ours = {1: 2.0 + shift - 1, 2: 2.2 + shift, 3: 2.4 + shift + 1}
            self.assertEqual(report.difference(ours, dense).endswith("*"), star)

    def test_tables(self):
        trained = {"steps": 250, "tokens": 512000}
        data = lines_of(*(line(s, 2.0, "dense", "dense", 1, **trained) for s in (1, 2, 3)),
                        *(line(s, 2.5, **trained) for s in (1, 2, 3)))
        table = report.coverage_table(data, "llama")
        self.assertIn("| plain data parallelism | 1 |  | 250 | 512 | 3 | 2.000 ± 0.000 |  |", table)
        self.assertIn("| block forward | 0.5 | equal steps | 250 | 512 | 3 | 2.500 ± 0.000 | +0.500 ± 0.000", table)
        other = [line(s, loss, variant="neuron forward", **trained) for s, loss in ((1, 2.4), (2, 2.5), (3, 2.9))]
        both = lines_of(*(line(s, 2.5, **trained) for s in (1, 2, 3)), *other)  # differences .1, 0, −.4
        self.assertIn("| blocks less neurons, forward | 0.5 | equal steps | -0.100 ± 0.153 |", report.orderings_table(both, "llama"))
        self.assertEqual(report.orderings_table(lines_of(*other), "llama"), "Not run yet.")
        self.assertEqual(report.straggler_name(line(1, 2.0) | {"extra": {"--breakdown": True, "--balance": "none"}}),
                         "block forward C=0.5, not balanced")
        self.assertEqual(report.provenance(data), "6 runs, 3.0 hours, 2026-01-02, a machine.")


class Plans(unittest.TestCase):
    def test_budgets(self):
        self.assertEqual(plans.work_factor("forward", 0.25), 4)
        self.assertEqual(plans.work_factor("backward", 0.5), 1.2)
        run = plans.llama().run("coverage", 1, 8, ("neuron", "forward"), 0.5, "flops")
        self.assertEqual(run["options"]["--steps"], 2 * plans.llama().steps)
        self.assertEqual(plans.llama().run("baseline", shrink="block", coverage=0.5, budget="flops", factor=2)["options"]["--steps"],
                         2 * plans.llama().steps)

    def test_plans(self):
        for name, plan in plans.PLANS.items():
            runs = plan()
            self.assertTrue(runs, name)
            for run in runs:
                holders = run["coverage"] * run["workers"]
                self.assertEqual(holders, round(holders), study.identity(run))
                self.assertNotIn("--factor", run["options"])
                self.assertGreaterEqual(run["options"]["--batch"], 1)
                self.assertGreaterEqual(run["options"].get("--eval-batches", 1), 1)
        # A difference is claimed where there are three seeds; plain data parallelism has them too.
        for family in ("llama", "resnet"):
            seeds = {run["seed"] for run in plans.cpu() if run["family"] == family and run["axis"] == "dense"}
            self.assertEqual(seeds, {1, 2, 3})

    def test_identity(self):
        a, b = plans.llama().run("dense", 1), plans.llama().run("dense", 2)
        self.assertNotEqual(study.identity(a), study.identity(b))
        self.assertEqual(study.identity(a), study.identity(plans.llama().run("rate", 1)))


if __name__ == "__main__":
    unittest.main()
