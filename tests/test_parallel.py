"""One result, whatever the executor: serial, threads, processes, loky and Dask."""

from __future__ import annotations

import functools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

from nngraph import FormatError
from nngraph.parallel import SPILL_BYTES, WINDOW, Run, ordered_map, single_blas_thread


def spectrum(matrix, scale):
    """A task whose last bits depend on the BLAS thread count."""
    return {"values": np.linalg.svd(matrix * scale, compute_uv=False), "scale": scale, "none": None}


def explode(matrix, scale):
    if scale == 2:
        raise KeyError("block two")
    return {"values": matrix * scale}


def where(matrix):
    return {"mapped": isinstance(matrix, np.memmap), "pid": os.getpid()}


@contextmanager
def threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@contextmanager
def processes(method):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        yield pool


@contextmanager
def loky():
    pool = pytest.importorskip("loky").get_reusable_executor(max_workers=2)
    yield pool
    pool.shutdown(wait=True)


EXECUTORS = {
    "threads": threads,
    "spawn": lambda: processes("spawn"),
    "forkserver": lambda: processes("forkserver"),
    "loky": loky,
}


@pytest.fixture
def tasks(rng):
    small = [(rng.normal(size=(20, 30)), k) for k in range(1, 4)]
    return [*small, (rng.normal(size=(400, 320)), 4)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", EXECUTORS)
def test_the_bits_are_those_of_the_serial_run(name, tasks):
    expected = ordered_map(spectrum, tasks)
    with EXECUTORS[name]() as executor:
        got = ordered_map(spectrum, tasks, Run(executor=executor))
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a["values"], b["values"], strict=True)
        assert a["scale"] == b["scale"]


def test_large_arrays_travel_as_mapped_files_that_are_removed(tmp_path, rng):
    large = rng.normal(size=SPILL_BYTES // 8)
    with processes("spawn") as executor:
        run = Run(executor=executor, shared=tmp_path)
        result = ordered_map(where, [(large,), (large,), (large[:10],)], run)
    assert [r["mapped"] for r in result] == [True, True, False]
    assert result[0]["pid"] != os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_only_submit_is_used_and_the_window_is_bounded():
    class SubmitOnly:
        """Nothing but submit; counts the tasks that are submitted and not yet run."""

        def __init__(self, pool):
            self.pool, self.waiting, self.most = pool, 0, 0

        def submit(self, fn, *args):
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            future = self.pool.submit(fn, *args)
            future.add_done_callback(self.finished)
            return future

        def finished(self, future):
            self.waiting -= 1

    with ThreadPoolExecutor(1) as pool:
        executor = SubmitOnly(pool)
        result = ordered_map(divmod, [(n, 3) for n in range(9 * WINDOW)], Run(executor=executor))
    assert result == [divmod(n, 3) for n in range(9 * WINDOW)]
    assert 0 < executor.most <= WINDOW


@pytest.mark.parametrize("make", [None, threads])
def test_the_original_error_comes_out_and_finished_blocks_stay(make, tmp_path, tasks):
    def attempt(function, executor):
        return ordered_map(function, tasks, Run(executor=executor, checkpoint=tmp_path))

    context = nullcontext() if make is None else make()
    with context as executor, pytest.raises(KeyError, match="block two"):
        attempt(explode, executor)
    if make is None:
        assert len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_resumes_and_gives_the_same_bits(tmp_path, tasks):
    run = Run(checkpoint=tmp_path)
    expected = ordered_map(spectrum, tasks)
    ordered_map(spectrum, tasks[:2], run)
    seen = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    resumed = ordered_map(spectrum, tasks, Run(checkpoint=tmp_path, progress=progress))
    assert seen == [(2, 4), (3, 4), (4, 4)]
    for a, b in zip(expected, resumed, strict=True):
        assert list(a) == list(b)
        np.testing.assert_array_equal(a["values"], b["values"])
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_checkpoint_is_named(tmp_path, tasks):
    run = Run(checkpoint=tmp_path)
    ordered_map(spectrum, tasks[:1], run)
    (block,) = tmp_path.iterdir()
    block.write_bytes(block.read_bytes()[:40])
    with pytest.raises(FormatError, match="remove it"):
        ordered_map(spectrum, tasks[:1], run)


def test_progress_counts_every_block(tasks):
    seen = []
    ordered_map(spectrum, tasks, Run(progress=lambda done, total: seen.append((done, total))))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_blas_has_one_thread_inside():
    from threadpoolctl import threadpool_info

    with single_blas_thread():
        counts = [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]
    assert counts
    assert set(counts) == {1}


def test_dask_gives_the_same_bits(tasks):
    distributed = pytest.importorskip("distributed")
    expected = ordered_map(spectrum, tasks)
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        got = ordered_map(spectrum, tasks, Run(executor=client.get_executor()))
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a["values"], b["values"])


