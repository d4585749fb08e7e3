"""In which order rows are trained: the same for every backend, a function of the seed alone."""

import random


def training_order(rows: int, seed: int, count: int) -> list[int]:
    """`count` row numbers below `rows`: one shuffle of all rows for each epoch, one behind the other.

    `count` is total_steps × global_batch_size. Step s trains `order[s * batch : (s + 1) * batch]`.
    """
    assert rows > 0, "there is nothing to train on"
    order: list[int] = []
    for epoch in range(-(-count // rows)):
        part = list(range(rows))
        random.Random(f"{seed}:{epoch}").shuffle(part)  # noqa: S311 - an order, no secret
        order += part
    return order[:count]
