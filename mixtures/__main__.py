"""Run the command line with ``python -m mixtures``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python has put the current folder first on the path, where a folder of results, called coverage,
    # say, would be taken for the module of that name. It stays only if the package itself is there.
    here = Path(__file__).resolve().parents[1]
    if not sys.flags.safe_path and Path(sys.path[0]).resolve() == Path.cwd() != here:
        del sys.path[0]
    from mixtures.cli import main

    try:
        main()
    finally:
        # Ctrl-C that came in code made of text, such as a named tuple's, has Python end itself by the signal,
        # whatever the exit code, unless more such code is run.
        eval("None")  # noqa: S307
