"""Comments that change what a file means: offsets, scales and senses.

A reader skips a comment only if the comment cannot change the value or the sense of the problem.
Otherwise the reader understands the comment, or refuses the file.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from qpsbgd.formats.instance import Format, Sense
from qpsbgd.formats.lines import NUMBER, Lines

#: A number that a comment gives to an offset, a constant or a scale.
VALUE = re.compile(
    r"(offset|constant|scale|scaling|scaled|factor)[a-z]*"
    r"(\s+(is|of|by|to|with|factor|term))*[\s:=]*[-+]?(\.?[0-9]|nan|inf)",
    re.IGNORECASE,
)
#: The name of an offset, a constant or a scale.
VALUE_NAME = re.compile(r"offset|constant|scal|factor|objective\w", re.IGNORECASE)
#: A comment that only states the sense.
SENSE = re.compile(r"(?:objective\s*)?sense\s*[:=]?\s*(\S+)", re.IGNORECASE)
SENSES: dict[str, Sense] = {"max": "maximise", "min": "minimise"}
MENTION = re.compile(r"\b(max|min)imi[sz]", re.IGNORECASE)
#: ``name value`` or ``name: value`` or ``name = value``.
STATEMENT = re.compile(r"(\w+)\s*[\s:=]\s*(\S+)")
#: Statements that ZIMPL writes into qs files beside the offset. They do not change the problem.
HARMLESS = ("FeasibilityInstance", "SolutionCardinality")


class StatedSense(NamedTuple):
    """Sense that a comment states, and the number of its line, from 1."""

    sense: Sense
    number: int


def read_numbers(lines: Lines, names: Iterable[str], format: Format) -> dict[str, float]:
    """Return the numbers that the comments of a file give to some names.

    Args:
        lines: lines of the file.
        names: names that the reader understands, such as ``"ObjectiveOffset"``.
        format: format of the file.

    Raises:
        ValueError: a comment gives a number to an offset or scale that the reader does not
            understand, gives two numbers to one name, or gives a name something else than a
            number.
    """
    names = tuple(names)
    found: dict[str, float] = {}
    for number, text in lines.comments:
        statement = STATEMENT.fullmatch(text)
        name = statement[1] if statement else text
        if name in names:
            if statement is None or not NUMBER.fullmatch(statement[2]):
                raise lines.line_error(number, f"{name} must be followed by a number")
            if name in found:
                raise lines.line_error(number, f"{name} must be given only once")
            found[name] = float(statement[2])
            if not np.isfinite(found[name]):
                raise lines.line_error(number, f"{name} must be finite")
        elif _changes_value(text, statement, format):
            known = " and ".join(names) or "no such statement"
            raise lines.line_error(
                number,
                f"the {format} format knows {known}: remove the line if it does not change the "
                "objective",
            )
    return found


def _changes_value(text: str, statement: re.Match[str] | None, format: Format) -> bool:
    if format != "qs":
        return VALUE.search(text) is not None
    # ZIMPL writes its program into the comments of qs files ("param scale := 10;"). Such a comment
    # counts only if its first word names a value, or if it consists of a name and a number.
    if VALUE_NAME.search(text.split(maxsplit=1)[0] if text else ""):
        return True
    return (
        statement is not None
        and statement[1] not in HARMLESS
        and NUMBER.fullmatch(statement[2]) is not None
    )


def read_sense(
    lines: Lines, format: Format, rule: Sense, chosen: Sense | None
) -> StatedSense | None:
    """Return the sense that a comment states, if one does.

    Args:
        lines: lines of the file.
        format: format of the file.
        rule: sense of the format.
        chosen: sense that the caller named, which overrides the file.

    Raises:
        ValueError: the caller has not named the sense, and two comments state different senses, or
            a comment mentions the opposite of the format's sense.
    """
    stated: StatedSense | None = None
    opposite: int | None = None
    for number, text in lines.comments:
        statement = SENSE.fullmatch(text)
        if statement:
            value = SENSES.get(statement[1][:3].lower())
            if value is None:
                raise lines.line_error(number, "the sense must be minimize or maximize")
            if stated is not None and stated.sense != value and chosen is None:
                raise lines.line_error(number, f"line {stated.number} states another sense")
            stated = stated or StatedSense(value, number)
        elif opposite is None and any(SENSES[m.lower()] != rule for m in MENTION.findall(text)):
            opposite = number
    # The comments of a qs file hold the program that ZIMPL turned into a minimisation problem.
    if stated is None and opposite is not None and chosen is None and format != "qs":
        raise lines.line_error(
            opposite,
            f"a {format} file is to be {rule}d unless told: name the sense (--maximize or "
            "--minimize, sense=)",
        )
    return stated
