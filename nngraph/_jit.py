"""`kernel`: how every Numba kernel of nngraph is compiled; the only file that imports Numba."""

from __future__ import annotations

from numba import njit

# fastmath stays off because it breaks isnan and isinf; parallel stays off because parallelism comes
# from an executor over kernels that release the GIL; the NumPy error model keeps 1/0 an infinity.
kernel = njit(cache=True, nogil=True, error_model="numpy", fastmath=False, parallel=False)
