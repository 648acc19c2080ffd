"""A task: a model with its tokenizer and labels, trained, scored and asked in one."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from keras_bert.checkpoints import formats, sentence_modules
from keras_bert.checkpoints.checkpoint import Checkpoint
from keras_bert.checkpoints.matching import match_weights
from keras_bert.errors import (
    ConfigError,
    ExistingOutputError,
    InputError,
    check_counts,
    choose,
)
from keras_bert.families import of as family_of
from keras_bert.families.family import ALIKE, CLASSIFIERS
from keras_bert.loading import load_pretrained, local_path
from keras_bert.tasks.examples import Example
from keras_bert.tasks.labels import LISTS, class_counts, label_names, labels_to_train
from keras_bert.tasks.splits import Split, split
from keras_bert.tasks.text_classification import dataset
from keras_bert.tasks.tfds_tables import with_split
from keras_bert.tasks.trimming import predict, trimmed

if TYPE_CHECKING:
    from keras_bert.analysis.report import Mistakes, Section

SEED = 12345
log = logging.getLogger(__name__)
STORED = "task_specific_params"  # of config.json
MEMORY = "the data"  # what messages call data that is in no file


class Task(ABC):
    """What a model is used for, with everything that takes.

    A kind of task is a subclass: it reads its data, encodes them as features and
    labels, and scores what the model answers. See `keras_bert.tasks.TASKS`.

    Args:
        source: a model; or a checkpoint that `keras_bert.checkpoints.formats.read`
            returned, from which the model is made when its labels are known.
        tokenizer: of the texts.
        labels: names of the classes in the order of their ids; None takes those of a
            trained head or, in `fit`, those of the data.
        max_length: the most tokens of a row; None takes that of the settings to train
            with, and the model's limit otherwise.
        dtype: dtype policy of the model.
        seed: for initial values, shuffling and dropout.
        ignore_mismatched_sizes: whether `fit` may replace a trained head by a new one
            where the data has other classes.
        **settings: of the kind of task, see its `settings`; None takes what is kept
            with the checkpoint, or the default.

    Attributes:
        options: the settings of the kind of task, by name.
        history: the lines of the log of the last `fit`, see
            `keras_bert.training.loop.Run`.

    Example:
        >>> from keras_bert.tasks import TextClassification
        >>> task = TextClassification.from_pretrained("ckpt/")  # doctest: +SKIP
        >>> task.fit("train.csv", dev="dev.csv", epochs=2)  # doctest: +SKIP
        >>> task.predict(["A fine film."])[0]["label"]  # doctest: +SKIP
        'positive'
    """

    name: ClassVar[str]
    head: ClassVar[str]  # its kind, a key of `Family.heads`
    recipe: ClassVar[Mapping[str, Any]] = {}  # fields of `FineTuning` by default
    any_head: ClassVar[bool] = False  # whether a trained head of any kind is scored
    # What a kind of task can be set to do, by name, and the defaults. The settings are
    # kept in the `task_specific_params` of the model's config, as in transformers.
    settings: ClassVar[Mapping[str, Any]] = {}
    joins_pairs: ClassVar[bool] = True  # whether two texts are one row of the model
    token_labels: ClassVar[bool] = False  # whether labels and outputs are of tokens
    # What `write_predictions` can write.
    files: ClassVar[tuple[str, ...]] = ("predictions",)
    # What `rows` understands about files.
    reading: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        source: Any,
        tokenizer: Any = None,
        *,
        labels: Sequence[str] | None = None,
        max_length: int | None = None,
        dtype: Any = None,
        seed: int = SEED,
        ignore_mismatched_sizes: bool = False,
        **settings: Any,
    ):
        given = isinstance(source, Checkpoint)
        self.checkpoint: Checkpoint | None = source if given else None
        self._model = None if given else source
        self._tokenizer = tokenizer
        self.given_labels = list(labels) if labels is not None else None
        self.dtype, self.seed = dtype, seed
        self.ignore_mismatched_sizes = ignore_mismatched_sizes
        self.history: list[dict] = []
        self._traced: tuple[str, Any] | None = None
        for name in settings:
            choose(f"setting of {self.name}", name, self.settings)
        kept = dict(self.config.extra.get(STORED) or {}).get(self.name) or {}
        known = {k: v for k, v in kept.items() if k in self.settings}
        given_settings = {k: v for k, v in settings.items() if v is not None}
        self.options: dict[str, Any] = {**self.settings, **known, **given_settings}
        self.max_length = max_length or kept.get("max_length")

    # === Model, tokenizer, files ===

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, tokenizer: Any = None, **options: Any
    ) -> Self:
        """Starts from a checkpoint of any format, pretrained or trained on the task.

        Args:
            path: a directory, a weights file, a TensorFlow prefix, or `hf://org/name`;
                or the directory of a run.
            tokenizer: instead of that of the checkpoint.
            **options: see the class.

        Raises:
            CheckpointError: it is no checkpoint, or damaged.
            InputError: this package does not have its tokenizer.
        """
        place = local_path(path)
        if (place / "plan.json").is_file():  # of a run, which has the model in it
            place = place / "model"
        checkpoint = formats.read(place)
        if tokenizer is None:
            tokenizer = _tokenizer_in(place, checkpoint)
        return cls(checkpoint, tokenizer, **options)

    load = from_pretrained

    @classmethod
    def for_model(cls, model: Any, *args: Any, **options: Any) -> "Task":
        """Returns the task of a model with its own head; see the class."""
        return cls(model, *args, **options)

    @classmethod
    def fits(cls, model: Any) -> bool:
        """Whether a model is one for this task."""
        return type(model).kind == cls.head

    @property
    def model(self) -> Any:
        """The model; one of a checkpoint is made when it is first needed.

        Raises:
            InputError: the checkpoint has no trained head for this task.
        """
        if self._model is None:
            self._require_head()
            self._model = self.make_model({})
        return self._model

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the texts.

        Raises:
            InputError: there is none.
        """
        found = self._tokenizer
        if found is None and self._model is not None:
            found = self._model.tokenizer
        if found is None:
            raise InputError(
                f"Expected a tokenizer for {type(self).__name__}. Received: none. Pass "
                "tokenizer=BertTokenizer.from_pretrained(directory)."
            )
        return found

    @property
    def config(self) -> Any:
        """The config of the model, or of the checkpoint it will be made from."""
        return (self._model or self.checkpoint).config

    @property
    def row_length(self) -> int:
        """The most tokens of a row: `max_length`, or what the model can take."""
        limit = min(self.config.max_length, self.tokenizer.model_max_length)
        return self.max_length or limit

    @property
    def model_class(self) -> Any:
        """The class of the model."""
        from keras_bert.models import MODELS

        return MODELS[family_of(self.config).class_name(self.head)]

    def missing_parts(self) -> list[str]:
        """Returns the parts of the model that the checkpoint lacks."""
        if self.checkpoint is None:
            return []
        parts = self.model_class.parts_for()
        present = match_weights(self.checkpoint, self.config, parts).present
        return [part for part in parts if part not in ("encoder", *present)]

    def _require_head(self) -> None:
        models = family_of(self.config).models
        trained = models.get(self.checkpoint.head or "")
        if trained in ALIKE and self.head in ALIKE - {trained}:
            raise InputError(
                f"Expected a model trained for {self.name}. Received: a "
                f"{self.checkpoint.head}, in {self.checkpoint.path}."
            )
        if missing := self.missing_parts():
            raise InputError(
                f"Expected weights of {', '.join(missing)} for {self.name} in "
                f"{self.checkpoint.path}. Received: "
                f"{self.checkpoint.head or 'a checkpoint without them'}. Train it "
                "first: task.fit(data), or keras-bert finetune."
            )

    def make_model(self, fields: Mapping[str, Any]) -> Any:
        """Returns the model of the checkpoint.

        Args:
            fields: of its config, to set differently.
        """
        if self.settings:
            extra = {**self.config.extra, **fields.get("extra", {})}
            kept = dict(self.options)
            if kept.get("doc_stride"):  # windows as wide as they were in training
                kept["max_length"] = self.max_length
            extra[STORED] = {**(extra.get(STORED) or {}), self.name: kept}
            fields = {**fields, "extra": extra}
        return load_pretrained(
            self.model_class,
            self.checkpoint,
            dtype=self.dtype,
            seed=self.seed,
            ignore_mismatched_sizes=self.ignore_mismatched_sizes,
            **fields,
        )

    def save(
        self, path: str | Path, *, format: str | None = None, overwrite: bool = False
    ) -> Path:
        """Writes model, labels and tokenizer as a directory, for `load`.

        Args:
            path: the directory; it appears whole or not at all.
            format: see `PreTrainedModel.save_pretrained`; None takes its default.
            overwrite: replace an existing checkpoint directory.
        """
        options = {"tokenizer": self.tokenizer, "overwrite": overwrite}
        options |= {"format": format} if format else {}
        return self.model.save_pretrained(path, **options)

    def export(self, path: str | Path, **options: Any) -> Path:
        """Writes a SavedModel that takes texts; see `keras_bert.serving.export`.

        Args:
            path: the model's directory, in which the version is written.
            **options: further arguments of `export`.
        """
        from keras_bert.serving.export import export

        options = {"max_length": self.max_length} | options
        return export(self.model, path, self.tokenizer, **options)

    # === What a kind of task defines ===

    @abstractmethod
    def rows(
        self, source: Any, labels: Any = None, *, labeled: bool = True, **reading: Any
    ) -> list:
        """Returns one item for each row of the data, also for blank ones.

        Args:
            source: a file's path, or data in memory.
            labels: of data in memory.
            labeled: whether labels are read.
            **reading: how a file is read, by names in `reading`.
        """

    def filled(self, rows: list, name: str, *, labeled: bool = True) -> list:
        """Returns the items without those of blank rows.

        Args:
            rows: what `rows` returned.
            name: of their file, for messages.
            labeled: whether every item needs a label.
        """
        return rows

    def config_fields(self, items: list, name: str) -> dict[str, Any]:
        """Returns fields of the config of a model to train on items.

        Args:
            items: the training data.
            name: of their file, for messages.
        """
        return {}

    def classes_to_train(self, examples: Sequence[Example], name: str) -> list[str]:
        """Returns the classes of a model to train, and makes them the task's labels.

        The checkpoint loses a head of other classes, if that may be replaced.

        Args:
            examples: with all labels of the training data.
            name: of their file, for messages.

        Raises:
            InputError: see `keras_bert.tasks.labels.labels_to_train`.
        """
        part = next(p for p in self.model_class.parts_for() if p in CLASSIFIERS)
        trained = match_weights(self.checkpoint, self.config, (part,)).parts[part].found
        self.given_labels, new = labels_to_train(
            examples,
            name,
            head=label_names(self.config) if trained else None,
            head_lists=self.config.problem_type == LISTS,
            given=self.given_labels,
            renew=self.ignore_mismatched_sizes,
            model=str(self.checkpoint.path),
        )
        for weight in trained if new else ():
            del self.checkpoint.tensors[weight]
        return self.given_labels

    def describe(self, items: list) -> list[str]:
        """Returns what a run on items says of them, in a few words each."""
        return [f"{len(items):,} examples"]

    def counts(self, items: list) -> str:
        """Returns how many items each class has, as a sentence, or nothing."""
        return ""

    def stratum(self, item: Any) -> Any:
        """Returns what decides how an item is held out, see `tasks.splits.held_out`."""
        return None

    def check_items(self, items: list, name: str) -> None:  # noqa: B027
        """Raises InputError if items cannot be used with this model."""

    @abstractmethod
    def encode(
        self, items: list, *, labeled: bool = True, name: str = MEMORY
    ) -> tuple[dict[str, np.ndarray], Any]:
        """Returns features by input name `(rows, seq)`, and labels, or None.

        Args:
            items: the data.
            labeled: whether labels are needed.
            name: of their file, for messages.
        """

    def encoded(self, items: list, **options: Any) -> tuple:
        """Returns what the model is trained on and asked, see `encode`."""
        return self.encode(items, **options)

    @abstractmethod
    def score(
        self, items: list, outputs: Any, metrics: Sequence[str] | None = None
    ) -> dict[str, float]:
        """Returns the task's metrics.

        Args:
            items: with labels.
            outputs: of the model, see `outputs`.
            metrics: their names; None takes the usual ones.
        """

    def write_predictions(
        self, path: str | Path, rows: list, outputs: Any, *, overwrite: bool = False
    ) -> None:
        """Writes what the model answers, if the task has a form for it.

        Args:
            path: the file.
            rows: what `rows` returned.
            outputs: of the model, for the items among them.
            overwrite: replace an existing file.

        Raises:
            InputError: the task has none, or the rows do not fit it.
            ExistingOutputError: the file exists and `overwrite` is False.
        """
        raise InputError(
            f"Expected no file of predictions for {self.name}. Received: {path}."
        )

    # === What a report shows ===

    def mistakes(self, items: list, outputs: Any) -> "Mistakes | None":
        """Returns the worst mistakes, or None if the kind of task shows none.

        Args:
            items: with labels.
            outputs: of the model, see `outputs`.
        """
        return None

    def sections(self, items: list, outputs: Any) -> "list[Section]":
        """Returns what a report shows of answers besides scores and mistakes.

        Args:
            items: with labels.
            outputs: of the model, see `outputs`.
        """
        return []

    def lengths(self, items: list) -> np.ndarray | None:
        """Returns the tokens of each item before any are cut off, if they are known."""
        return None

    def class_facts(self, items: list) -> dict[str, Any]:
        """Returns facts about the classes of items, by name."""
        return {}

    # === Data in, scores and answers out ===

    def read(
        self,
        source: Any,
        labels: Any = None,
        *,
        labeled: bool = True,
        **reading: Any,
    ) -> list:
        """Returns the items of data, all of them usable.

        Args:
            source: a file's path, or data in memory.
            labels: of data in memory.
            labeled: whether labels are needed.
            **reading: how a file is read, by names in `reading`.

        Raises:
            InputError: the data cannot be used; the message names the row.
        """
        for key in reading:
            choose(f"option of data for {self.name}", key, self.reading)
        rows = self.rows(source, labels, labeled=labeled, **reading)
        return self.filled(rows, name_of(source), labeled=labeled)

    def outputs(self, items: list, *, batch_size: int = 32) -> Any:
        """Returns what the model computes of items, in order."""
        features, _ = self.encoded(items, labeled=False)[:2]
        if self.token_labels:
            return self.model.predict(features, batch_size=batch_size, verbose=0)
        return predict(self.model, features, batch_size)

    def evaluate(
        self,
        data: Any,
        labels: Any = None,
        *,
        metrics: Sequence[str] | None = None,
        batch_size: int = 32,
        **reading: Any,
    ) -> dict[str, float]:
        """Returns scores on labeled data, by name.

        Args:
            data: a file's path, or data in memory.
            labels: of data in memory.
            metrics: names; None takes those usual for the task.
            batch_size: rows per batch.
            **reading: how a file is read, by names in `reading`.
        """
        items = self.read(data, labels, **reading)
        self.check_items(items, name_of(data))
        return self.score(items, self.outputs(items, batch_size=batch_size), metrics)

    def predict(
        self,
        texts: Sequence[Any],
        text_pairs: Sequence[Any] | None = None,
        *,
        batch_size: int = 32,
        **answers: Any,
    ) -> list[dict[str, Any]]:
        """Returns an answer for every text, as the exported model gives it.

        Answers are of strings, numbers and lists, as `json.dumps` takes them.

        Args:
            texts: strings.
            text_pairs: as many second texts, where the task takes two.
            batch_size: rows per batch.
            **answers: further settings of answers, see
                `keras_bert.serving.predictor.Predictor`.
        """
        options = {"max_length": self.max_length, "batch_size": batch_size}
        predictor = self._predictor(options | answers)
        return [_plain(answer) for answer in predictor(texts, text_pairs)]

    def _predictor(self, options: Mapping[str, Any]) -> Any:
        """Returns what answers texts: the last one again, as tracing takes seconds."""
        from keras_bert.serving.predictor import Predictor

        weights = [id(weight) for weight in self.model.weights]
        key = repr((weights, id(self.tokenizer), sorted(options.items())))
        if self._traced is None or self._traced[0] != key:
            self._traced = key, Predictor(self.model, self.tokenizer, **options)
        return self._traced[1]

    # === Training ===

    def hold_out(self, items: list, fraction: float, seed: int | None = None) -> Split:
        """Divides items into those to train and those to evaluate on.

        Args:
            items: what `read` returned.
            fraction: of the items to hold out, between 0 and 1; of every class, as far
                as rows can be divided.
            seed: for choosing them; None takes the task's.

        Raises:
            ConfigError: the fraction is out of range.
            InputError: there are too few items.
        """
        seed = self.seed if seed is None else seed
        return split(items, list(map(self.stratum, items)), fraction, seed)

    def fit(
        self,
        data: Any,
        labels: Any = None,
        *,
        dev: Any = None,
        output: str | Path | None = None,
        teacher: "Task | None" = None,
        show_progress: bool = True,
        **settings: Any,
    ) -> Self:
        """Trains on labeled data.

        Args:
            data: a file's path, `tfds:` with the name of a data set of
                `tensorflow_datasets`, or data in memory.
            labels: of data in memory.
            dev: data to evaluate on after every epoch: a path, or data and labels; or
                the fraction of `data` to hold out, such as 0.1, see `hold_out`.
            output: the directory of the run, where it is logged, can be interrupted
                and called again to resume; the trained model is written to `model` in
                it. None keeps the model in memory alone.
            teacher: a trained task of this kind, with the same labels and vocabulary,
                whose answers are learned too; see
                `keras_bert.training.distillation.Distillation` for what the setting
                `distillation` may hold.
            show_progress: display a progress line.
            **settings: fields of `keras_bert.training.recipes.FineTuning`, such as
                `epochs`, `batch_size` and `learning_rate`; arguments of
                `keras_bert.training.loop.Plan`, such as `patience`; and how files are
                read, by names in `reading`.

        Returns:
            The task.

        Raises:
            InputError: the data cannot be used; the message names the row.
            ConfigError: a setting is out of range.
        """
        from keras_bert.training.plan import Plan
        from keras_bert.training.recipes import FineTuning, override, setting_names

        known = setting_names(FineTuning)
        reading = {k: settings.pop(k) for k in self.reading if k in settings}
        changes = {k: settings.pop(k) for k in known if k in settings}
        recipe = override(FineTuning(head=self.head, **self.recipe), changes)
        others = [f.name for f in fields(Plan)]
        for name in settings:
            choose("setting", name, (*known, *others, *self.reading))
        check_kind(self.name, recipe)
        self.max_length = changes.get("max_length") or self.max_length
        items = self.read(with_split(data, "train"), labels, **reading)
        held_out = None
        parts = self.hold_out(items, dev) if isinstance(dev, float) else None
        if parts is not None:
            items, held_out = parts.train, parts.dev
        elif dev is not None:
            held_out = self.read(
                *(dev if isinstance(dev, tuple) else (dev,)), **reading
            )
        with nullcontext(output) if output else TemporaryDirectory() as folder:
            names = name_of(data), name_of(dev)
            options = {"every_epoch": dev is not None, **settings}
            if teacher is not None:
                options["distillation"] = dict(options.get("distillation") or {})
            run = self.run_on(items, held_out, recipe, folder, names=names, **options)
            if output and parts is not None:
                parts.keep(output)
            run.show_progress = show_progress
            run.teacher = teacher and teacher.model
            self.history = run()
            self.keep(run)
            if output:
                self.save(Path(output) / "model", overwrite=True)
                self.report_run(run, recipe, items, held_out, names=names)
        return self

    def report_run(
        self,
        run: Any,
        recipe: Any,
        items: list,
        dev: list | None = None,
        *,
        names: tuple[str, str] = (MEMORY, MEMORY),
        **options: Any,
    ) -> Path | None:
        """Writes `report.html` into the directory of a run that has ended.

        Args:
            run: that `run_on` returned.
            recipe: its settings.
            items: the training data.
            dev: labeled data to answer, or None.
            names: of both files.
            **options: further attributes of `keras_bert.tasks.run_report.RunReport`.

        Returns:
            The file, or None if another process of the run writes it.
        """
        from keras_bert.tasks.run_report import NAME, of_run

        if not run.writes:
            return None
        kinds = "training", "development"
        titles = [f"{a}: {b}" if b else a for a, b in zip(kinds, names, strict=True)]
        data = dict(zip(titles, (items, dev), strict=True))
        if dev is None:
            del data[titles[1]]
        with run.weights_to_keep():
            report = of_run(self, run, recipe, data, **options)
            return report.write(run.directory / NAME, overwrite=True)

    def report(
        self,
        path: str | Path,
        data: Any,
        labels: Any = None,
        *,
        texts: Sequence[str] = (),
        batch_size: int = 32,
        overwrite: bool = False,
        **reading: Any,
    ) -> Path:
        """Writes a page about the answers to labeled data: scores, mistakes, attention.

        Args:
            path: the HTML file.
            data: a file's path, or data in memory.
            labels: of data in memory.
            texts: whose attention is shown; without any, that of the worst mistake.
            batch_size: rows per batch.
            overwrite: replace an existing file.
            **reading: how a file is read, by names in `reading`.
        """
        from keras_bert.tasks.run_report import Answered, RunReport, title_of

        items = self.read(data, labels, **reading)
        self.check_items(items, name_of(data))
        answered = Answered.by(self, items, batch_size=batch_size)
        named = {name_of(data): items}
        report = RunReport(self, title_of(self), named, answered, texts=texts)
        return report.write(path, overwrite=overwrite)

    def keep(self, run: Any) -> None:
        """Gives the model the averaged weights of a run, if the plan asks for them."""
        if run.plan.ema_momentum is not None:
            with run.weights_to_keep():
                weights = self.model.get_weights()
            self.model.set_weights(weights)

    def run_on(
        self,
        items: list,
        dev: list | None,
        recipe: Any,
        directory: str | Path,
        *,
        names: tuple[str, str] = (MEMORY, MEMORY),
        every_epoch: bool = False,
        **options: Any,
    ) -> Any:
        """Returns a run that trains the model, made if it was not before.

        Args:
            items: the training data.
            dev: data to evaluate on, or None.
            recipe: a `FineTuning`.
            directory: of the run.
            names: of both files, for messages.
            every_epoch: evaluate after every epoch.
            **options: further arguments of `Plan`.
        """
        from keras_bert.training.loop import Run

        check_counts(batch_size=recipe.batch_size)
        _refuse_model_folder(Path(directory))
        self.max_length = self.length_in(recipe)
        make = self._maker(items, names[0])
        rows = self.encoded(items, name=names[0])
        grouping = {"group_by_length": True} if recipe.group_by_length else {}
        options = {"data_digest": digest_of(rows, *grouping), **options}
        count = len(next(iter(rows[0].values())))
        if every_epoch:
            options = {"evaluate_every": -(-count // recipe.batch_size)} | options
        classes = class_counts(rows[1], getattr(self, "labels", None))
        plan = recipe.plan(count, classes, **options)
        model = self._made_in_scope(make, plan, recipe.batch_size, dev)
        size = recipe.batch_size
        shuffling = {"shuffle_seed": self.seed, "repeat": True, **grouping}
        train = self.batches(model, rows, size, **shuffling)
        held_out = None
        if dev is not None:
            self.check_items(dev, names[1])
            rows = self.encoded(dev, name=names[1])
            held_out = self.batches(model, rows, size)
        return Run(
            model,
            plan,
            Path(directory),
            train,
            held_out,
            score=self._scorer(plan, dev, size),
            adapter_of="" if self.checkpoint is None else str(self.checkpoint.path),
        )

    def _scorer(self, plan: Any, dev: list | None, size: int) -> Any:
        """Returns what a run calls for the task's scores, if it monitors one."""
        if dev is None or plan.monitor.endswith(("loss", "accuracy")):
            return None
        return lambda: self._monitored(dev, plan.monitor, batch_size=size)

    def _monitored(self, items: list, monitor: str, **options: Any) -> dict[str, float]:
        """Returns the usual scores, and one to monitor."""
        outputs = self.outputs(items, **options)
        found = self.score(items, outputs)
        return found if monitor in found else self.score(items, outputs, [monitor])

    def length_in(self, recipe: Any) -> int:
        """Returns the most tokens of a row in training."""
        asked, limit = self.max_length or recipe.max_length, self.config.max_length
        if self.max_length and asked > limit:
            log.warning(
                "max_length=%d is more than the model takes: rows of more than %d "
                "tokens are refused",
                *(asked, limit),
            )
        return self.max_length or min(asked, limit)

    def learner(self) -> Any:
        """Returns what is trained: the model, or one that shares its layers."""
        return self.model

    def _made_in_scope(self, make: Any, plan: Any, batch_size: int, dev: Any) -> Any:
        """Makes the model on the devices of a plan that fits; returns the learner."""
        from keras_bert.training.checks import check_microbatches, check_vocabulary
        from keras_bert.training.distribution import distribution
        from keras_bert.training.loop import adapt, check

        devices = distribution(plan.distribution, plan.model_shards)
        microbatches = plan.gradient_accumulation_steps
        check_microbatches(batch_size, microbatches, replicas=devices.replicas)
        with devices.scope():
            self._model = make()
            adapt(self._model, plan)
            learner = self.learner()
        names = dev and partial(self._monitored, dev[:2], plan.monitor)
        check(plan, learner, dev, names)
        check_vocabulary(self.tokenizer, learner)
        return learner

    def batches(self, model: Any, rows: tuple, size: int, **options: Any) -> Any:
        """Returns a `tf.data.Dataset` to train or evaluate on.

        Args:
            model: that learns.
            rows: what `encode` returned.
            size: rows per batch.
            **options: of `keras_bert.tasks.dataset`.
        """
        features, labels, *weights = rows
        model.check(features)
        data = dataset(features, labels, size, *weights, **options)
        return data.map(partial(trimmed, token_labels=self.token_labels))

    def _maker(self, items: list, name: str) -> Any:
        """Returns what makes the model to train; chooses its labels now."""
        if self._model is not None:
            self.check_items(items, name)
            return lambda: self._model
        fields = self.config_fields(items, name)
        return lambda: self.make_model(fields)


def digest_of(rows: Any, *order: str) -> str:
    """Returns what tells the rows of a run from others: a digest of all numbers.

    Args:
        rows: what `Task.encode` returned.
        *order: names of what else chooses the batches.
    """
    found = sha256("".join(order).encode())
    for part in [*rows[0].values(), *rows[1:]]:
        arrays = part.values() if isinstance(part, Mapping) else [part]
        for array in arrays:
            found.update(np.ascontiguousarray(array if array is not None else 0))
    return found.hexdigest()[:16]


def _refuse_model_folder(folder: Path) -> None:
    """Raises for the folder of a model, whose files a run would mix with its own."""
    holds = (folder / "config.json").is_file() and not (folder / "plan.json").exists()
    if holds:
        raise ExistingOutputError(
            "Expected a new directory, or that of a run to resume. Received: "
            f"{folder}, which holds a model. Choose another output."
        )


def check_kind(name: str, recipe: Any) -> None:
    """Raises for a recipe whose labels are numbers where the task's are not.

    Raises:
        ConfigError: naming the task.
    """
    if recipe.regression and name != "regression":
        raise ConfigError(
            f"Expected regression=True for regression only. Received: {name}. Choose "
            "the task regression, TextRegression."
        )


def name_of(source: Any) -> str:
    """Returns what messages call data: the path of a file, or "the data"."""
    return str(source) if isinstance(source, str | Path) else MEMORY


def is_file(source: Any) -> bool:
    """Whether data is in a file."""
    return isinstance(source, str | Path)


def _tokenizer_in(place: Path, checkpoint: Checkpoint) -> Any:
    """Returns the tokenizer of a checkpoint."""
    from keras_bert.tokenization import tokenizer_class

    kind = tokenizer_class(checkpoint.config)
    path = sentence_modules.transformer_folder(place)
    # A Google checkpoint may be given by the prefix of its files.
    folder = path if path.is_dir() else path.parent
    tokenizer = kind.from_pretrained(folder)
    modules = checkpoint.sentence_modules
    changes = modules.tokenizer_changes(tokenizer.settings()) if modules else {}
    return kind.from_pretrained(folder, **changes) if changes else tokenizer


def _plain(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an answer as JSON has it: without NumPy's arrays, and bytes."""
    return {name: _value(value) for name, value in answer.items()}


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return [_value(item) for item in value] if isinstance(value, list) else value
