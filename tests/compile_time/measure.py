#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""measure.py [--runs N] [--compiler g++] [--write]: measures how long a unit compiles that includes the library.

Prints a Markdown table of user seconds, the least of N runs, and of the compiler's peak memory; the kernel counts both. The
umbrella headers of Boost.MPI and libtorch are measured beside the library, where they are found. Measure on an idle machine: other
compilers that run at the same time raise user time by half. --write puts the table between the markers in docs/contributing.md."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, Optional

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs" / "contributing.md"
BEGIN, END = "<!-- compile times: begin -->", "<!-- compile times: end -->"
SEPARATE = ("-DSDP_SEPARATE_COMPILATION",)


class Unit(NamedTuple):
    name: str
    source: str  # a path below the project, or text
    flags: tuple
    bound_s: Optional[float] = None
    bound_mb: Optional[float] = None
    needs: str = ""  # "", "mpi" or "torch"


EXTERN = ("#include <sdp/sdp.hpp>\nextern template class sdp::synchronizer<sdp::thread_communicator>;\n")
UNITS = (
    Unit("`sdp/sdp.hpp` at -O0", "#include <sdp/sdp.hpp>\n", ("-O0",), 2.5, 350),
    Unit("`examples/quickstart.cpp` at -O2", "examples/quickstart.cpp", ("-O2",), 7, 550),
    Unit("`examples/mpi_step.cpp` at -O2", "examples/mpi_step.cpp", ("-O2",), 7, None, "mpi"),
    Unit("with `SDP_SEPARATE_COMPILATION`: `sdp/sdp.hpp` at -O0", "#include <sdp/sdp.hpp>\n", ("-O0", *SEPARATE), 2.5, 350),
    Unit("… `examples/quickstart.cpp` at -O2", "examples/quickstart.cpp", ("-O2", *SEPARATE), 7, 550),
    Unit("… `examples/mpi_step.cpp` at -O2", "examples/mpi_step.cpp", ("-O2", *SEPARATE), 7, None, "mpi"),
    Unit("… `examples/quickstart.cpp` at -O2, with `extern template` of the synchronizer",
         EXTERN + f'#include "{PROJECT}/examples/quickstart.cpp"\n', ("-O2", *SEPARATE)),
    Unit("… once per program: `sdp/src/src.cpp` at -O2", "include/sdp/src/src.cpp", ("-O2", *SEPARATE)),
    Unit("for comparison: the standard headers that the library includes, at -O0", "", ("-O0",)),
    Unit("`boost/mpi.hpp` at -O0", "#include <boost/mpi.hpp>\n", ("-O0",), None, None, "mpi"),
    Unit("`torch/torch.h` at -O0", "#include <torch/torch.h>\n", ("-O0",), None, None, "torch"),
)


def standard_headers():
    """Returns the includes of all headers and definitions that are in angle brackets and name no folder."""
    names = set()
    for file in (PROJECT / "include" / "sdp").rglob("*.?pp"):
        names.update(re.findall(r"^#include <([a-z_0-9]+)>$", file.read_text(encoding="utf-8"), re.M))
    return "".join(f"#include <{name}>\n" for name in sorted(names))


def extra_flags(needs):
    """Returns the switches for a dependency, or None if it was not found."""
    if needs == "mpi":
        try:
            out = subprocess.run(["mpicxx", "--showme:compile"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return out.stdout.split()
    if needs == "torch":
        for base in (Path("/usr/include"), Path("/usr/local/include")):
            for api in (base / "torch/csrc/api/include", base):
                if (api / "torch" / "torch.h").is_file():
                    # -isystem /usr/include would put C's headers before those of C++.
                    return ["-isystem", str(api)] if base == Path("/usr/include") else ["-isystem", str(base), "-isystem", str(api)]
        return None
    return []


def compile_once(compiler, source, flags):
    """Returns user seconds, and megabytes at the peak."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([compiler, "-std=c++20", *flags, f"-I{PROJECT}/include", "-c", str(source), "-o", os.devnull],
                                   stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            sys.exit(f"measure.py: {compiler} could not compile {source}: {said.read().decode()[:2000]}")
    # The kernel counts the compiler's children with it, since it has waited for them.
    return usage.ru_utime, usage.ru_maxrss / 1024


def measure(compiler, runs):
    rows = []
    for unit in UNITS:
        extra = extra_flags(unit.needs)
        if extra is None:
            print(f"measure.py: {unit.name} is left out: {unit.needs} was not found", file=sys.stderr)
            continue
        if unit.source.startswith(("examples/", "include/")):
            results = [compile_once(compiler, PROJECT / unit.source, (*unit.flags, *extra)) for _ in range(runs)]
        else:
            with tempfile.NamedTemporaryFile("w", suffix=".cpp", encoding="utf-8") as text:
                text.write(unit.source or standard_headers())
                text.flush()
                results = [compile_once(compiler, text.name, (*unit.flags, *extra)) for _ in range(runs)]
        rows.append((unit, min(r[0] for r in results), max(r[1] for r in results)))
        print(f"{rows[-1][1]:6.2f} s {rows[-1][2]:5.0f} MB  {unit.name}", file=sys.stderr)
    return rows


def table(rows):
    def bound(measured, value, unit):
        if value is None:
            return ""
        return f" (bound {value:g} {unit}{'' if measured <= value else ', missed'})"

    lines = ["| unit | user time | peak memory |", "|---|---|---|"]
    for unit, seconds, megabytes in rows:
        lines.append(f"| {unit.name} | {seconds:.1f} s{bound(seconds, unit.bound_s, 's')} | {megabytes:.0f} MB{bound(megabytes, unit.bound_mb, 'MB')} |")
    return "\n".join(lines)


def write(text):
    document = DOCUMENT.read_text(encoding="utf-8")
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        sys.exit(f"measure.py: {DOCUMENT} lacks the markers {BEGIN} and {END}, or has them more than once; expected each once")
    before, rest = document.split(BEGIN)
    DOCUMENT.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.split(END)[1], encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--write", action="store_true", help="into docs/contributing.md")
    arguments = parser.parse_args()
    version = subprocess.run([arguments.compiler, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    text = table(measure(arguments.compiler, arguments.runs)) + f"\n\n{version}, the least of {arguments.runs} runs."
    print(text)
    if arguments.write:
        write(text)


if __name__ == "__main__":
    main()
