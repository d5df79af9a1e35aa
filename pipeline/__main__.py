"""`python -m pipeline`, the same as `vaepipe`."""

from pipeline import cli

if __name__ == "__main__":
    cli.main()
