"""The Hugging Face hub, asked once and shortly: its clients try again for half a minute, or wait without an end."""

from __future__ import annotations

import logging

from seedgrid.errors import InputError

LOG_IN = "log in (hf auth login, or HF_TOKEN)"


def ask(name: str, kind: str) -> Exception | None:
    """What is in the way of fetching the repository ``name`` of a ``kind`` (``model``, ``dataset``); None: nothing.

    What is in the cache can be used whatever is in the way.
    """
    from huggingface_hub import HfApi, constants

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # what it says is our one line
    try:
        HfApi().repo_info(name, repo_type=kind, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:  # its client raises a dozen kinds for "no network"
        return error
    return None


def refusal(key: str, name: str, error: Exception, missing: str, offline: str) -> InputError:
    """The line that says why a repository cannot be fetched.

    Args:
        key: of the config, with its value.
        name: of the repository.
        error: what :func:`ask`, or the fetching, came upon.
        missing: what to say of a repository that is not there.
        offline: what works without a network.
    """
    from huggingface_hub.errors import GatedRepoError, HFValidationError, OfflineModeIsEnabled

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, GatedRepoError):
        return InputError(f"{key}: {name} is gated on the hub; accept its terms on its page there, and {LOG_IN}")
    if isinstance(error, HFValidationError):
        return InputError(f"{key}: {missing}")
    if status in (401, 403, 404):
        return InputError(f"{key}: {missing} (it answers {status}); if it is a private one, {LOG_IN}")
    reason = type(error).__name__ if status is None else f"it answers {status}"
    if isinstance(error, OfflineModeIsEnabled):
        reason = "HF_HUB_OFFLINE is set, and the cache does not hold it"
    return InputError(f"{key}: cannot fetch {name} from the Hugging Face hub ({reason}); {offline}")
