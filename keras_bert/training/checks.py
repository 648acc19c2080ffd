"""What must fit together before a run begins."""

from typing import Any

from keras_bert.errors import ConfigError, InputError


def check_microbatches(
    rows: int, microbatches: int, setting: str = "", replicas: int = 1
) -> None:
    """Raises an error if a batch cannot be divided into microbatches.

    Args:
        rows: of the batch.
        microbatches: of the share of each replica.
        setting: prefix of the setting's name in a recipe, such as "phase-1.".
        replicas: number of shares of a batch.

    Raises:
        ConfigError: the rows are not divisible.
    """
    if rows % (microbatches * replicas):
        on = f" on each of {replicas} devices" if replicas > 1 else ""
        raise ConfigError(
            "Expected a batch_size divisible by gradient_accumulation_steps and the "
            f"number of devices. Received: {rows} rows in {microbatches} "
            f"microbatches{on}. Set {setting}gradient_accumulation_steps to a divisor."
        )


def check_vocabulary(tokenizer: Any, model: Any) -> None:
    """Raises an error if a tokenizer has ids beyond the model's embeddings.

    Raises:
        InputError: naming both sizes.
    """
    rows = model.config.vocab_size
    if len(tokenizer) > rows:
        raise InputError(
            f"Expected a vocabulary of at most {rows:,} tokens, the model's "
            f"vocab_size. Received: {len(tokenizer):,} tokens. Use the "
            "vocabulary of the model."
        )
