"""The `provider` command: everything that staff and scripts do from a terminal."""

import atexit
import gc

import click

from provider.cli.common import LazyGroup

# The imports of a command create 100,000 objects that stay. With Python's own thresholds a tenth
# of its start would be garbage collections that find nothing.
gc.set_threshold(50_000, 10, 10)
# Python's last collections would search those objects for 0.4 seconds, to free what ends anyway.
atexit.register(gc.freeze)


@click.group(cls=LazyGroup)
@click.version_option(package_name="provider", message="%(prog)s %(version)s")
def main() -> None:
    """Tests, video interviews and background checks inside an ATS."""


# Module and help line of each command, so that `--help` imports none of these modules.
main.add_lazy_commands(
    "provider.cli.server",
    init="Create the database, or upgrade it to this program's version.",
    serve="Start the web server; on SQLite it delivers too. Ctrl-C or SIGTERM stops it.",
    demo="Play an ATS against a server of its own, and show what happens.",
    config="Print every setting with its source; secrets stay hidden.",
)
main.add_lazy_commands(
    "provider.cli.maintenance",
    backup="Create FOLDER, a backup of the database and all files, while the server runs.",
    restore="Restore a backup into the configured instance, which must be empty.",
    copy_instance="Copy a whole instance into an empty database; "
    "run it again after an interruption.",
    media="Recordings and their poster images.",
)
main.add_lazy_commands(
    "provider.cli.keys", key="Keys for encryption: which are still needed, and how to replace one."
)
main.add_lazy_commands(
    "provider.cli.workers",
    worker="Deliver callbacks and e-mails on PostgreSQL; SIGTERM finishes running attempts and "
    "stops.",
)
main.add_lazy_commands("provider.cli.accounts", account="Customers' ATS connections.")
main.add_lazy_commands(
    "provider.cli.rules",
    rule="Rules: order a product when a candidate reaches a stage, gets a tag, awaits a check.",
)
main.add_lazy_commands(
    "provider.cli.usage", usage="Count orders by month, account and product, for invoices."
)
main.add_lazy_commands("provider.cli.staff", staff="People who sign in to the console.")
main.add_lazy_commands(
    "provider.cli.audit", audit="Show what staff and commands have done, the newest last."
)
main.add_lazy_commands(
    "provider.cli.products",
    product="Products to order: tests, interview templates, packages.",
    seed="Add the sample products of each kind, published; existing products stay unchanged.",
)
main.add_lazy_commands(
    "provider.cli.legal_texts",
    legal_text="Print the legal text with a digest, as the file that a package can name.",
)
main.add_lazy_commands("provider.cli.orders", order="Orders of the ATS.")
main.add_lazy_commands(
    "provider.cli.retention", retention="How long recordings and candidates are stored."
)
main.add_lazy_commands(
    "provider.cli.people", person="Candidates, each known by an e-mail address within an account."
)
main.add_lazy_commands(
    "provider.cli.emails",
    email="E-mails: previews, a test of the mail server, and e-mails that came back.",
)
main.add_lazy_commands(
    "provider.cli.deliveries", delivery="Deliveries: callbacks, e-mails and video processing."
)
main.add_lazy_commands(
    "provider.cli.alerts", alert="Alerts: accounts and destinations whose deliveries fail."
)
