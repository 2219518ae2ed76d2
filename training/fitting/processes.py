"""Parallel fits: each process has one thread, so that no result depends on how many there are."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from typing import Any

# TensorFlow takes its number of threads from the environment when it is imported. Without the last
# variable, the first of several processes takes all memory of a GPU.
ENVIRONMENT = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


@contextmanager
def worker_pool(
    jobs: int,
    processes: int | None = None,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
    environment: Mapping[str, str] = ENVIRONMENT,
) -> Iterator[ProcessPoolExecutor]:
    """Start processes that can import and run TensorFlow: one a processor, or `processes`.

    There are never more than `jobs`. `initializer` is called in each, with `initargs`;
    `environment` is added to theirs. They end when this process does, even when it is killed; when
    an exception leaves the block, Ctrl-C included, their work is not waited for.
    """
    count = min(jobs, processes or os.cpu_count() or 1)
    before = dict(os.environ)
    others = active_children()
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(
            count,
            mp_context=get_context("spawn"),  # TensorFlow does not survive a fork
            initializer=_begin,
            initargs=(initializer, initargs),
        ) as pool:
            try:
                _start(pool, count)
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in active_children():
                    if worker not in others:
                        worker.terminate()
                raise
    finally:
        os.environ.clear()
        os.environ.update(before)


def _start(pool: ProcessPoolExecutor, count: int) -> None:
    # Ctrl-C reaches every process of a terminal; the workers inherit that they ignore it.
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for _ in range(count):  # each starts one process
            pool.submit(os.getpid)
    finally:
        signal.signal(signal.SIGINT, ours)


def _begin(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
