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
        function: takes the buffer.
        like: a buffer of the size and kind, with content to start from.
        device: where the work is done.
        stream: of a GPU, the one that all recordings which share their memory are made on.
    """

    def __init__(
        self,
        function: Callable[[torch.Tensor], Any],
        like: torch.Tensor,
        device: torch.device,
        stream: torch.cuda.Stream | None = None,
    ) -> None:
        self.function = function
        self.buffer = torch.empty_like(like, device=device, pin_memory=False)
        self.buffer.copy_(like)
        self.stream = stream
        self.graph: torch.cuda.CUDAGraph | None = None

    def warm_up(self) -> None:
        """Call the function a few times, as it must have been before it is recorded; its effects are left to undo."""
        current = torch.cuda.current_stream(self.buffer.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            for _ in range(_WARM_UPS):
                self.function(self.buffer)
        current.wait_stream(self.stream)

    def record(self, pool: Any = None) -> None:
        """Record what the function does.

        Args:
            pool: memory that recordings share: what one gives is overwritten by the next.
        """
        self.graph = torch.cuda.CUDAGraph()
        # PyTorch's own stream is of the first device that it recorded on.
        with torch.cuda.graph(self.graph, pool=pool, stream=self.stream):
            self.results = self.function(self.buffer)

    def __call__(self, content: torch.Tensor) -> Any:
        """What the function gives for ``content``, which is copied into the buffer: to be read before the next call."""
        self.buffer.copy_(content, non_blocking=True)
        if self.graph is None:
            return self.function(self.buffer)
        self.graph.replay()
        return self.results
