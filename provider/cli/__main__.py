"""`python -m provider.cli`, where the script is not on the PATH."""

from provider.cli import main

main(prog_name="provider")
