"""`python -m morphpipe`, which torchrun needs."""

from morphpipe.cli import main

main()
