"""Text to pretraining records, by the default policy or by Google's."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from keras_bert.errors import ConfigError, InputError, choose
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

    A file of records appears when it is complete. A run that was killed goes on
    when it is started again, and ends in the same bytes.

    Args:
        inputs: UTF-8 text, one sentence a line, a blank line between documents;
            names, patterns, comma lists, `.gz` included. Or another `Source`.
        output_files: TFRecord files; `name@4` stands for
            `name-00000-of-00004` and so on. A name that ends in `.gz` is compressed.
        tokenizer: the tokenizer.
        settings: see `DataSettings`.
        policy: "default" streams, in memory that does not grow with the corpus;
            its instances depend on the seed and the text, not on the number of
            workers or files. "google" gives Google's own records, bit by bit, and
            holds everything in memory.
        workers: processes that make records; "google" has one.
        block_bytes: text that is worked on at a time, for `inputs` that are names;
            random second texts come from the same block.
        limit_mb: the most input the "google" policy takes.
        overwrite: replace files that are there already.
        progress: show progress bars.

    Returns:
        What was counted: `records`, `tokens`, `masked`, what was odd in the text,
        and so on.

    Raises:
        MissingFileError: an input does not exist.
        ExistingOutputError: an output exists and `overwrite` is False.
        InputError: there is nothing to make records from.
        ConfigError: the "google" policy cannot do what the settings say.

    Example:
        >>> create_pretraining_data(
        ...     "corpus/*.txt", "records@4", tokenizer, workers=4
        ... )["records"]  # doctest: +SKIP
        51234
    """
    settings = settings or DataSettings()
    choose("policy", policy, POLICIES)
    outputs = output_names(output_files)
    tokenizer.mask_token_id  # noqa: B018  refuses a vocabulary without [MASK] early
    if policy == "google":
        return _google(
            inputs, outputs, tokenizer, settings, limit_mb, overwrite, progress
        )
    source = inputs if isinstance(inputs, Source) else TextFiles(inputs, block_bytes)
    run = RecordPipeline(
        source,
        outputs,
        tokenizer,
        settings,
        workers=workers,
        overwrite=overwrite,
        progress=progress,
    )
    return run()


# Google's policy


def _google(
    inputs: Inputs,
    outputs: list[Path],
    tokenizer: BertTokenizer,
    settings: DataSettings,
    limit_mb: float,
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
        steps = range(0, len(made), _GOOGLE_STEP)
        for start in tqdm(steps, "records", disable=not progress):
            some = made[start : start + _GOOGLE_STEP]
            columns = google.columns(some, flags)
            writer.write(encode_examples({keys[n]: c for n, c in columns.items()}))
        if not made:
            raise InputError(
                f"Expected text in {', '.join(map(str, files))}, found none. Write one "
                "sentence a line and a blank line between documents."
            )
    return Counter(records=len(made))


def _google_flags(settings: DataSettings) -> google.GoogleSettings:
    """The original's flags; refuses what the original cannot do."""
    plain = DataSettings()
    only_default = ("objective", "pieces_per_row", "form", "chinese_whole_words")
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
            f"The google policy holds the corpus in memory and takes at most "
            f"{limit_mb:g} MB, received {size:.1f} MB. Use the default policy, or "
            "raise the limit (--google_limit_mb)."
        )
