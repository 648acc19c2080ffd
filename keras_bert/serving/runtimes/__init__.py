"""A model in the files of other runtimes: ONNX Runtime, OpenVINO, LiteRT.

All of them take `input_ids`, `attention_mask` and `token_type_ids`, int32, and return
what the SavedModel's `serve_ids` does. Vocabulary and config lie beside the model.
"""

from keras_bert.serving.runtimes.exporting import FORMATS, export
from keras_bert.serving.runtimes.running import RUNTIMES, Session, load

__all__ = ["FORMATS", "RUNTIMES", "Session", "export", "load"]