def total(nested):
    return {"sum": float(nested["w"].sum())}


def echo(kind):
    return RESULTS[kind]


RESULTS = {
    "names": {"file": np.ones(2), "allow_pickle": np.zeros(1), "a/b": np.arange(3), "": 1},
    "scalars": {"a": np.float32(0.1), "b": np.int8(3), "c": np.nan, "d": None, "e": np.str_("x")},
    "tuple": {"a": (1, 2)},
    "complex": {"a": 1j},
    "objects": {"a": np.array([{}])},
    "numbered": {1: 2.0},
    "list": [1, 2],
}


def test_a_checkpoint_tells_large_nested_arrays_apart(tmp_path):
    first, second = np.zeros(5000), np.zeros(5000)
    second[2500] = 7
    for w, expected in ((first, 0), (second, 7), (first, 0), (second.astype("f4"), 7)):
        got = ordered_map(total, [({"w": w},)], Run(checkpoint=tmp_path))
        assert got == [{"sum": expected}]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("kind", ["names", "scalars"])
def test_what_a_checkpoint_gives_is_the_same_the_second_time(kind, tmp_path):
    first, second = (ordered_map(echo, [(kind,)], Run(checkpoint=tmp_path))[0] for _ in range(2))
    assert list(first) == list(RESULTS[kind])
    for a, b, given in zip(first.values(), second.values(), RESULTS[kind].values(), strict=True):
        assert type(a) is type(b)
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, given)


@pytest.mark.parametrize("kind", ["tuple", "complex", "objects", "numbered", "list"])
def test_results_that_a_checkpoint_cannot_hold(kind, tmp_path):
    with pytest.raises(TypeError, match=r"echo (must return a dict|returns, is a)"):
        ordered_map(echo, [(kind,)], Run(checkpoint=tmp_path))
    assert not list(tmp_path.iterdir())


def test_what_a_checkpoint_cannot_know(tmp_path):
    run = Run(checkpoint=tmp_path / "blocks")
    for nameless in (lambda x: {"a": x}, functools.partial(echo, "names")):
        with pytest.raises(TypeError, match="a checkpoint knows a function by its name"):
            ordered_map(nameless, [(1,)], run)
    with pytest.raises(TypeError, match="knows tasks by their values, which a object does not"):
        ordered_map(echo, [(object(),)], run)
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="cannot make the folder"):
        ordered_map(echo, [("names",)], Run(checkpoint=tmp_path / "file"))


def test_an_empty_block_is_damaged_too(tmp_path):
    run = Run(checkpoint=tmp_path)
    ordered_map(echo, [("scalars",)], run)
    (block,) = tmp_path.iterdir()
    block.write_bytes(b"")
    with pytest.raises(FormatError, match="remove it"):
        ordered_map(echo, [("scalars",)], run)


def test_executors_and_folders_that_are_none(tmp_path):
    with pytest.raises(TypeError, match=r"an executor has submit.*got int"):
        ordered_map(echo, [("list",)], Run(executor=4))
    large = np.zeros(SPILL_BYTES // 8)
    with threads() as pool, pytest.raises(FormatError, match=r"for the workers.*Run\(shared"):
        ordered_map(where, [(large,)], Run(executor=pool, shared=tmp_path / "none"))
