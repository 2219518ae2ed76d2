"""Fits: the loop, checkpoints, optimizers, augmentation, processes."""
