"""Run the command line with ``python -m mixtures``."""

from mixtures.cli import main

if __name__ == "__main__":
    main()
