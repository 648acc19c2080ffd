"""Analysis of models: curves, attention maps, filled masks, features, reports."""

from keras_bert.analysis.attention import attention_maps, plot_attention
from keras_bert.analysis.curves import plot_curves, read_metrics
from keras_bert.analysis.feature_extraction import extract_features
from keras_bert.analysis.fill_mask import fill_mask, hide_words
from keras_bert.analysis.report import write_report
from keras_bert.analysis.token_likelihood import token_log_likelihoods

__all__ = [
    "attention_maps",
    "extract_features",
    "fill_mask",
    "hide_words",
    "plot_attention",
    "plot_curves",
    "read_metrics",
    "token_log_likelihoods",
    "write_report",
]
