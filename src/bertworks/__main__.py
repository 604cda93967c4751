"""`python -m bertworks` is the same program as `bertworks`; torchrun starts it this way."""

from bertworks.cli.main import entry

if __name__ == "__main__":
    entry()
