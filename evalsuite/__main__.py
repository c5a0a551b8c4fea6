"""``python -m evalsuite`` and the ``evalsuite`` command."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from evalsuite.cli import run_safely

    sys.exit(run_safely())


if __name__ == "__main__":
    main()
