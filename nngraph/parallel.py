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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import FormatError
from .stored import ZIP_ERRORS
from .tables import atomic_path, require

SPILL_BYTES = 1_000_000  # arrays from this size on go to workers as memory-mapped files
_PLAIN = (str, bytes, int, float, complex, np.generic, np.dtype, np.random.SeedSequence)
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
        on the number of workers. With a checkpoint they are known by their values: arrays, numbers,
        strings, None, ``SeedSequence``, and tuples, lists, dicts and dataclasses of these.
    run : Run, optional
        Executor, progress, checkpoint, shared folder.

    Returns
    -------
    list
        In the order of `tasks`; with a checkpoint, as they are read back from it.

    Raises
    ------
    Exception
        Whatever `function` raised first, in the order of completion; waiting tasks are cancelled
        and blocks finished before it stay in the checkpoint.
    FormatError
        The checkpoint folder cannot be made or holds a block that is damaged, or there is no room
        for what is written to it or to the workers.
    TypeError
        An executor without ``submit``; a function, task or result that a checkpoint cannot know.

    Examples
    --------
    >>> from nngraph.parallel import ordered_map
    >>> ordered_map(divmod, [(7, 2), (9, 4)])
    [(3, 1), (2, 1)]
    """
    run = run or Run()
    if run.executor is not None and not hasattr(run.executor, "submit"):
        raise TypeError(
            f"an executor has submit(fn, *args), as concurrent.futures.ProcessPoolExecutor does, "
            f"got {type(run.executor).__name__}"
        )
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
            try:
                if self._folder is None:
                    folder = tempfile.TemporaryDirectory(prefix="nngraph-", dir=self._shared)
                    self._folder = Path(self._stack.enter_context(folder))
                path = self._folder / f"{len(self._sent)}.npy"
                np.save(path, value, allow_pickle=False)
            except OSError as error:
                raise FormatError(
                    f"cannot write {value.nbytes:,} bytes for the workers to "
                    f"{str(self._folder or self._shared or tempfile.gettempdir())!r}: {error}; "
                    "give a folder with room as Run(shared=...)"
                ) from error
            # The array is kept too: an id is unique only while its object lives.
            self._sent[id(value)] = (value, _Spilled(str(path)))
        return self._sent[id(value)][1]


class _Checkpoint:
    """Finished blocks in a folder, one file each, named by what was computed."""

    def __init__(self, folder: Path, function, tasks) -> None:
        from . import __version__

        self._name = getattr(function, "__qualname__", repr(function))
        if not self._name.replace(".", "").isidentifier():
            raise TypeError(
                f"a checkpoint knows a function by its name, and {self._name} has none of its own; "
                "define it at the top level of a module"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FormatError(f"cannot make the folder {str(folder)!r}: {error}") from error
        start = f"{__version__} {function.__module__}.{self._name}"
        self._paths = [folder / f"{_digest(start, task)}.npz" for task in tasks]

    def finished(self) -> dict[int, dict]:
        return {k: _read_block(path) for k, path in enumerate(self._paths) if path.exists()}

    def save(self, k: int, result: Mapping[str, Any]) -> dict:
        if not isinstance(result, Mapping) or not all(isinstance(name, str) for name in result):
            raise TypeError(
                f"with a checkpoint {self._name} must return a dict by names, got a "
                f"{type(result).__name__}"
            )
        arrays, plain = {}, {}
        for at, (name, value) in enumerate(result.items()):
            value = value.item() if isinstance(value, np.generic) else value
            if isinstance(value, np.ndarray) and not value.dtype.hasobject:
                arrays[f"array_{at}"] = value
            elif isinstance(value, (str, int, float, type(None))):
                plain[name] = value
            else:
                raise TypeError(
                    f"{name!r}, which {self._name} returns, is a {type(value).__name__}; a "
                    "checkpoint holds arrays, numbers, strings, bools and None"
                )
        header = json.dumps({"order": list(result), "plain": plain})
        with atomic_path(self._paths[k], overwrite=True) as path:
            np.savez(path, header=np.array(header), **arrays)
        return _read_block(self._paths[k])  # what a later run will find, to the type


def _read_block(path: Path) -> dict:
    try:
        # Opened here because np.load leaves its own file open where the archive is damaged.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            header = json.loads(str(archive["header"]))
            order, plain = header["order"], header["plain"]
            return {
                name: plain[name] if name in plain else archive[f"array_{at}"]
                for at, name in enumerate(order)
            }
    except ZIP_ERRORS as error:
        raise FormatError(f"the checkpoint {str(path)!r} is damaged; remove it ({error})") from None


def _digest(start: str, task: tuple) -> str:
    """What a task is, by the values of its arguments."""
    sha = hashlib.sha256(start.encode())
    for value in task:
        _feed(sha, value)
    return sha.hexdigest()[:32]


def _feed(sha, value) -> None:
    """Add a value to a hash: its type, its size, then its bits or parts."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        sha.update(f"array {value.dtype.str}{value.shape}".encode())
        sha.update(np.ascontiguousarray(value).data)
        return
    parts = None
    if isinstance(value, (tuple, list)):
        parts = value
    elif isinstance(value, Mapping):
        parts = [part for item in value.items() for part in item]
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, field.name) for field in fields(value)]
    elif value is not None and not isinstance(value, _PLAIN):
        raise TypeError(
            f"a checkpoint knows tasks by their values, which a {type(value).__name__} does not "
            "show; pass arrays, numbers, strings, or tuples, lists, dicts and dataclasses of them"
        )
    kind = type(value).__qualname__
    if parts is None:
        sha.update(f"{kind} {value!r}\0".encode())
        return
    sha.update(f"{kind} of {len(parts)}\0".encode())
    for part in parts:
        _feed(sha, part)


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
