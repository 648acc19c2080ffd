"""Names of output files."""

from collections.abc import Sequence
from pathlib import Path

from keras_bert.errors import ConfigError


def output_names(output_files: str | Path | Sequence[str | Path]) -> list[Path]:
    """Expands output names, comma-separated lists and `name@count` to files.

    Raises:
        ConfigError: there is no name, or a file twice, or a wrong number of shards.

    Example:
        >>> [path.name for path in output_names("a.tfrecord,b@2,c@1.gz")]
        ['a.tfrecord', 'b-00000-of-00002', 'b-00001-of-00002', 'c-00000-of-00001.gz']
    """
    items = [output_files] if isinstance(output_files, str | Path) else output_files
    names = [name for item in items for name in str(item).split(",") if name]
    paths = [Path(shard) for name in names for shard in _shards(name)]
    if not paths or len(set(paths)) < len(paths):
        raise ConfigError(
            f"Expected names of files to write, each once. Received: "
            f"{', '.join(names) or 'none'}."
        )
    return paths


def split_shards(name: str) -> tuple[str, int | None, str]:
    """Splits `name@count.gz` into name, count and suffix.

    Raises:
        ConfigError: there are no shards, or too many.

    Example:
        >>> split_shards("a@4"), split_shards("a.gz")
        (('a', 4, ''), ('a', None, '.gz'))
    """
    suffix = ".gz" if name.endswith(".gz") else ""
    name = name.removesuffix(suffix)
    stem, at, count = name.rpartition("@")
    sharded = at and count.isascii() and count.isdecimal()
    if sharded and not 1 <= len(count.lstrip("0")) <= 5:  # digits
        raise ConfigError(f"Expected 1 to 99,999 shards. Received: {name[:80]}.")
    return (stem, int(count), suffix) if sharded else (name, None, suffix)


def _shards(name: str) -> list[str]:
    stem, total, suffix = split_shards(name)
    if total is None:
        return [name]
    return [f"{stem}-{i:05d}-of-{total:05d}{suffix}" for i in range(total)]
