"""The published recipes of pretraining."""

from dataclasses import replace
from typing import Any

from keras_bert.families import FAMILIES
from keras_bert.training.recipes.base import Phase, Recipe
from keras_bert.training.recipes.overrides import override

_SHORT = {"objective": "nsp", "max_seq_length": 128, "max_predictions_per_seq": 20}
_LONG = {"objective": "nsp", "max_seq_length": 512, "max_predictions_per_seq": 77}
_SENTENCES = {
    "objective": "none",
    "form": "compact",
    "max_seq_length": 512,
    "max_predictions_per_seq": 77,
    "short_seq_prob": 0.0,
}
_DEVLIN = "Devlin et al. 2018 (arXiv:1810.04805), appendix A.2; `optimization.py`"
_ROBERTA_ADAM = {"beta_2": 0.98, "epsilon": 1e-6}


def _bert(model: str, rows: int = 256, **values: Any) -> Recipe:
    """BERT's own recipe, in microbatches of `rows` rows of 128 tokens."""
    microbatches = 256 // rows
    return Recipe(
        model=model,
        # Google's Adam; one schedule over a million steps.
        bias_correction=False,
        phases=(
            Phase(
                steps=900_000,
                batch_size=256,
                learning_rate=1e-4,
                warmup_steps=10_000,
                gradient_accumulation_steps=microbatches,
                data=_SHORT,
            ),
            Phase(
                steps=100_000,
                batch_size=256,
                gradient_accumulation_steps=min(4 * microbatches, 256),
                data=_LONG,
            ),
        ),
        **values,
    )


def _small(size: str) -> Recipe:
    return _bert(
        size,
        summary=f"One of the 24 small models, {size}: BERT's recipe at another size",
        source=(
            "Turc et al. 2019 (arXiv:1908.08962) for the sizes; README of "
            "google-research/bert, Smaller BERT Models, for training as BERT was; "
            f"{_DEVLIN}"
        ),
    )


PRETRAINING: dict[str, Recipe] = {
    "bert-base": _bert(
        "base",
        rows=32,
        summary="BERT-Base: 90 % of the steps at 128 tokens, the rest at 512",
        source=_DEVLIN,
    ),
    "bert-large": _bert(
        "large",
        rows=16,
        summary="BERT-Large: 90 % of the steps at 128 tokens, the rest at 512",
        source=_DEVLIN,
    ),
    **{
        f"{family.model_type}-{size}": _small(size)
        for family in FAMILIES.values()
        for size, fields in family.config.presets.items()
        if fields["num_hidden_layers"] <= 12 and size != "base"
    },
    "bert-domain": Recipe(
        summary="Continued pretraining of a BERT checkpoint on domain text",
        source=(
            "README of google-research/bert, pre-training tips: the learning rate and "
            "the least number of steps; batch as in Devlin et al. 2018, warm-up over a "
            "tenth of the steps"
        ),
        from_checkpoint=True,
        bias_correction=False,
        phases=(
            Phase(
                steps=10_000,
                batch_size=256,
                learning_rate=2e-5,
                warmup_steps=1000,
                gradient_accumulation_steps=8,
                data=_SHORT,
            ),
        ),
    ),
    "roberta-domain": Recipe(
        summary="Continued pretraining of a RoBERTa checkpoint on domain text",
        source=(
            "Gururangan et al. 2020 (arXiv:2004.10964), table 13, and "
            "ADAPTIVE_PRETRAINING.md of allenai/dont-stop-pretraining; warm-up over "
            "6 % of the steps"
        ),
        from_checkpoint=True,
        optimizer_options=_ROBERTA_ADAM,
        phases=(
            Phase(
                steps=12_500,
                batch_size=2048,
                learning_rate=5e-4,
                warmup_steps=750,
                gradient_accumulation_steps=128,
                data=_SENTENCES,
            ),
        ),
    ),
    "roberta-base": Recipe(
        summary="RoBERTa: full sentences, masked LM alone, dynamic masking",
        source=(
            "Liu et al. 2019 (arXiv:1907.11692), table 9; sections 4.1 to 4.3 for the "
            "data"
        ),
        clip_norm=None,
        optimizer_options=_ROBERTA_ADAM,
        phases=(
            Phase(
                steps=500_000,
                batch_size=8192,
                learning_rate=6e-4,
                warmup_steps=24_000,
                gradient_accumulation_steps=1024,
                data=_SENTENCES,
            ),
        ),
    ),
    "lamb-64k": Recipe(
        summary="BERT-Large in 8,601 steps: LAMB, batches of 64k rows and then 32k",
        source=(
            "You et al. 2020 (arXiv:1904.00962), section 4.1, for batches; README of "
            "NVIDIA's DeepLearningExamples, TensorFlow2/LanguageModeling/BERT, for "
            "steps, rates and warm-up, and its `optimization.py` for the optimizer"
        ),
        model="large",
        optimizer="lamb",
        # Biases and LayerNorm weights are not decayed, but their updates are scaled.
        optimizer_options={"exclude_from_layer_adaptation": ()},
        schedule="polynomial",
        schedule_options={"power": 0.5},
        phases=(
            Phase(
                steps=7038,
                batch_size=65_536,
                learning_rate=6e-3,
                warmup_steps=2000,
                gradient_accumulation_steps=512,
                data=_SHORT,
            ),
            Phase(
                steps=1563,
                batch_size=32_768,
                learning_rate=4e-3,
                warmup_steps=200,
                gradient_accumulation_steps=2048,
                data=_LONG,
            ),
        ),
    ),
}
_LARGE = {
    "model": "large",
    "learning_rate": 4e-4,
    "warmup_steps": 30_000,
    "gradient_accumulation_steps": 4096,
}
PRETRAINING["roberta-large"] = replace(
    override(PRETRAINING["roberta-base"], _LARGE),
    summary="RoBERTa at the size of BERT-Large",
)
