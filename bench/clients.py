"""Many clients at once, and how much they get done in a second."""

import threading
import time
from collections.abc import Callable


def rate(work: Callable[[int], None], *, clients: int, rows: int) -> float:
    """Return rows a second with all clients at work at once. Any failure stops the benchmark.

    ``work`` is given the number of its client, from 0.
    """
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as failure:  # noqa: BLE001, RUF100 - told below, by the main thread
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return rows / (time.perf_counter() - began)
