"""The `solfa` command, and `python -m solfa`. What takes time to import is imported where Ctrl-C is known."""

import sys


def main() -> None:
    """The console script."""
    try:
        from solfa.cli.app import run

        if hasattr(sys.stdout, "reconfigure"):  # names of files that are not UTF-8 go out as the bytes they are
            sys.stdout.reconfigure(errors="surrogateescape")
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        print("solfa: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
