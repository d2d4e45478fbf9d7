"""`python -m solfa`."""

from solfa.cli.app import main

if __name__ == "__main__":
    main()
