"""`python -m provider.cli`, for an environment without the `provider` script on its PATH."""

from provider.cli import main

main(prog_name="provider")
