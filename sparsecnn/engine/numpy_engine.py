"""The NumPy engine: convolutions as one matrix product per block of images, batch innermost.

A plan owns its workspaces for one geometry, block size and dtype; images are held as (C, H, W, n)
so that every copy into the column matrix is a long run. Plans live in a bounded, thread-local
cache, the package's only state.
"""

from __future__ import annotations

import collections
import threading

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

#: images per plan: the padded block and one chunk of columns stay in the second-level cache
BLOCK = 64
CHUNK_BYTES = 1 << 20
_CACHED_PLANS = 24


class NumpyEngine:
    """The op table of ``engine.base`` for NumPy arrays."""

    def analyze(self, geometry, x, filters, out=None):
        """Cross-correlate: ``(n, C, H, W) -> (n, K, oh, ow)``."""
        if out is None:
            out = np.empty((len(x), *geometry.out_shape), dtype=x.dtype)
        matrix = filters.reshape(len(filters), -1)
        for rows, plan in _blocks(geometry, len(x), x.dtype):
            plan.load(x[rows])
            for r, q, columns in plan.chunks():
                plan.fill(columns, r, q)
                product = np.matmul(matrix, columns, out=plan.products[q])
                out[rows, :, r : r + q] = product.reshape(len(matrix), q, -1, plan.n).transpose(
                    3, 0, 1, 2
                )
        return out

    def synthesize(self, geometry, codes, filters, out=None):
        """Add a copy of each filter per coefficient: ``(n, K, oh, ow) -> (n, C, H, W)``."""
        if out is None:
            out = np.empty((len(codes), *geometry.in_shape), dtype=codes.dtype)
        matrix = np.ascontiguousarray(filters.reshape(len(filters), -1).T)
        for rows, plan in _blocks(geometry, len(codes), codes.dtype):
            plan.clear()
            staged = plan.staged_codes(codes[rows])
            for r, q, columns in plan.chunks():
                block = plan.products[q]
                block.reshape(len(filters), q, -1, plan.n)[...] = staged[:, r : r + q]
                np.matmul(matrix, block, out=columns)
                plan.add(columns, r, q)
            plan.store(out[rows])
        return out

    def filter_gradient(self, geometry, x, codes):
        """Gradient of ``<analyze(x, filters), codes>`` in the filters, shape (K, C, kh, kw)."""
        total = np.zeros(
            (geometry.out_shape[0], int(np.prod(geometry.filters_shape[1:]))), dtype=x.dtype
        )
        for rows, plan in _blocks(geometry, len(x), x.dtype):
            plan.load(x[rows])
            staged = plan.staged_codes(codes[rows])
            for r, q, columns in plan.chunks():
                plan.fill(columns, r, q)
                block = plan.products[q]
                block.reshape(len(total), q, -1, plan.n)[...] = staged[:, r : r + q]
                total += block @ columns.T
        return total.reshape(geometry.filters_shape)

    def windows(self, x, size, stride):
        """Read-only view (n, C, oh, ow, h, w) of all pooling windows."""
        return sliding_window_view(x, size, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]

    def scatter_windows(self, values, shape, stride):
        """Adjoint of ``windows``: add (n, C, oh, ow, h, w) back into an array of ``shape``."""
        total = np.zeros(shape, dtype=values.dtype)
        oh, ow, h, w = values.shape[2:]
        for u in range(h):
            for v in range(w):
                rows = slice(u, u + (oh - 1) * stride[0] + 1, stride[0])
                columns = slice(v, v + (ow - 1) * stride[1] + 1, stride[1])
                total[:, :, rows, columns] += values[..., u, v]
        return total


