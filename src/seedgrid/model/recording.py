"""Work of static shapes on a GPU, recorded once as a CUDA graph and replayed: one launch instead of thousands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_WARM_UPS = 2  # libraries set themselves up, and the optimizer its state, when they are first asked


class Recording:
    """What ``function`` does with a buffer; on other devices than GPUs, where nothing is recorded, it is called.

    All that it works on has to stay where it is: the buffer, weights, the optimizer's state. It waits for nothing and
    asks for no value. What it draws comes from the device's generator as it stands at each call.

    Args:
        function: takes the buffer; is called a few times before it is recorded.
        like: a buffer of the size and kind, with content to start from.
        device: where the work is done.
        pool: memory that recordings share: what one gives is overwritten by the next.
        after_warm_up: called before the recording, to undo what the calls have done.
    """

    def __init__(
        self,
        function: Callable[[torch.Tensor], Any],
        like: torch.Tensor,
        device: torch.device,
        pool: Any = None,
        after_warm_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.function = function
        self.buffer = torch.empty_like(like, device=device, pin_memory=False)
        self.graph: torch.cuda.CUDAGraph | None = None
        if device.type != "cuda":
            return
        self.buffer.copy_(like)
        current, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                function(self.buffer)
        current.wait_stream(side)
        after_warm_up()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            self.graph, pool=pool, stream=side
        ):  # PyTorch's own is of the first device that it recorded on
            self.results = function(self.buffer)

    def __call__(self, content: torch.Tensor) -> Any:
        """What the function gives for ``content``, which is copied into the buffer: to be read before the next call."""
        self.buffer.copy_(content, non_blocking=True)
        if self.graph is None:
            return self.function(self.buffer)
        self.graph.replay()
        return self.results
