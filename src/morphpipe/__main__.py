"""`python -m morphpipe`, which `accelerate launch -m` needs."""

from morphpipe.cli import main

main()
