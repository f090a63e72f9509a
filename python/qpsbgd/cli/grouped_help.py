"""Help pages whose options stand in groups."""

import click

from qpsbgd.training.config import option_of, setting_fields

#: Headings of the groups, in the order of the page.
RUN, QPSBGD, PROJECTOR, ANNEALER = (
    "Run",
    "QPSBGD and baselines",
    "Projector",
    "Annealer (with --projector dwave)",
)


def group_of(name: str) -> str:
    """Return the heading under which the help page has an option.

    Example:
        >>> group_of("epochs"), group_of("scale"), group_of("sampler"), group_of("mock")
        ('Run', 'QPSBGD and baselines', 'Projector', 'Annealer (with --projector dwave)')
    """
    field = setting_fields().get(name)
    if field is None or "option" not in field.metadata:
        return RUN
    described = option_of(name)
    if described.projectors == ("dwave",):
        return ANNEALER
    if described.projectors or name == "projector":
        return PROJECTOR
    return QPSBGD if described.optimizers else RUN


class GroupedCommand(click.Command):
    """Command whose help page has its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups."""
        groups: dict[str, list[tuple[str, str]]] = {
            heading: [] for heading in (RUN, QPSBGD, PROJECTOR, ANNEALER)
        }
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                groups[group_of(parameter.name or "")].append(record)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
