"""Groups of weights that an optimizer treats alike: by kind, and by depth."""

from keras_bert.config import Config

# By kind, not by rank: biases that are stored per head have two axes.
NOT_DECAYED = ("bias", "query_bias", "value_bias", "gamma", "beta")


def kind_of(path: str) -> str:
    """Returns the kind of a weight, the last component of its path.

    Example:
        >>> kind_of("layer_3/attention_norm/gamma")
        'gamma'
    """
    return path.rsplit("/", 1)[-1]


def block_of(path: str) -> str:
    """Returns the block of the model that a weight is in, the first of its path.

    Example:
        >>> block_of("layer_3/attention_norm/gamma")
        'layer_3'
    """
    return path.split("/", 1)[0]


def depths(config: Config) -> dict[str, int]:
    """Returns the distance of each block of an encoder from the input.

    The embeddings are at 0, and with them what all layers share; the layers are at 1
    and up. The pooler and the head, which are not listed, lie above all of these.

    Example:
        >>> from keras_bert import BertConfig
        >>> depths(BertConfig(num_hidden_layers=2))
        {'embeddings': 0, 'embedding_projection': 0, 'layer_0': 1, 'layer_1': 2}
    """
    layers = {f"layer_{i}": i + 1 for i in range(config.num_blocks)}
    # Outside of the blocks: what all of them share, and what follows one of them.
    others = {
        "position_bias": 0 if config.distance_buckets else None,
        "distances": 0 if config.disentangled.rows else None,
        "convolution": 1 if config.convolution else None,
        "final_norm": config.num_blocks if config.pre_norm else None,
    }
    present = {name: depth for name, depth in others.items() if depth is not None}
    return {"embeddings": 0, "embedding_projection": 0, **layers, **present}


def layer_rates(config: Config, decay: float) -> dict[str, float]:
    """Returns the multiplier of the learning rate for each block of an encoder.

    The pooler and the head keep the full rate, the topmost layer has `decay` times
    it, every layer below `decay` times that of the one above, the embeddings the
    least.

    Args:
        config: of the model.
        decay: in (0, 1].

    Returns:
        Multipliers by block, for `learning_rate_shares` of an optimizer. Blocks that
        are not named have 1.

    Example:
        >>> from keras_bert import BertConfig
        >>> layer_rates(BertConfig(num_hidden_layers=1), 0.5)
        {'embeddings': 0.25, 'embedding_projection': 0.25, 'layer_0': 0.5}

    Source: Howard & Ruder 2018 (arXiv:1801.06146), section 3.2; `_get_layer_lrs` in
    the `optimization.py` of Google's ELECTRA.
    """
    top = config.num_blocks + 1
    return {name: decay ** (top - depth) for name, depth in depths(config).items()}
