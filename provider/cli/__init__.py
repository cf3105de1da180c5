"""The `provider` command: everything that staff and machines do from a terminal."""

import click

from provider.cli.common import LazyGroup


@click.group(cls=LazyGroup)
@click.version_option(package_name="provider", message="%(prog)s %(version)s")
def main() -> None:
    """Tests, video interviews and background checks inside an ATS."""


# Where each command is, and its line in the help, which loads none of them.
main.add_lazy_commands(
    "provider.cli.server",
    init="Create the database, or bring it to this program's version.",
    serve="Serve everything, with the courier inside; Ctrl-C or SIGTERM stops it clean.",
    demo="Play an ATS against a server of its own, and show what happens.",
    config="Print every setting with its source; secrets stay hidden.",
)
main.add_lazy_commands(
    "provider.cli.maintenance",
    backup="Make FOLDER, a backup of the database and all files, while the server works.",
    restore="Put a backup into the instance of the settings, which must be empty.",
    copy_instance="Copy a whole instance into an empty database; run it again if it broke off.",
    media="Recordings and their posters.",
)
main.add_lazy_commands(
    "provider.cli.workers",
    worker="Deliver what servers on PostgreSQL write, beside other workers; SIGTERM stops it "
    "clean.",
)
main.add_lazy_commands("provider.cli.accounts", account="Customers' ATS connections.")
main.add_lazy_commands("provider.cli.staff", staff="Who signs in to the console.")
main.add_lazy_commands(
    "provider.cli.products",
    product="What can be ordered: tests, interview templates, packages.",
    seed="Add the sample products of each kind, published; those that are there stay as they are.",
)
main.add_lazy_commands("provider.cli.orders", order="What was ordered.")
main.add_lazy_commands("provider.cli.deliveries", delivery="What goes out: callbacks and letters.")
