"""The loop's parts: one step, the optimiser, the schedule, precision, ranks, checkpoints, dropout.

In: micro-batches and a function from a micro-batch to losses. Out: updated parameters, checkpoints, log lines.
The engine knows batches and losses, never BERT. Read first: step.py, then parameters.py and checkpoint.py.
"""
