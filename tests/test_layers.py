"""The linear way around other layers."""

import torch

from q2d2.layers import Bypass


def test_a_bypass_is_linear_and_of_its_rank() -> None:
    torch.manual_seed(0)
    bypass = Bypass(12, 7, rank=3)
    x, y = torch.randn(2, 1, 5, 12)
    origin = bypass(torch.zeros(1, 1, 12))
    torch.testing.assert_close(bypass(2 * x - y) - origin, 2 * (bypass(x) - origin) - (bypass(y) - origin))
    matrix = (bypass(torch.eye(12)[None]) - origin)[0]
    assert torch.linalg.matrix_rank(matrix) == 3


def test_a_step_moves_inputs_that_move_together_no_further_than_the_rank_says() -> None:
    """Adam moves every weight by its learning rate: a plain layer of 600 equal inputs would move by 600 times that."""
    bypass = Bypass(600, 1, rank=4)
    moved = Bypass(600, 1, rank=4)
    moved.load_state_dict({name: value + 1e-3 for name, value in bypass.state_dict().items()})
    x = torch.ones(1, 1, 600)
    assert (moved(x) - bypass(x)).abs() < 0.05
