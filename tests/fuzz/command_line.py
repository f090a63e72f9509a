"""The command line: any words end in an answer or in one line of error, never in a traceback."""

import os

from click.testing import CliRunner
from hypothesis import strategies as st

from fuzz.files import FILE, folder, write
from fuzz.targets import Fault, need, target
from qpsbgd.cli import main

WORDS = (
    "", "0", "-1", "1", "1e-9", "inf", "-inf", "nan", "1e400", "2147483647", "2147483648", "sa",
    "tabu", "exhaustive", "x", "../../x", "/", "/dev/null/x", "~", "$(touch injected)",
    "`touch injected`", "; touch injected", "-", "--", "\u00e9", "a" * 5000, "{}", "[]",
    '{"a": 1}',
)  # fmt: skip
#: Options of a command, and whether a word follows.
SOLVE_OPTIONS = (
    "--solver", "--target", "--seed", "--threads", "--format", "--out", "--maximize", "--minimize",
    "--json", "--unknown",
)  # fmt: skip
PLAN_OPTIONS = (
    "--topology", "--reads", "--mock", "--epochs", "--batch-size", "--json", "--unknown",
)  # fmt: skip
TRAIN_OPTIONS = (
    "--lr", "--epochs", "--batch-size", "--seed", "--sampler", "--sampler-options", "--projector",
    "--mock", "--json",
)  # fmt: skip
FLAGS = ("--maximize", "--minimize", "--json", "--unknown")
TIME_LIMITS = ("0.01", "0.02", "0", "-1", "nan", "x", "")

words = st.sampled_from(WORDS)


def options(names):
    return st.lists(st.tuples(st.sampled_from(names), words), max_size=3)


def joined(pairs):
    for name, word in pairs:
        yield name
        if name == "--threads":
            yield word if word in ("0", "-1", "1", "x") else "2"
        elif name not in FLAGS:
            yield word


def invoke(*arguments):
    """Run the command line in this process, in the folder of this process."""
    before = os.getcwd()
    os.chdir(folder())
    try:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        need(not os.path.exists("injected"), "a word reached a shell")
    finally:
        os.chdir(before)
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        raise Fault(f"{type(error).__name__}: {str(error)[:200]}") from error
    need(result.exit_code in (0, 1, 2), f"exit code {result.exit_code}")


@target(
    **FILE,
    time_limit=st.sampled_from(TIME_LIMITS),
    pairs=options(SOLVE_OPTIONS),
    other=st.one_of(st.none(), st.none(), words),
)
def solve_command(file, changes, seed, time_limit, pairs, other):
    path = write(file, changes, seed) if other is None else other
    invoke("solve", path, "--time-limit", time_limit, *joined(pairs))


@target(dataset=words, pairs=options(PLAN_OPTIONS))
def plan_command(dataset, pairs):
    invoke("plan", dataset, *joined(pairs))


@target(dataset=st.one_of(st.just("digits"), words), run=words, pairs=options(TRAIN_OPTIONS))
def train_command(dataset, run, pairs):
    invoke("train", dataset, "--resume", run, *joined(pairs))


@target(
    command=st.sampled_from(("info", "unknown")),
    first=words,
    pairs=options(("--seeds", "--setting", "--json")),
)
def other_commands(command, first, pairs):
    invoke(command, *([] if command == "info" else [first]), *joined(pairs))
