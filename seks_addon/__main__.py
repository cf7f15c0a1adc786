"""`python -m seks_addon` prints the file for `mitmdump -s`."""

from importlib import resources

import click

if __name__ == "__main__":
    click.echo(resources.files("seks_addon") / "addon" / "script.py")
