"""The lines of a text file: its comments, its header and its table of entries."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from qpsbgd.formats.model import VARIABLES_LIMIT, Indices, Weights

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf)", re.I)
#: Control characters except the tab. A form feed or a carriage return may end a line of old files.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: First words that make a line a comment, besides a first character "#".
COMMENT_WORDS = ("c", "C")


class Lines:
    """Lines of a text file.

    Args:
        path: path of the file, for errors.
        text: content of the file.
        comment: the character that starts a comment. With ``"#"`` a first word ``c`` does, too.

    Attributes:
        path: path of the file.
        text: content of the file.
        comments: line number, from 1, and text of each comment without its first character.

    Raises:
        ValueError: the text is empty or has a control character.
    """

    def __init__(self, path: Path, text: str, comment: str = "#") -> None:
        self.path = path
        self.text = text
        self.comments: list[tuple[int, str]] = []
        self._all = text.replace("\r\n", "\n").split("\n")
        self._numbers = []
        for number, line in enumerate(self._all):
            stripped = line.strip()
            if CONTROL.search(line.rstrip("\r\f")):
                raise self.line_error(number + 1, "a text must not have control characters")
            if not stripped:
                continue
            if stripped.startswith(comment) or (
                comment == "#" and stripped.split(maxsplit=1)[0] in COMMENT_WORDS
            ):
                self.comments.append((number + 1, stripped[1:].strip()))
            else:
                self._numbers.append(number)
        if not self._numbers and not self.comments:
            raise ValueError(f"{path} is empty, but must hold a problem")

    def __len__(self) -> int:
        """Return the number of lines that are neither blank nor comments."""
        return len(self._numbers)

    def words(self, row: int) -> list[str]:
        """Return the words of a row; no words past the end."""
        return self._all[self._numbers[row]].split() if row < len(self) else []

    def line_error(self, number: int, rule: str) -> ValueError:
        """Return the error of a line, counted from 1, which shows the line and the rule."""
        text = self._all[number - 1].strip()
        if len(text) > 60:
            text = text[:60] + "..."
        return ValueError(f"{self.path}, line {number}: {text!r}, but {rule}")

    def error(self, row: int, rule: str) -> ValueError:
        """Return the error of a row, which shows the row and the rule."""
        if row >= len(self):
            return ValueError(f"{self.path} ends, but {rule}")
        return self.line_error(self._numbers[row] + 1, rule)

    def counts(self, row: int, number: int, rule: str, skip: int = 0) -> list[int]:
        """Return the integers of a row; the first one is a number of variables.

        Args:
            row: number of the row.
            number: number of integers.
            rule: words for what the row must be.
            skip: number of words before the integers.
        """
        words = self.words(row)[skip:]
        if len(words) != number or not all(re.fullmatch("[0-9]{1,18}", word) for word in words):
            raise self.error(row, rule)
        counts = [int(word) for word in words]
        if not 1 <= counts[0] < VARIABLES_LIMIT:
            raise self.error(row, f"the first count must lie in [1, {VARIABLES_LIMIT})")
        return counts

    def check_count(self, row: int, announced: int, found: int, what: str) -> None:
        """Raise ValueError if a header announces another number of lines than the file has."""
        if announced != found:
            raise self.error(row, f"the file has {found} {what}, not {announced}")

    def entries(
        self,
        first: int,
        base: int,
        num_variables: int,
        weight: float | None = None,
        unique: bool = True,
    ) -> tuple[Indices, Indices, Weights]:
        """Return ``i j weight`` of the rows from ``first`` on.

        Args:
            first: number of the first row.
            base: index of the first variable.
            num_variables: number of variables; all indices are less than ``base`` plus this.
            weight: weight of the rows if they have none; ``None`` if they must have one.
            unique: whether a pair that is listed twice is an error.

        Returns:
            i and j, int64 ``(k,)`` counted from 0, and the weights, float64 ``(k,)``.
        """
        table = self._table(first, weight)  # (k, 3)
        i, j, weights = table.T
        last = base + num_variables - 1
        pairs = table[:, :2]
        self.check(first, (pairs == np.floor(pairs)).all(axis=1), "the first two must be integers")
        self.check(
            first,
            ((pairs >= base) & (pairs <= last)).all(axis=1),
            f"the first two must lie in [{base}, {last}]",
        )
        self.check(first, np.isfinite(weights), "the third must be finite")
        i, j = (index.astype(np.int64) - base for index in (i, j))
        if unique:
            keys = np.minimum(i, j) * num_variables + np.maximum(i, j)
            self.check_unique(first, keys, "a pair must be listed only once")
        return i, j, np.ascontiguousarray(weights)

    def column(self, first: int) -> Weights:
        """Return the single number of each row from ``first`` on, float64 ``(k,)``."""
        values = np.array([self._numbers_of(row, 1)[0] for row in range(first, len(self))])
        self.check(first, np.isfinite(values), "must be finite")
        return values

    def check(self, first: int, good: Any, rule: str) -> None:
        """Raise the error of the first row, from ``first`` on, that is not good."""
        if not good.all():
            raise self.error(first + int(np.argmin(good)), rule)

    def check_unique(self, first: int, keys: Indices, rule: str) -> None:
        """Raise the error of the first row, from ``first`` on, whose key occurred before."""
        is_new = np.zeros(len(keys), bool)
        is_new[np.unique(keys, return_index=True)[1]] = True
        self.check(first, is_new, rule)

    def _table(self, first: int, weight: float | None) -> Weights:
        """Return the three numbers of each row, float64 ``(k, 3)``."""
        if first >= len(self):
            return np.empty((0, 3))
        width = 3 if weight is None or len(self.words(first)) != 2 else 2
        rows = [self._all[number] for number in self._numbers[first:]]
        try:
            table: Weights = np.loadtxt(rows, comments=None, ndmin=2)
        except ValueError:
            table = np.empty((0, 0))
        if table.shape != (len(rows), width):
            # Something is missing or wrong. Reading line by line is ten times slower, but finds it.
            table = np.array([self._numbers_of(first + row, width) for row in range(len(rows))])
        if width == 2:
            table = np.column_stack([table, np.full(len(table), weight)])
        return table

    def _numbers_of(self, row: int, width: int) -> list[float]:
        words = self.words(row)
        # float() alone would accept "1_000" and the digits of other scripts.
        if len(words) != width or not all(NUMBER.fullmatch(word) for word in words):
            rules = {
                1: "must be one number",
                2: "must be two integers, as the first entry has no weight",
                3: "must be two integers and a number",
            }
            raise self.error(row, rules[width])
        return [float(word) for word in words]
