"""``python -m morelli``, and what ``accelerate launch -m morelli`` and ``torchrun -m morelli`` start."""

from morelli.cli import main

main()
