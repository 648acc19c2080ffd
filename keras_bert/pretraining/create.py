"""Text to pretraining records, by the default policy or Google's."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from keras_bert.errors import ConfigError, InputError, check_counts, choose
from keras_bert.features import record_fields
from keras_bert.pretraining import google
from keras_bert.pretraining.examples import encode_examples
from keras_bert.pretraining.names import output_names
from keras_bert.pretraining.pipeline import RecordPipeline
from keras_bert.pretraining.settings import DataSettings
from keras_bert.pretraining.sources import BLOCK_BYTES, Source, TextFiles
from keras_bert.pretraining.tfrecords import RecordWriter
from keras_bert.tokenization import BertTokenizer
from keras_bert.tokenization.files import expand, read_lines

POLICIES = ("default", "google")
GOOGLE_LIMIT_MB = 200
_GOOGLE_STEP = 1000  # records serialized at a time

Inputs = Source | str | Path | Sequence[str | Path]


def create_pretraining_data(
    inputs: Inputs,
    output_files: str | Path | Sequence[str | Path],
    tokenizer: BertTokenizer,
    settings: DataSettings | None = None,
    *,
    policy: str = "default",
    workers: int = 1,
    block_bytes: int = BLOCK_BYTES,
    limit_mb: float = GOOGLE_LIMIT_MB,
    overwrite: bool = False,
    progress: bool = True,
) -> Counter[str]:
    """Turns text into records for masked language modeling.

    A file of records appears when it is complete. A run that was killed resumes when it
    is started again, and writes the same bytes.

    Args:
        inputs: names, patterns, comma-separated lists of UTF-8 files, `.gz` included,
            with one sentence per line and a blank line between documents; or another
            `Source`.
        output_files: TFRecord files; `name@4` stands for `name-00000-of-00004` and so
            on. A name that ends in `.gz` is compressed.
        tokenizer: the tokenizer.
        settings: see `DataSettings`.
        policy: "default" streams in bounded memory; its instances depend on seed and
            text, not on the number of workers or files. "google" makes Google's own
            records bit by bit, and holds everything in memory.
        workers: processes that make records; "google" has one.
        block_bytes: bytes of text processed together if `inputs` are names; random
            second texts come from the same block.
        limit_mb: the most input of the "google" policy.
        overwrite: replace existing files.
        progress: show progress bars.

    Returns:
        Counts: `records`, `tokens`, `masked`, irregularities of the text, and so on.

    Raises:
        MissingFileError: an input does not exist.
        ExistingOutputError: an output exists and `overwrite` is False.
        InputError: there is no text.
        ConfigError: the "google" policy does not support the settings.

    Example:
        >>> create_pretraining_data(
        ...     "corpus/*.txt", "records@4", tokenizer, workers=4
        ... )["records"]  # doctest: +SKIP
        51234
    """
    settings = settings or DataSettings()
    choose("policy", policy, POLICIES)
    check_counts(workers=workers)
    outputs = output_names(output_files)
    tokenizer.mask_token_id  # noqa: B018  a vocabulary without [MASK] fails early
    options = {"overwrite": overwrite, "progress": progress}
    if policy == "google":
        return _google(inputs, outputs, tokenizer, settings, limit_mb, **options)
    source = inputs if isinstance(inputs, Source) else TextFiles(inputs, block_bytes)
    return RecordPipeline(
        source, outputs, tokenizer, settings, workers=workers, **options
    )()


# === Google's policy ===


def _google(
    inputs: Inputs,
    outputs: list[Path],
    tokenizer: BertTokenizer,
    settings: DataSettings,
    limit_mb: float,
    *,
    overwrite: bool,
    progress: bool,
) -> Counter[str]:
    flags = _google_flags(settings)
    if isinstance(inputs, Source):
        raise ConfigError("The google policy reads text files, not other sources.")
    files = expand(inputs)
    _check_size(files, limit_mb)
    keys = {field.name: field.key(settings.naming) for field in record_fields()}
    with RecordWriter(outputs, overwrite=overwrite) as writer:
        rng = random.Random(settings.random_seed)
        lines = tqdm(read_lines(files), "reading", unit=" lines", disable=not progress)
        made = google.instances(lines, tokenizer, flags, rng)
        if not made:
            raise InputError(
                f"Expected text in {', '.join(map(str, files))}, found none. Write one "
                "sentence per line and a blank line between documents."
            )
        steps = range(0, len(made), _GOOGLE_STEP)
        for start in tqdm(steps, "records", disable=not progress):
            columns = google.columns(made[start : start + _GOOGLE_STEP], flags)
            writer.write(encode_examples({keys[n]: c for n, c in columns.items()}))
    return Counter(records=len(made))


def _google_flags(settings: DataSettings) -> google.GoogleSettings:
    """Returns the original's flags, or raises if it has no such option."""
    plain = DataSettings()
    only_default = ("objective", "pieces_per_row", "form", "words")
    changed = [n for n in only_default if getattr(settings, n) != getattr(plain, n)]
    if changed or settings.masking not in ("token", "word"):
        raise ConfigError(
            f"The google policy has no {', '.join(changed) or settings.masking}; "
            "choose the default policy."
        )
    same = (name for name in google.GoogleSettings._fields if hasattr(settings, name))
    return google.GoogleSettings(
        **{name: getattr(settings, name) for name in same},
        do_whole_word_mask=settings.masking == "word",
    )


def _check_size(files: Sequence[Path], limit_mb: float) -> None:
    size = sum(file.stat().st_size for file in files) / 1e6
    if size > limit_mb:
        raise InputError(
            f"The google policy holds the corpus in memory. Expected at most "
            f"{limit_mb:g} MB, received {size:.1f} MB. Use the default policy, or "
            "raise the limit (limit_mb)."
        )
