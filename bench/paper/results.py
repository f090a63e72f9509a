"""Results file: one line of JSON for each finished cell, so that a killed study can continue."""

import dataclasses
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import torch
import tqdm

from bench.paper.study import Case, Cell, Experiment, digest


class Results(Mapping[str, dict[str, Any]]):
    """Records of finished cells, by the cell's key, in the file ``cells.jsonl`` of a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "cells.jsonl"
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        self._records = {record["key"]: record for record in map(_parse, lines) if record}

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._records[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def run(self, cells: Iterable[Cell], experiment: Experiment, jobs: int) -> None:
        """Run the cells that are not finished, in parallel, and keep each as soon as it ends."""
        missing = {cell.key: cell for cell in cells if cell.key not in self}.values()
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        records = parallel(joblib.delayed(_run)(experiment, cell) for cell in missing)
        # No bar where standard error is not a terminal.
        for record in tqdm.tqdm(records, experiment.name, len(missing), unit="run", disable=None):
            self.add(record)

    def add(self, record: dict[str, Any]) -> None:
        """Append a record to the file."""
        # A line that a kill has cut short has no line break: each record brings one before it.
        with self.path.open("ab") as file:
            file.write(b"\n" + json.dumps({**record, "digest": digest(record)}).encode() + b"\n")
        self._records[record["key"]] = record


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a record, or None for an empty or damaged line, whose cell is then run again."""
    try:
        record: dict[str, Any] = json.loads(line)
        is_whole = record.pop("digest") == digest(record)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return record if is_whole else None


def _run(experiment: Experiment, cell: Cell) -> dict[str, Any]:
    """Run a cell on one thread, so that its outcome does not depend on the number of processors."""
    before, start = torch.get_num_threads(), time.perf_counter()
    torch.set_num_threads(1)
    try:
        outcome = experiment.run(cell)
    finally:
        torch.set_num_threads(before)
    seconds = {"seconds": time.perf_counter() - start}
    record = {"key": cell.key, **dataclasses.asdict(cell), **dataclasses.asdict(outcome), **seconds}
    # The record is the one that will be read from the file: lists in place of tuples.
    loaded: dict[str, Any] = json.loads(json.dumps(record))
    return loaded


def run_cases(experiment: Experiment, cases: Sequence[Case], results: Results, jobs: int) -> None:
    """Tune all methods of an experiment's cases, then make their final runs."""
    results.run([cell for case in cases for cell in case.tuning_cells()], experiment, jobs)
    results.run([cell for case in cases for cell in case.final_cells(results)], experiment, jobs)
