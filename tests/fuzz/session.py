"""A fuzzing session: workers that check cases, and a parent that watches them."""

import argparse
import contextlib
import faulthandler
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from fuzz.targets import TARGETS, Target, load_topics, parse_case, print_case

#: Cases that Hypothesis draws before it is given a new seed.
CASES_PER_ROUND = 300
#: Seconds that a fault is shrunk for.
SHRINK_SECONDS = 10.0
#: Crashes and hangs after which a target is left: each costs a new worker.
CRASHES_MAX = 5
#: Bytes of memory that a worker may map; a file must not make it ask for more.
MEMORY_LIMIT = 32 << 30
#: Cases that a worker checks however late it is: some targets read data sets first.
LEAST_CASES = 50
#: Exit status of a worker that faulthandler ended because a case took too long.
HANG_STATUS = 1


@dataclass
class Fault:
    """Case that violates a property or ends its process."""

    target: str
    case: str
    kind: str
    message: str
    place: str = ""

    @property
    def signature(self) -> str:
        """Text by which equal faults are recognised."""
        return f"{self.target} {self.kind} {self.place}"


@dataclass
class Outcome:
    """Result of fuzzing a target: cases, seconds and faults."""

    target: str
    num_cases: int = 0
    seconds: float = 0.0
    faults: dict[str, Fault] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, fault: Fault, count: int = 1) -> None:
        """Count a fault, and keep the shortest case of it."""
        name = fault.signature
        self.counts[name] = self.counts.get(name, 0) + count
        kept = self.faults.get(name, fault)
        if (len(fault.case), fault.case) <= (len(kept.case), kept.case):
            self.faults[name] = fault


# ---- the worker --------------------------------------------------------------------------------


