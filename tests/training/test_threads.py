"""Small steps run on one thread, and the process gets its threads back."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from morelli.training._threads import one_thread_if_small


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_small_step_has_one_thread_and_a_large_one_all() -> None:
    model = nn.Linear(1000, 1000)

    with one_thread_if_small(model, rows=32):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with one_thread_if_small(model, rows=256):
        assert torch.get_num_threads() == 2


def test_threads_come_back_after_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), one_thread_if_small(nn.Linear(2, 2), rows=2):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 2
