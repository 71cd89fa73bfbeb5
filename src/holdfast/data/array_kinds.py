"""Arrays of every kind -> arrays that give rows as numpy has them, or a clear refusal.

Owns which kinds of arrays there are. Leaves those that are not whole in memory to `rows`.

Kinds are known by the names of their classes' modules: nothing is imported to find out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import tree
from numpy.typing import NDArray

from holdfast.data.batches import device_type
from holdfast.data.rows import MappedRows, Rows, SparseRows, stored
from holdfast.data.source import Tree
from holdfast.errors import UnsupportedError

Array = NDArray[Any] | Rows

TAKEN = (
    "Run.fit takes arrays (numpy, memory-mapped, jax, torch, tensorflow, pandas, scipy.sparse, "
    "h5py and zarr), and lists, tuples and dicts of arrays"
)
_DENSE = {
    ("jax", "BCOO"): "x.todense()",
    ("jax", "BCSR"): "x.todense()",
    ("tensorflow", "RaggedTensor"): "x.to_tensor()",
    ("tensorflow", "SparseTensor"): "tf.sparse.to_dense(x)",
    ("torch", "Tensor"): "x.to_dense()",
}


def as_arrays(value: Any, name: str) -> Tree:
    """Return arrays in the structure they were given in. Those on a device come to the host.

    What has been returned by this is returned as it is.

    Args:
        value: an array, or arrays nested in lists, tuples and dicts, or None.
        name: of the argument, for errors.

    Raises:
        UnsupportedError: something in it is no array, or not of numbers.
    """
    return tree.map_structure(lambda leaf: _as_array(leaf, name), value, none_is_leaf=False)


def _as_array(leaf: Any, name: str) -> Array:
    array = _converted(leaf, _kinds(leaf), name)
    if array is None or not array.shape:
        raise _no_array(leaf, array, name)
    kind = array.dtype.kind
    if kind in "OSUMm" or (kind == "V" and array.dtype.names):
        raise UnsupportedError(
            f"{name} holds an array of type {array.dtype}; expected numbers or booleans"
            + _of_columns(leaf)
        )
    try:
        device_type(array.dtype)
    except ValueError as error:
        raise UnsupportedError(
            f"{name} holds an array of type {array.dtype}, which Keras has not; expected numbers "
            "or booleans"
        ) from error
    return array


def _converted(leaf: Any, kinds: set[tuple[str, str]], name: str) -> Array | None:
    """Return an array of any type and rank, or None where there is no way to one."""
    if isinstance(leaf, np.ma.MaskedArray):
        raise UnsupportedError(
            f"{name} holds a masked array, whose mask Keras would not see. Fill it "
            "(x.filled(value)) and pass the mask as sample_weight or as an input."
        )
    if isinstance(leaf, np.memmap) and leaf.ndim:
        return MappedRows(leaf)
    if isinstance(leaf, (np.ndarray, Rows)):
        return leaf
    if kinds & {("h5py", "Group"), ("zarr", "Group")}:
        raise UnsupportedError(
            f"{name} holds a group of an HDF5 file or a zarr store. Pass the arrays in it: "
            f"{name}=file['x'], or a dict of them by the names of the model's inputs."
        )
    if kinds & {("h5py", "Dataset"), ("zarr", "Array")}:
        return stored(leaf, name)
    if ("torch", "Tensor") in kinds:
        return _of_torch(leaf)
    if ("pandas", "Series") in kinds:
        # As Keras does: a column.
        return np.asarray(leaf.to_numpy())[:, None]
    if hasattr(leaf, "tocsr") and len(leaf.shape) == 2:
        return SparseRows(leaf.tocsr())
    try:
        return np.asarray(leaf) if hasattr(leaf, "__array__") else None
    except Exception:  # symbolic, sparse or ragged, each library says so in its own way
        return None


def _kinds(leaf: Any) -> set[tuple[str, str]]:
    """Return the libraries and names of the classes that something is of."""
    return {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(leaf).__mro__}


def _of_torch(tensor: Any) -> NDArray[Any] | None:
    if str(tensor.layout) != "torch.strided":
        return None
    host = tensor.detach().cpu()
    # Numpy does not know torch's bfloat16: as float32 its numbers are the same.
    return np.asarray(host.float() if str(host.dtype) == "torch.bfloat16" else host)


def _of_columns(leaf: Any) -> str:
    if not _kinds(leaf) & {("pandas", "DataFrame"), ("pandas", "Series")}:
        return ""
    return (
        ". Make all columns numbers: x.astype('float32'), and x['a'].cat.codes of one that has "
        "categories"
    )


def _no_array(leaf: Any, array: Array | None, name: str) -> UnsupportedError:
    kind = type(leaf)
    way = "Convert what fits in memory with numpy.asarray"
    if array is None:
        dense = [call for known, call in _DENSE.items() if known in _kinds(leaf)]
        dense += ["x.toarray()"] if hasattr(leaf, "toarray") else []
        way = f"Make it dense: {dense[0]}" if dense else way
    rank = "" if array is None else " without a dimension for the samples"
    return UnsupportedError(
        f"{name} holds a {kind.__module__}.{kind.__qualname__}{rank}. {TAKEN}. {way}."
    )
