"""`python -m cli` is `onetake`."""

from cli.main import main

main()
