"""The modules of sentence-transformers that turn states of tokens into one vector.

Its folders list them in `modules.json`, each with a directory of its own. The first
one, the Transformer, is the checkpoint itself; the others pool its states, and project
and scale the result. All their files are kept byte by byte, also of modules that are
not computed here.

Source: `base/model.py`, `modules/transformer.py` and `modules/pooling.py` of
sentence-transformers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from keras_bert.errors import CheckpointError
from keras_bert.families import FAMILIES
from keras_bert.sentence_recipe import (
    DENSE,
    NORMALIZE,
    SIMILARITIES,
    UNIT_LENGTH,
    SentenceRecipe,
    Step,
)
from keras_bert.tokenizer_folder import DEFAULTS

MODULES, SETTINGS = "modules.json", "config_sentence_transformers.json"
# Of the Transformer; the name follows the model for which the folder was first written.
TRANSFORMER = tuple(
    f"sentence_{kind}_config.json" for kind in (*FAMILIES, "camembert", "xlnet")
)
# The poolings, by the switches that older folders have, in the order of the vector.
POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# What settings have to be, where they are set, for a module to be computed here.
OF_TRANSFORMER = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "processing_kwargs": {},
}
OF_VECTORS = dict.fromkeys(
    ("module_input_name", "module_output_name"), "sentence_embedding"
)
OF_DENSE = {**OF_VECTORS, "use_residual": False}
# Of a Dense, by the names of PyTorch's classes.
ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": "linear",
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.GELU": "gelu",
    "torch.nn.modules.activation.SiLU": "silu",
}
COMPUTED = "Transformer, Pooling, and then Dense and Normalize"
OWN_FOLDER = "0_"  # how the name of a Transformer's folder begins, if it has one
CHOOSE = (
    "Choose a pooling instead (embeddings='mean', --embeddings mean; of a "
    "SentenceEncoder recipe=, of keras-bert embed --pooling), or the states of all "
    "tokens (embeddings='none', --embeddings none)."
)


@dataclass(frozen=True)
class SentenceModules:
    """The modules of a folder.

    Args:
        source: the folder, for messages.
        files: their contents by path in the folder, without those of the checkpoint.
    """

    source: Path
    files: Mapping[str, bytes]

    @cached_property
    def modules(self) -> list[dict[str, Any]]:
        """The modules in order, each with its `path` and `type`."""
        return _modules(self.files[MODULES], self.source)

    @property
    def embeds(self) -> bool:
        """Whether the folder makes one vector of a text."""
        return any(_kind(module) == "Pooling" for module in self.modules)

    @property
    def max_seq_length(self) -> int | None:
        """The most tokens of a text; None leaves that to the tokenizer.

        Raises:
            CheckpointError: it is not a number of tokens.
        """
        length = self._of_transformer.get("max_seq_length")
        if length is not None and (type(length) is not int or length < 3):
            raise CheckpointError(
                f"Expected max_seq_length in {self.source} to be a number of tokens, "
                f"at least 3, or null. Received: {length!r}. Correct the file "
                f"{self._transformer_file}."
            )
        return length

    def tokenizer_changes(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the folder sets differently in its tokenizer.

        Args:
            settings: of the tokenizer's own files.

        Raises:
            CheckpointError: `max_seq_length` is not a number of tokens.
        """
        length = self.max_seq_length
        changes = {} if length is None else {"model_max_length": length}
        found = DEFAULTS | dict(settings)
        if self._of_transformer.get("do_lower_case") and not found["do_lower_case"]:
            # The text is lower-cased before the tokenizer, which keeps accents if
            # it kept them before.
            accents = bool(found["strip_accents"])
            changes |= {"do_lower_case": True, "strip_accents": accents}
        return changes

    def recipe(self) -> SentenceRecipe:
        """Returns how the folder's vectors are made.

        Raises:
            CheckpointError: by a module, or in a way, that this package does not
                compute; the message names it.
        """
        first, *others = self.modules
        kinds = [_kind(module) for module in others]
        fits = [k == "Pooling" if i == 0 else k in STEPS for i, k in enumerate(kinds)]
        odd = [m for m, right in zip(others, fits, strict=True) if not right]
        odd = ([] if _kind(first) else [first]) + odd
        if odd or not others:
            named = [f"{m['path'] or m.get('name')} ({m['type']})" for m in odd]
            self._refuse(f"the modules {COMPUTED}", named[0] if named else "no Pooling")
        self._require(self._transformer_file, OF_TRANSFORMER)
        pooling = self._json(_config_of(others[0]))
        return SentenceRecipe(
            self._poolings(pooling),
            tuple(STEPS[_kind(module)](self, module) for module in others[1:]),
            bool(pooling.get("include_prompt", True)),
            max_length=self.max_seq_length,
            **self._settings(),
        )

    @property
    def dense(self) -> list[str]:
        """The folders of the dense layers, in order."""
        return [module["path"] for module in self.modules if _kind(module) == DENSE]

    def write(self, folder: Path) -> None:
        """Writes the files into the directory of a checkpoint."""
        for name, contents in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(contents)

    @property
    def _transformer_file(self) -> str:
        return next((n for n in TRANSFORMER if n in self.files), TRANSFORMER[0])

    @property
    def _of_transformer(self) -> dict[str, Any]:
        return self._json(self._transformer_file)

    def _json(self, name: str) -> dict[str, Any]:
        return _parsed(self.files.get(name, b"{}"), dict, self.source / name)

    def _require(self, name: str, required: Mapping[str, Any]) -> None:
        values = self._json(name)
        for key, value in required.items():
            if values.get(key) not in (value, None):
                self._refuse(f"{key}: {value!r} in {name}", repr(values[key]))

    def _poolings(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        switches = [k for k in values if k.startswith("pooling_mode_") and values[k]]
        unknown = [key for key in switches if key not in POOLINGS]
        named = values.get("pooling_mode")
        if named is None:
            named = [POOLINGS[key] for key in POOLINGS if key in switches] or ["mean"]
        named = [named] if isinstance(named, str) else named
        is_list = isinstance(named, list) and named
        unknown += [n for n in named if n not in POOLINGS.values()] if is_list else []
        if unknown or not is_list:
            known = ", ".join(POOLINGS.values())
            self._refuse(f"the pooling modes {known}", str((unknown or [named])[0]))
        return tuple(named)

    def _settings(self) -> dict[str, Any]:
        values = self._json(SETTINGS)
        name, given = values.get("default_prompt_name"), values.get("prompts") or {}
        known = given if isinstance(given, dict) else {}
        prompts = {k: v or "" for k, v in known.items()}
        texts = all(isinstance(text, str) for text in prompts.values())
        if not texts or (name is not None and name not in prompts):
            self._refuse(f"the prompt of default_prompt_name in {SETTINGS}", repr(name))
        similarity = values.get("similarity_fn_name") or SIMILARITIES[0]
        if similarity not in SIMILARITIES:
            self._refuse(f"similarity_fn_name in {SETTINGS}", repr(similarity))
        named = {"prompts": prompts, "default_prompt_name": name}
        return {**named, "similarity": similarity}

    def _dense(self, module: Mapping[str, Any]) -> Step:
        name = _config_of(module)
        self._require(name, OF_DENSE)
        values = self._json(name)
        # As sentence-transformers has it where the file does not say.
        activation = values.get("activation_function", [*ACTIVATIONS][1])
        if activation not in ACTIVATIONS:
            self._refuse(f"an activation of {', '.join(ACTIVATIONS)}", repr(activation))
        units = values.get("out_features")
        if type(units) is not int or units < 1:
            self._refuse(f"out_features in {name}, a number", repr(units))
        bias = bool(values.get("bias", True))
        return Step(DENSE, units, ACTIVATIONS[activation], bias)

    def _normalize(self, module: Mapping[str, Any]) -> Step:
        self._require(_config_of(module), OF_VECTORS)
        return UNIT_LENGTH

    def _refuse(self, expected: str, received: str) -> None:
        raise CheckpointError(
            f"Expected {expected}, for the vectors of the sentence-transformers folder "
            f"{self.source}. Received: {received}, which this package does not "
            f"compute. {CHOOSE}"
        )


# How the modules after the pooling are read.
STEPS = {DENSE: SentenceModules._dense, NORMALIZE: SentenceModules._normalize}


def transformer_folder(path: Path) -> Path:
    """Returns where the checkpoint of a folder is: there, or in a folder of its own.

    Args:
        path: any path of a checkpoint; one that is no such folder is returned.

    Raises:
        CheckpointError: `modules.json` is not as sentence-transformers writes it.
    """
    listed = path / MODULES
    if not listed.is_file():
        return path
    return path / _modules(listed.read_bytes(), path)[0]["path"]


def read(place: Path) -> SentenceModules | None:
    """Reads the modules of a folder.

    Args:
        place: the directory of the checkpoint.

    Returns:
        The modules; None if it is no folder of sentence-transformers.

    Raises:
        CheckpointError: `modules.json` is not as sentence-transformers writes it.
    """
    roots = [place, place.parent] if place.name.startswith(OWN_FOLDER) else [place]
    listed = [root for root in roots if (root / MODULES).is_file()]
    root = next((r for r in listed if transformer_folder(r) == place), None)
    if root is None:
        return None
    contents = (root / MODULES).read_bytes()
    first, *others = _modules(contents, root)
    if first["path"]:  # the result has the checkpoint next to the modules
        moved = [{**first, "path": ""}, *others]
        contents = (json.dumps(moved, indent=2) + "\n").encode()
    found = {name: place / name for name in TRANSFORMER} | {SETTINGS: root / SETTINGS}
    for folder in [root / module["path"] for module in others if module["path"]]:
        inside = sorted(folder.rglob("*"))
        found |= {path.relative_to(root).as_posix(): path for path in inside}
    present = {name: path for name, path in found.items() if path.is_file()}
    files = {name: path.read_bytes() for name, path in present.items()}
    return SentenceModules(root, {MODULES: contents, **files})


def _modules(contents: bytes, root: Path) -> list[dict[str, Any]]:
    """Returns what `modules.json` lists, with clean paths."""
    listed = _parsed(contents, list, root / MODULES)
    for module in listed:
        keys = ("path", "type")
        named = isinstance(module, dict) and all(
            isinstance(module.get(key), str) for key in keys
        )
        if not named or not _is_inside(module["path"]):
            raise CheckpointError(
                "Expected modules with a type and a path in the folder, in "
                f"{root / MODULES}. Received: {str(module)[:200]}. Save it again "
                "with sentence-transformers, or remove the file."
            )
    if not listed:
        raise CheckpointError(f"Expected modules in {root / MODULES}. Received: none.")
    return [{**module, "path": _clean(module["path"])} for module in listed]


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not (pure.is_absolute() or ".." in pure.parts or "\\" in path)


def _clean(path: str) -> str:
    clean = PurePosixPath(path).as_posix()
    return "" if clean == "." else clean


def _kind(module: Mapping[str, Any]) -> str:
    """Returns the class of a module; "" for one of another library."""
    package, _, name = module["type"].rpartition(".")
    return name if package.split(".")[0] == "sentence_transformers" else ""


def _config_of(module: Mapping[str, Any]) -> str:
    return f"{module['path']}/config.json"


def _parsed(contents: bytes, kind: type, path: Path) -> Any:
    try:
        values = json.loads(contents.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"Expected JSON in {path}. Received: {error}. Copy the file again."
        ) from error
    if not isinstance(values, kind):
        expected = {list: "a list of modules", dict: "a JSON object"}[kind]
        raise CheckpointError(
            f"Expected {expected} in {path}. Received: {str(values)[:80]}."
        )
    return values
