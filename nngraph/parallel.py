"""Work over independent blocks, in order, on any executor, with the same bits: the only file that
knows executors.

An executor is anything with ``submit(fn, *args)`` that gives ``concurrent.futures`` futures:
``ThreadPoolExecutor``, ``ProcessPoolExecutor`` (spawn or forkserver), loky, Dask's
``Client.get_executor()``, mpi4py's ``MPIPoolExecutor``, or :class:`RayExecutor`. Nothing else of it
is used: not ``map``, not ``initializer``, not ``shutdown``, not a worker count. None means serial.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import FormatError
from .tables import atomic_path, require

SPILL_BYTES = 1_000_000  # arrays from this size on go to workers as memory-mapped files
WINDOW = 16  # tasks in flight: enough to keep workers busy, too few to fill a memory


@dataclass(frozen=True)
class Run:
    """How a long computation is carried out; never what it computes.

    Parameters
    ----------
    executor : object with ``submit``, optional
        None: serial, in this process.
    progress : callable, optional
        Called as ``progress(done, total)`` after each block.
    checkpoint : path, optional
        A folder that receives each finished block; a later run with the same work resumes there.
    shared : path, optional
        A folder that the workers can read, for arrays too large to send; default a temporary one
        of this host.
    """

    executor: Any = None
    progress: Callable[[int, int], Any] | None = None
    checkpoint: str | Path | None = None
    shared: str | Path | None = None


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """BLAS on one thread inside this block: small LAPACK calls on two busy threads crawl."""
    with _blas_libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas_libraries():
    """The BLAS of NumPy and SciPy; finding them takes longer than a small factorisation."""
    import scipy.linalg  # noqa: F401  a limit reaches only libraries that are loaded already
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def ordered_map(
    function: Callable[..., Any], tasks: Sequence[tuple], run: Run | None = None
) -> list[Any]:
    """``[function(*task) for task in tasks]``, on any executor, with the same bits on each.

    Parameters
    ----------
    function : callable
        Defined at the top level of a module, so that other processes can import it. With a
        checkpoint it must return a dict of arrays, numbers, strings, bools or None.
    tasks : sequence of tuples
        Arguments: arrays, scalars and small picklable values. They depend on the work alone, never
        on the number of workers.
    run : Run, optional
        Executor, progress, checkpoint, shared folder.

    Returns
    -------
    list
        In the order of `tasks`.

    Raises
    ------
    Exception
        Whatever `function` raised first, in the order of completion; waiting tasks are cancelled
        and blocks finished before it stay in the checkpoint.
    FormatError
        The checkpoint folder holds a block that is damaged.

    Examples
    --------
    >>> from nngraph.parallel import ordered_map
    >>> ordered_map(divmod, [(7, 2), (9, 4)])
    [(3, 1), (2, 1)]
    """
    run = run or Run()
    tasks = list(tasks)
    store = None if run.checkpoint is None else _Checkpoint(Path(run.checkpoint), function, tasks)
    results = store.finished() if store else {}
    done = len(results)
    if run.progress and done:
        run.progress(done, len(tasks))
    todo = [k for k in range(len(tasks)) if k not in results]
    finished = _serial if run.executor is None else _submitted
    with single_blas_thread():
        for k, result in finished(function, [(k, tasks[k]) for k in todo], run):
            results[k] = store.save(k, result) if store else result
            done += 1
            if run.progress:
                run.progress(done, len(tasks))
    return [results[k] for k in range(len(tasks))]


def _serial(function, tasks, run: Run) -> Iterator[tuple[int, Any]]:
    for k, arguments in tasks:
        yield k, function(*arguments)


def _submitted(function, tasks, run: Run) -> Iterator[tuple[int, Any]]:
    pending: dict[Any, int] = {}
    waiting = iter(tasks)
    with ExitStack() as stack:
        spill = _Spill(stack, run.shared)
        stack.callback(lambda: [future.cancel() for future in pending])
        while True:
            while len(pending) < WINDOW and (item := next(waiting, None)) is not None:
                k, arguments = item
                sent = tuple(spill(a) for a in arguments)
                pending[run.executor.submit(_in_worker, os.getpid(), function, sent)] = k
            if not pending:
                return
            ready, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in sorted(ready, key=pending.__getitem__):
                k = pending.pop(future)
                yield k, future.result()


def _in_worker(caller: int, function, arguments):
    arguments = tuple(a.load() if isinstance(a, _Spilled) else a for a in arguments)
    if os.getpid() == caller:  # a thread: the caller has limited BLAS for the whole run
        return function(*arguments)
    with single_blas_thread():
        return function(*arguments)


@dataclass(frozen=True)
class _Spilled:
    """A large array on its way to a worker: the name of a memory-mapped file."""

    path: str

    def load(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r", allow_pickle=False)


class _Spill:
    """Writes large arrays to a folder that lives as long as the run; each distinct array once."""

    def __init__(self, stack: ExitStack, shared) -> None:
        self._stack, self._shared, self._folder = stack, shared, None
        self._sent: dict[int, tuple[Any, _Spilled]] = {}

    def __call__(self, value):
        if not isinstance(value, np.ndarray) or value.nbytes < SPILL_BYTES:
            return value
        if id(value) not in self._sent:
            if self._folder is None:
                folder = tempfile.TemporaryDirectory(prefix="nngraph-", dir=self._shared)
                self._folder = Path(self._stack.enter_context(folder))
            path = self._folder / f"{len(self._sent)}.npy"
            np.save(path, value, allow_pickle=False)
            # The array is kept too: an id is unique only while its object lives.
            self._sent[id(value)] = (value, _Spilled(str(path)))
        return self._sent[id(value)][1]


class _Checkpoint:
    """Finished blocks in a folder, one file each, named by what was computed."""

    def __init__(self, folder: Path, function, tasks) -> None:
        from . import __version__

        folder.mkdir(parents=True, exist_ok=True)
        start = f"{__version__} {function.__module__}.{function.__qualname__}"
        self._paths = [folder / f"{_digest(start, task)}.npz" for task in tasks]

    def finished(self) -> dict[int, dict]:
        return {k: _read_block(path) for k, path in enumerate(self._paths) if path.exists()}

    def save(self, k: int, result: Mapping[str, Any]) -> dict:
        arrays = {name: v for name, v in result.items() if isinstance(v, np.ndarray)}
        plain = {name: _number(v) for name, v in result.items() if name not in arrays}
        with atomic_path(self._paths[k], overwrite=True) as path:
            order = json.dumps({"order": list(result), "plain": plain})
            np.savez(path, __nngraph__=np.array(order), **arrays)
        return dict(result)


def _number(value):
    return value.item() if isinstance(value, np.generic) else value


def _read_block(path: Path) -> dict:
    try:
        # Opened here because np.load leaves its own file open where the archive is damaged.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            header = json.loads(str(archive["__nngraph__"]))
            plain = header["plain"]
            return {n: plain[n] if n in plain else archive[n] for n in header["order"]}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FormatError(f"the checkpoint {str(path)!r} is damaged; remove it ({error})") from None


def _digest(start: str, task: tuple) -> str:
    """What a task is: the bits of its arrays and the text of everything else."""
    sha = hashlib.sha256(start.encode())
    for value in task:
        if isinstance(value, np.ndarray):
            sha.update(f"{value.dtype.str}{value.shape}".encode())
            sha.update(np.ascontiguousarray(value).data)
        else:
            sha.update(repr(value).encode())
        sha.update(b"\0")
    return sha.hexdigest()[:32]


class RayExecutor(Executor):
    """Ray behind the interface of ``concurrent.futures``: only ``submit``.

    Notes
    -----
    Ray must be initialised by the caller. It has no executor of its own.
    """

    def __init__(self) -> None:
        self._ray = require("ray", "all")
        self._remote: dict[Callable, Any] = {}

    def submit(self, fn, /, *args, **kwargs):
        """Run ``fn(*args, **kwargs)`` as a Ray task and give its future."""
        if fn not in self._remote:
            self._remote[fn] = self._ray.remote(fn)
        return self._remote[fn].remote(*args, **kwargs).future()
