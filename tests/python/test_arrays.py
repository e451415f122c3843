"""Inputs: read in place where they can be, copied where they must, refused by name."""
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fusion
from fusion import _arrays
from fusion._native import ffi, lib


def address(array):
    return int(ffi.cast("uintptr_t", lib.fusion_array_data(array.handle)))


@pytest.mark.parametrize("kind", sorted(_arrays.TYPES))
def test_samples__of_every_type_are_read_in_place(kind):
    a = np.arange(12).reshape(3, 2, 2).astype(kind)
    taken = _arrays.samples(a)
    assert address(taken) == a.ctypes.data
    back = _arrays.to_numpy(taken.handle)
    assert back.dtype == a.dtype and (back == a).all() and back.ctypes.data != a.ctypes.data


def test_samples__in_another_order_are_copied():
    a = np.arange(12.0).reshape(3, 4)
    for other in (np.asfortranarray(a), a[:, ::-1], a.astype(">f8"), a.tolist(), pd.DataFrame(a)):
        assert (_arrays.to_numpy(_arrays.samples(other).handle) == np.asarray(other)).all()


def test_samples__are_kept_while_they_are_borrowed():
    taken = _arrays.samples(np.full((2, 3), 7.0))
    assert (_arrays.to_numpy(taken.handle) == 7).all()


def test_samples__may_be_read_only_and_empty():
    a = np.zeros((2, 2))
    a.flags.writeable = False
    assert address(_arrays.samples(a)) == a.ctypes.data
    assert _arrays.to_numpy(_arrays.samples(np.zeros((0, 5))).handle).shape == (0, 5)


@pytest.mark.parametrize("value, text", [
    (pd.DataFrame({"age": [1, 2], "name": ["a", "b"]}), "column 'name' holds object"),
    (np.array(["a", "b"]), "could not convert"), (np.zeros(3, complex), "Complex data not supported"), (1.5, "got a scalar")])
def test_samples__that_are_no_numbers_are_refused(value, text):
    with pytest.raises(fusion.InputError, match=text):
        _arrays.samples(value)


def test_frames__of_mixed_numbers_become_one_array():
    frame = pd.DataFrame({"age": [61, 47], "pressure": [120.5, 131.0], "smokes": [True, False]})
    assert (_arrays.to_numpy(_arrays.samples(frame).handle) == [[61, 120.5, 1], [47, 131, 0]]).all()


def test_files__are_read_as_by_the_command(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float32))
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    assert (_arrays.to_numpy(_arrays.samples(tmp_path / "x.npy").handle) == np.eye(3)).all()
    assert (_arrays.to_numpy(_arrays.samples(str(tmp_path / "x.csv")).handle) == [[1, 2], [3, 4]]).all()
    assert _arrays.labels(tmp_path / "names.txt").rows == 2


def test_labels__numbers_and_names():
    assert (_arrays.to_numpy(_arrays.labels([3, 1]).handle) == [3, 1]).all()
    by_name = [_arrays.to_numpy(_arrays.labels(v).handle) for v in
               (["cat", "dog"], np.array(["cat", "dog"]), pd.Series(["cat", "dog"]), pd.Categorical(["cat", "dog"]))]
    assert all((v == by_name[0]).all() for v in by_name) and by_name[0][0] != by_name[0][1]
    with pytest.raises(fusion.InputError, match="row 1: a label has 1 to 255 bytes"):
        _arrays.labels(["a", ""])


@pytest.fixture
def pictures(tmp_path):
    random = np.random.default_rng(3)
    arrays = [random.integers(0, 256, (9, 7 + i, 3), dtype=np.uint8) for i in range(3)]
    for i, a in enumerate(arrays):
        Image.fromarray(a).save(tmp_path / f"{i}.png")
    return arrays, tmp_path


def test_pictures__paths_images_arrays_and_folders_are_alike(pictures):
    arrays, folder = pictures
    paths = sorted(folder.glob("*.png"))
    how = {"resize": [6, 5], "channels": "rgb"}
    expected = _arrays.to_numpy(_arrays.samples(folder, how).handle)
    assert expected.shape == (3, 6, 5, 3) and expected.dtype == np.uint8
    for value in (paths, [str(p) for p in paths], [Image.open(p) for p in paths], arrays, tuple(arrays)):
        assert (_arrays.to_numpy(_arrays.samples(value, how).handle) == expected).all()


def test_pictures__batch_and_grey(pictures):
    batch = np.stack([a[:, :7] for a in pictures[0]])
    assert (_arrays.to_numpy(_arrays.samples(batch, {}).handle) == batch).all()
    grey = [Image.fromarray(a).convert("L") for a in batch]
    assert (_arrays.to_numpy(_arrays.samples(grey, {"channels": "grey"}).handle)[..., 0] == [np.asarray(g) for g in grey]).all()


def test_pictures__that_are_none_are_refused(pictures):
    with pytest.raises(fusion.InputError, match="use --preprocess to make the sizes equal"):
        _arrays.samples(pictures[0], {})
    with pytest.raises(fusion.InputError, match="a picture is uint8"):
        _arrays.samples([np.zeros((3, 3))], {})
    with pytest.raises(fusion.InputError, match="preprocess is for pictures"):
        _arrays.samples(np.zeros((3, 3)), "imagenet")
    with pytest.raises(fusion.FileError, match="missing.png"):
        _arrays.samples(["missing.png"])