class Journal:
    """A file that always holds the number of cases begun, and the last of them."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self.num_cases = 0

    def begin(self, text: str) -> None:
        self.num_cases += 1
        content = f"{self.num_cases}\n{text}".encode()
        os.pwrite(self._file.fileno(), content, 0)
        os.ftruncate(self._file.fileno(), len(content))

    @staticmethod
    def read(path: Path) -> tuple[int, str]:
        count, _, text = path.read_text().partition("\n")
        return int(count or 0), text


def check_for(name: str, first_seed: int, end: float, hang: float, path: Path) -> Outcome:
    """Check cases of a target, drawn from `first_seed` on, until a time."""
    outcome, journal = Outcome(name), Journal(path)
    for round_seed in range(first_seed, first_seed + 10**6):
        if time.time() >= end and journal.num_cases >= LEAST_CASES:
            break
        check_round(outcome, round_seed, end, hang, journal)
    outcome.num_cases = journal.num_cases
    return outcome


def check_round(
    outcome: Outcome, round_seed: int, end: float, hang: float, journal: Journal
) -> None:
    """Check the cases of one seed. Shrink faults that the outcome does not hold yet."""
    name = outcome.target
    target: Target = TARGETS[name]
    known = set(outcome.faults)
    shrink_end = float("inf")

    @settings(
        max_examples=CASES_PER_ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @seed(round_seed)
    @given(case=target.cases)
    def check(case: dict[str, Any]) -> None:
        nonlocal shrink_end
        now = time.time()
        is_over = now >= end and journal.num_cases >= LEAST_CASES
        if is_over if shrink_end == float("inf") else now >= shrink_end:
            return  # the rest of the round does nothing
        text = print_case(name, case)
        journal.begin(text)
        faulthandler.dump_traceback_later(hang, exit=True)
        try:
            target.check(**case)
        except Exception as error:
            fault = as_fault(name, text, error)
            outcome.add(fault)
            if fault.signature in known:
                return
            shrink_end = min(shrink_end, now + SHRINK_SECONDS)
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()

    # Hypothesis raises what the check raised, after shrinking; `outcome` holds it already.
    with contextlib.suppress(Exception):
        check()


def as_fault(name: str, case: str, error: Exception) -> Fault:
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    return Fault(name, case, type(error).__name__, str(error)[:500], " ".join(places[-2:]))


def run_worker(arguments: argparse.Namespace) -> int:
    """Check cases in this process, and print the outcome as JSON."""
    faulthandler.enable()
    if "asan" not in os.environ.get("LD_PRELOAD", ""):  # it maps terabytes
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    importlib.import_module(arguments.topic)
    outcome = check_for(
        arguments.targets[0], arguments.seed, arguments.end, arguments.hang, arguments.worker
    )
    faults = [vars(fault) for fault in outcome.faults.values()]
    counts = [outcome.counts[fault.signature] for fault in outcome.faults.values()]
    print("\n" + json.dumps({"num_cases": outcome.num_cases, "faults": faults, "counts": counts}))
    return 0


# ---- the parent --------------------------------------------------------------------------------


def watch(name: str, first_seed: int, seconds: float, hang: float, folder: Path) -> Outcome:
    """Fuzz a target in worker processes, a new one after each crash."""
    outcome, begin, crashes = Outcome(name), time.time(), 0
    folder = folder / name
    folder.mkdir()
    journal = folder / "journal"
    while time.time() < begin + seconds and crashes < CRASHES_MAX:
        journal.write_text("")
        command = [
            sys.executable, "-m", "tests.fuzz", name, "--worker", journal, "--end", begin + seconds,
            "--topic", TARGETS[name].check.__module__,
            "--seed", first_seed + crashes * 10**6, "--hang", hang,
        ]  # fmt: skip
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, errors="replace",
            cwd=Path(__file__).parents[2], env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode == 0:
            found = json.loads(done.stdout.splitlines()[-1])
            outcome.num_cases += found["num_cases"]
            for fault, count in zip(found["faults"], found["counts"], strict=True):
                outcome.add(Fault(**fault), count)
            break
        num_cases, case = Journal.read(journal)
        outcome.num_cases += num_cases
        outcome.add(Fault(name, case, exit_kind(done), last_words(done.stderr)))
        crashes += 1
        if not case:
            break  # the worker does not even begin
    outcome.seconds = time.time() - begin
    return outcome


def exit_kind(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == HANG_STATUS and "Timeout (" in done.stderr:
        return "hang"
    if done.returncode < 0:
        return f"crash, {signal.Signals(-done.returncode).name}"
    return f"exit status {done.returncode}"


def last_words(text: str) -> str:
    """Return the report of a sanitizer, or the end of what a process wrote."""
    for sign in ("ERROR: AddressSanitizer", "runtime error:", "Fatal Python error", "Timeout ("):
        if sign in text:
            at = text.index(sign)
            return text[text.rfind("\n", 0, at) + 1 :][:1500]
    return text[-1500:]


def report(outcome: Outcome) -> None:
    """Print what became of a target."""
    number = len(outcome.faults)
    print(
        f"{outcome.target}: {outcome.num_cases} inputs in {outcome.seconds:.0f} s, "
        f"{number or 'no'} fault{'s'[: number != 1]}",
        flush=True,
    )
    for signature, fault in outcome.faults.items():
        print(f"    {fault.kind}, {outcome.counts[signature]} times: {fault.message}")
        if fault.place:
            print(f"    at {fault.place}")
        print(f"    {fault.case}", flush=True)


def main() -> int:
    """Run a session, a worker or one case, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz qpsbgd.")
    parser.add_argument("targets", nargs="*", help="default: all")
    parser.add_argument("--minutes", type=float, default=2.0, help="of the whole session")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--seed", type=int, default=0, help="sessions with one seed are alike")
    parser.add_argument("--hang", type=float, default=30.0, help="seconds that a case may take")
    parser.add_argument("--case", help="check this printed case alone, in this process")
    parser.add_argument("--list", action="store_true", help="print the targets")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--topic", help=argparse.SUPPRESS)
    parser.add_argument("--end", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return run_worker(arguments)
    missing = load_topics()
    for line in missing:
        print(f"left out {line}")
    if arguments.case:
        name, case = parse_case(arguments.case)
        TARGETS[name].check(**case)
        print("no fault")
        return 0
    unknown = set(arguments.targets) - set(TARGETS)
    if arguments.list or unknown:
        print(*sorted(TARGETS), sep="\n")
        return 2 if unknown else 0
    names = arguments.targets or list(TARGETS)
    seconds = 60 * arguments.minutes * min(arguments.jobs, len(names)) / len(names)
    outcomes = []
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as folder,
        ThreadPoolExecutor(arguments.jobs) as pool,
    ):
        calls = [
            pool.submit(watch, name, arguments.seed, seconds, arguments.hang, Path(folder))
            for name in names
        ]
        for call in calls:
            outcomes.append(call.result())
            report(outcomes[-1])
    faults = sum(len(outcome.faults) for outcome in outcomes)
    print(f"{sum(o.num_cases for o in outcomes)} inputs, {faults} faults")
    return 1 if faults else 0
