"""New images in, answers out, with numpy, Pillow and onnxruntime alone.

Nothing here imports torch, Kedro, MLflow or the rest of the project (but its errors), so that it
can travel with a model.
"""