class _Plan:
    """Workspaces for one geometry, ``n`` images and one dtype."""

    def __init__(self, geometry, n, dtype):
        self.geometry, self.n = geometry, n
        channels, height, width = geometry.in_shape
        kh, kw = geometry.kernel
        sh, sw = geometry.stride
        n_filters, oh, ow = geometry.out_shape
        (top, bottom), (left, right) = geometry.pads
        self.padded = np.zeros(
            (channels, height + top + bottom, width + left + right, n), dtype=dtype
        )
        self.inner = self.padded[:, top : top + height, left : left + width]
        sc, sy, sx, sn = self.padded.strides
        self.taps = as_strided(
            self.padded,
            (channels, kh, kw, oh, ow, n),
            (sc, sy, sx, sy * sh, sx * sw, sn),
            writeable=True,
        )
        depth = channels * kh * kw
        rows = int(np.clip(CHUNK_BYTES // (self.padded.itemsize * depth * ow * n), 1, oh))
        rows = -(-oh // -(-oh // rows))
        self._starts = [(r, min(rows, oh - r)) for r in range(0, oh, rows)]
        heights = {q for _, q in self._starts}
        self.columns = {q: np.empty((depth, q * ow * n), dtype=dtype) for q in heights}
        self.products = {q: np.empty((n_filters, q * ow * n), dtype=dtype) for q in heights}
        self._six = {q: c.reshape(channels, kh, kw, q, ow, n) for q, c in self.columns.items()}
        self._code_stage = _stage(geometry.out_shape, n, dtype)
        self._image_stage = _stage(geometry.in_shape, n, dtype)
        self._wraps = _wrapped_runs(height, bottom), _wrapped_runs(width, right)

    def chunks(self):
        for r, q in self._starts:
            yield r, q, self.columns[q]

    def staged_codes(self, codes):
        self._code_stage[...] = codes
        return self._code_stage.transpose(1, 2, 3, 0)

    def load(self, x):
        self._image_stage[...] = x
        self.inner[...] = self._image_stage.transpose(1, 2, 3, 0)
        if self.geometry.circular:
            for to, size in self._wraps[0]:
                self.padded[:, to : to + size] = self.padded[:, :size]
            for to, size in self._wraps[1]:
                self.padded[:, :, to : to + size] = self.padded[:, :, :size]
        else:
            self._clear_border()

    def fill(self, columns, r, q):
        self._six[q][...] = self.taps[:, :, :, r : r + q]

    def clear(self):
        self.padded[...] = 0

    def add(self, columns, r, q):
        six = self._six[q]
        kh, kw = self.geometry.kernel
        for u in range(kh):
            for v in range(kw):
                self.taps[:, u, v, r : r + q] += six[:, u, v]

    def store(self, out):
        if self.geometry.circular:
            for to, size in self._wraps[1]:
                self.padded[:, :, :size] += self.padded[:, :, to : to + size]
            for to, size in self._wraps[0]:
                self.padded[:, :size] += self.padded[:, to : to + size]
        out[...] = self.inner.transpose(3, 0, 1, 2)

    def _clear_border(self):
        (top, bottom), (left, right) = self.geometry.pads
        if top:
            self.padded[:, :top] = 0
        if bottom:
            self.padded[:, -bottom:] = 0
        if left:
            self.padded[:, :, :left] = 0
        if right:
            self.padded[:, :, -right:] = 0


def _stage(shape, n, dtype):
    """Room for ``n`` samples that are about to be transposed.

    Samples a power of two apart would all fall into the same few cache lines when one number of
    each is read in turn; a few numbers of padding between them make the transposition ten times as
    fast.
    """
    size = int(np.prod(shape))
    padded = size + 16 if size % 128 == 0 else size
    return np.empty((n, padded), dtype=dtype)[:, :size].reshape(n, *shape)


def _wrapped_runs(size, after):
    """Pieces (start in the padding, length) that repeat the image's first pixels beyond its end."""
    return [(size + done, min(size, after - done)) for done in range(0, after, size)]


_local = threading.local()


def _blocks(geometry, n_samples, dtype):
    """Split the batch: pairs (slice of samples, plan for that many)."""
    for start in range(0, n_samples, BLOCK):
        stop = min(start + BLOCK, n_samples)
        yield slice(start, stop), _cached_plan(geometry, stop - start, np.dtype(dtype))


def _cached_plan(geometry, n, dtype):
    plans = _local.__dict__.setdefault("plans", collections.OrderedDict())
    key = (geometry, n, dtype)
    plan = plans.get(key)
    if plan is None:
        plan = plans[key] = _Plan(geometry, n, dtype)
        while len(plans) > _CACHED_PLANS:
            plans.popitem(last=False)
    plans.move_to_end(key)
    return plan


ENGINE = NumpyEngine()
