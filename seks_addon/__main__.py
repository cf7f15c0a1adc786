"""`python -m seks_addon` prints the file for `mitmdump -s`."""

from importlib import resources

if __name__ == "__main__":
    print(resources.files("seks_addon") / "addon" / "script.py")  # noqa: T201 - the library knows no click
