"""What the name of a weight tells an optimizer: its kind and its depth."""

from keras_bert.config import Config

# By kind, not by rank: biases that are kept per head have two axes.
NOT_DECAYED = ("bias", "gamma", "beta")


def kind(path: str) -> str:
    """Returns the kind of a weight, the last part of its path.

    Example:
        >>> kind("layer_3/attention_norm/gamma")
        'gamma'
    """
    return path.rsplit("/", 1)[-1]


def part(path: str) -> str:
    """Returns the part of the model that a weight is in, the first of its path.

    Example:
        >>> part("layer_3/attention_norm/gamma")
        'layer_3'
    """
    return path.split("/", 1)[0]


def depths(config: Config) -> dict[str, int]:
    """Returns how far from the input each part of an encoder is.

    The embeddings are at 0, the layers at 1 and up. What a model has beside them,
    its pooler and its head, lies above all of these.

    Example:
        >>> depths(BertConfig(num_hidden_layers=2))
        {'embeddings': 0, 'embedding_projection': 0, 'layer_0': 1, 'layer_1': 2}
    """
    layers = {f"layer_{i}": i + 1 for i in range(config.num_hidden_layers)}
    return {"embeddings": 0, "embedding_projection": 0, **layers}


def layer_rates(config: Config, decay: float) -> dict[str, float]:
    """Returns the share of the learning rate that each part of an encoder gets.

    The pooler and the head get all of it, the topmost layer `decay` of it, every
    layer below that `decay` of the one above, the embeddings the least.

    Args:
        config: of the model.
        decay: between 0 and 1.

    Returns:
        Shares by part, for `learning_rate_shares` of an optimizer. Parts that are
        not named have 1.

    Example:
        >>> layer_rates(BertConfig(num_hidden_layers=1), 0.5)
        {'embeddings': 0.25, 'embedding_projection': 0.25, 'layer_0': 0.5}

    Source: Howard & Ruder 2018 (arXiv:1801.06146), section 3.2; `_get_layer_lrs` in
    the `optimization.py` of Google's ELECTRA.
    """
    top = config.num_hidden_layers + 1
    return {name: decay ** (top - depth) for name, depth in depths(config).items()}
