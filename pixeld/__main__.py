"""`python -m pixeld` is the `pixeld` command."""

from pixeld.cli import main

main(prog_name="pixeld")
