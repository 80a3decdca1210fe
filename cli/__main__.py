"""Makes `python -m cli` the same as `onetake`."""

from cli.main import main

main()
