"""Zips and npz files whose bytes depend on their contents alone."""

import io
import zipfile
from pathlib import Path

import numpy as np

_EPOCH = (1980, 1, 1, 0, 0, 0)


def _add(archive, name, data):
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data, compresslevel=9)


def zip_folder(folder, target):
    """Zip all files below `folder` into a path or a file object; says how many bytes that took."""
    folder = Path(folder)
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                _add(archive, file.relative_to(folder).as_posix(), file.read_bytes())
        return sum(info.compress_size + 2 * len(info.filename) + 76 for info in archive.infolist())


def save_arrays(path, arrays):
    """An npz that `numpy.load` reads; bfloat16 is kept as float32, no objects."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, _storable(np.asarray(array)), allow_pickle=False)
            _add(archive, f"{name}.npy", data.getvalue())


def _storable(array):
    if array.dtype.name == "bfloat16":
        return array.astype("float32")
    if array.dtype == object:
        texts = [v.decode() if isinstance(v, bytes) else str(v) for v in array.ravel()]
        return np.array(texts).reshape(array.shape)
    return array


def named(prefix, structure):
    """{prefix}/{name or index} -> array, for an array, a list or a dict of arrays."""
    if isinstance(structure, dict):
        return {f"{prefix}/{key}": np.asarray(value) for key, value in structure.items()}
    if isinstance(structure, list | tuple):
        return {f"{prefix}/{i}": np.asarray(value) for i, value in enumerate(structure)}
    return {f"{prefix}/0": np.asarray(structure)}


def shape_of(structure):
    if isinstance(structure, dict):
        return "dict"
    return "list" if isinstance(structure, list | tuple) else "single"
