"""When kernels are compiled, and what is imported for it."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import bidder.cli
from config.compiled import inlined, kernel
from tests.waiting import SECONDS_MAX

COMPILING = """
import numba, sys
from config.compiled import compiled_once
from tests.config.test_compiled import quadruple
print("ready", flush=True)
sys.stdin.readline()
compiled_once(lambda: quadruple(3))
print(sum(quadruple._compiled.stats.cache_misses.values()))
"""
CHILDREN = ("port", "events", "admin", "training")


@inlined
def double(number: int) -> int:
    return 2 * number


@kernel
def quadruple(number: int) -> int:
    return double(double(number))


def test_a_kernel_is_compiled_by_its_first_call_and_once_for_each_type() -> None:
    assert quadruple(3) == quadruple.py_func(3) == 12
    assert quadruple(5) == 20
    assert len(quadruple.signatures) == 1
    assert quadruple(0.5) == 2.0  # type: ignore[arg-type] # a type that it was not compiled for
    assert len(quadruple.signatures) == 2


def test_no_process_and_no_command_imports_the_compiler_before_it_needs_it() -> None:
    modules = [f"bidder.{name}.main" for name in CHILDREN]
    modules += [f"bidder.cli.{module.name}" for module in pkgutil.iter_modules(bidder.cli.__path__)]
    assert "bidder.cli.serve" in modules
    code = f"import sys, {', '.join(modules)}; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_of_processes_that_start_together_one_compiles(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", COMPILING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=SECONDS_MAX)[0] for process in processes]
    assert sorted(said) == ["0\n", "1\n"]
