"""HTTP in, predictions out. Nothing here imports TensorFlow, Keras or the training package."""
