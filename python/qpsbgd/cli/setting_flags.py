"""Options of ``train`` and ``plan``, made from the fields of a run's configuration."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from qpsbgd.training.config import check_setting, option_of, setting_fields, setting_types
from qpsbgd.training.settings import without_none

Command = TypeVar("Command", bound=Callable[..., Any])

#: Advice of the Python functions, such as ``on_unembeddable='native'``.
ADVICE = re.compile(r"\b(?P<setting>\w+)='(?P<value>\w+)'")


class Number(click.ParamType[int | float]):
    """Number on the command line that is valid for a setting.

    Args:
        setting: name of the setting.
        kind: ``int`` or ``float``.
    """

    def __init__(self, setting: str, kind: type[int] | type[float]) -> None:
        self.setting = setting
        self.kind = kind
        self.name = "integer" if kind is int else "float"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | float:
        """Return the number, or raise a usage error."""
        try:
            number = self.kind(value)
        except ValueError:
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        try:
            check_setting(self.setting, number)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return number


class JSONObject(click.ParamType[dict[str, Any]]):
    """JSON object on the command line."""

    name = "JSON"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, Any]:
        """Return the object as a dictionary, or raise a usage error."""
        if isinstance(value, dict):
            return value
        try:
            content = json.loads(value)
        except (ValueError, RecursionError) as error:
            self.fail(f"{value!r} is no JSON: {error}", param, ctx)
        if not isinstance(content, dict):
            self.fail(f"{value!r} is no JSON object, such as '{{\"num_sweeps\": 100}}'", param, ctx)
        return content


class NameOrFile(click.ParamType[str]):
    """One of some names, or the path of a file that exists, which becomes absolute.

    Args:
        names: the names.
    """

    name = "name or file"

    def __init__(self, names: Collection[str]) -> None:
        self.names = names

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the name or the path, or raise a usage error."""
        if value in self.names:
            return str(value)
        if Path(value).is_file():
            return str(Path(value).resolve())
        self.fail(f"{value!r} is not one of {', '.join(self.names)}, and no file.", param, ctx)


def click_type(setting: str) -> click.ParamType[Any]:
    """Return the click type of a setting's values."""
    if names := option_of(setting).names:
        return NameOrFile(names)
    kind, _ = without_none(setting_types()[setting])
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if kind in (int, float):
        return Number(setting, kind)
    return {bool: click.BOOL, str: click.STRING}.get(kind) or JSONObject()


def flag_of(setting: str) -> str:
    """Return the name of a setting's option.

    Example:
        >>> flag_of("batch_size"), flag_of("num_reads")
        ('--batch-size', '--reads')
    """
    return option_of(setting).flag or f"--{setting.replace('_', '-')}"


def with_flags(error: Exception) -> str:
    """Return the text of an error in which settings with a value are options.

    Example:
        >>> with_flags(ValueError("it does not fit; with on_unembeddable='native' it need not"))
        'it does not fit; with --on-unembeddable native it need not'
    """

    def option(match: re.Match[str]) -> str:
        field = setting_fields().get(match["setting"])
        if field is None or "option" not in field.metadata:
            return match[0]
        return f"{flag_of(field.name)} {match['value']}"

    return ADVICE.sub(option, str(error))


def setting_options(
    names: Collection[str] | None = None, defaults: Mapping[str, Any] | None = None
) -> Callable[[Command], Command]:
    """Return a decorator that adds options for settings of a run to a command.

    Args:
        names: the settings; None for all.
        defaults: defaults that differ from those of ``qpsbgd train``.
    """

    def decorate(command: Command) -> Command:
        for name, field in reversed(setting_fields().items()):
            if "option" in field.metadata and (names is None or name in names):
                is_own = name in (defaults or {})
                default = (defaults or {}).get(name, field.default)
                command = _click_option(name, default, is_own)(command)
        return command

    return decorate


def _click_option(name: str, default: Any, is_own: bool) -> Callable[[Command], Command]:
    described = option_of(name)
    details: dict[str, Any] = {"help": described.help, "metavar": described.metavar}
    if default is False:
        details |= {"is_flag": True}
    else:
        details |= {
            "type": click_type(name),
            "default": None if default is MISSING else default,
            "show_default": True if is_own else described.default_text or True,
        }
    return click.option(flag_of(name), name, **details)


def check_given(settings: Mapping[str, Any], given: Collection[str]) -> None:
    """Raise ValueError if a setting was given that the optimiser or the projector does not use.

    Args:
        settings: all settings of the run.
        given: names of those that were given on the command line.
    """
    for name in sorted(given):
        described = option_of(name)
        for owner, users in (
            ("optimizer", described.optimizers),
            ("projector", described.projectors),
        ):
            if users and settings[owner] not in users:
                raise ValueError(
                    f"{flag_of(name)} goes with --{owner} {' or '.join(users)}, "
                    f"not {settings[owner]}"
                )
    if settings["mock"] is not None:
        for name in ("solver", "profile", "region"):
            if settings[name] is not None:
                raise ValueError(f"--{name} selects a real annealer and does not go with --mock")
    projector, optimizer = settings["projector"], settings["optimizer"]
    if projector != "native" and optimizer != "qpsbgd":
        raise ValueError(f"--projector goes with --optimizer qpsbgd, not {optimizer}")
    if "num_sweeps" in given and projector != "native" and not settings["polish"]:
        raise ValueError(
            f"--num-sweeps goes with --projector native or with --polish, not {projector}"
        )


def is_given(ctx: click.Context, name: str) -> bool:
    """Return whether an option was named on the command line."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
