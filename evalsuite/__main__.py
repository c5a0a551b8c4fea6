"""``python -m evalsuite`` and the ``evalsuite`` command."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from evalsuite.system.startup import prepare_process

    try:
        prepare_process()
        from evalsuite.cli import run_safely

        code = run_safely()
    except KeyboardInterrupt:  # before a command began, which itself says what to do then
        print("evalsuite: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
