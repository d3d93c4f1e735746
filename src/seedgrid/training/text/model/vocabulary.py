"""A word embedding cut to the word pieces that a task's examples hold.

Rows of word pieces that never occur get no gradient, yet the optimizer visits them in every step: of a small encoder
they are most weights. All that ever happens to them is weight decay, the same factor for each, so it is followed on one
row and applied to the others when somebody asks for the whole model.
"""

from __future__ import annotations

import torch
from torch.nn.functional import embedding
from transformers import PreTrainedModel


class UsedWords(torch.nn.Embedding):
    """The rows of ``whole`` for the word pieces ``used``, looked up by the word pieces' own numbers.

    The last row of ``weight`` belongs to no word piece: it starts as ones, and so holds the factor by which an
    optimizer that treats each weight alone has shrunk any row without gradients.

    Args:
        whole: the pretrained embedding; it is not changed.
        used: int64, sorted, each once. Looking up another word piece is an error.
    """

    def __init__(self, whole: torch.nn.Embedding, used: torch.Tensor) -> None:
        pretrained = whole.weight.detach()
        rows = torch.cat([pretrained[used], pretrained.new_ones(1, whole.embedding_dim)])
        super().__init__(*rows.shape, _weight=rows)
        self.pretrained = [pretrained]  # in a list, that it moves to no device
        places = torch.full((whole.num_embeddings,), -1).index_copy(0, used, torch.arange(len(used)))
        self.register_buffer("places", places, persistent=False)
        if whole.padding_idx is not None and places[whole.padding_idx] >= 0:
            self.padding_idx = int(places[whole.padding_idx])  # an example may hold it as text; it gets no gradient

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return embedding(self.places[words], self.weight, self.padding_idx)

    def whole(self, weight: torch.Tensor) -> torch.Tensor:
        """The embedding as it would be if it had been trained whole, on the CPU; word pieces x width.

        Args:
            weight: the trained one of this module.
        """
        weight = weight.detach().cpu()
        places = self.places.cpu()
        rest = (self.pretrained[0] * weight[-1]).to(weight.dtype)
        return torch.where((places < 0)[:, None], rest, weight[places])


def keep_used_words(network: PreTrainedModel, used: torch.Tensor) -> None:
    """Cut the word embedding of ``network`` to the word pieces ``used`` (int64, sorted, each once)."""
    network.set_input_embeddings(UsedWords(network.get_input_embeddings(), used))


def whole_state(network: PreTrainedModel, state: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    """Weights of ``network`` by name, with all word pieces; as they are now, or those of an earlier ``state_dict``."""
    state = dict(network.state_dict() if state is None else state)
    for name, module in network.named_modules():
        if isinstance(module, UsedWords):
            state[f"{name}.weight"] = module.whole(state[f"{name}.weight"])
    return state
