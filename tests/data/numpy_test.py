"""Files that numpy writes are read as numpy reads them. usage: numpy_test.py ARRAY_ECHO"""
import os
import subprocess
import sys
import tempfile
import warnings
import zipfile

try:
    import numpy as np
except ImportError:
    print("skipped: this Python has no numpy")
    sys.exit(77)


def main(echo):
    random = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        inside = lambda name: os.path.join(folder, name)

        def check(path, expected):
            subprocess.run([echo, path, inside("out.npy")], check=True)
            got = np.load(inside("out.npy"))
            assert got.dtype == expected.dtype and got.shape == expected.shape, (path, got.dtype, got.shape)
            np.testing.assert_array_equal(got, expected, err_msg=path)

        for kind in "?,u1,u2,u4,u8,i1,i2,i4,i8,f2,f4,f8".split(","):
            for shape in ((), (0,), (5,), (3, 4), (2, 3, 4, 5)):
                a = (random.standard_normal(shape) * 50).astype(np.dtype(kind))
                np.save(inside("c.npy"), a)
                check(inside("c.npy"), np.asarray(a))
                np.save(inside("f.npy"), np.array(a, order='F'))
                check(inside("f.npy"), np.asarray(a))
        for kind in ">u2,>u4,>u8,>i2,>i4,>i8,>f2,>f4,>f8".split(","):
            a = (random.standard_normal((3, 4)) * 50).astype(np.dtype(kind))
            np.save(inside("big.npy"), np.array(a, order="F"))
            check(inside("big.npy"), a.astype(a.dtype.newbyteorder("<")))
        images = random.integers(0, 256, (20, 8, 8)).astype("u1")
        labels = random.integers(0, 10, 20)
        for save in (np.savez, np.savez_compressed):
            save(inside("two.npz"), images=images, labels=labels)
            check(inside("two.npz:images"), images)
            check(inside("two.npz:labels"), labels)
            save(inside("one.npz"), images)
            check(inside("one.npz"), images)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with zipfile.ZipFile(inside("twice.npz"), "w") as z:
                for name, a in (("x", images), ("y", labels), ("x", labels), ("y", images)):
                    np.save(inside("member.npy"), a)
                    z.write(inside("member.npy"), name + ".npy")
            check(inside("twice.npz:x"), np.load(inside("twice.npz"))["x"])
            check(inside("twice.npz:y"), np.load(inside("twice.npz"))["y"])
            with zipfile.ZipFile(inside("same.npz"), "w") as z:
                for a in (images, labels):
                    np.save(inside("member.npy"), a)
                    z.write(inside("member.npy"), "x.npy")
            check(inside("same.npz"), labels)
        os.rename(inside("c.npy"), inside("C.NPY"))
        check(inside("C.NPY"), np.load(inside("C.NPY")))
        table = random.standard_normal((9, 4))
        np.savetxt(inside("t.csv"), table, delimiter=",", header="a,b,c,d", comments="", fmt="%.17g")
        check(inside("t.csv"), table)
        np.savetxt(inside("l.csv"), labels, fmt="%d")
        check(inside("l.csv"), labels)
        np.savetxt(inside("default.csv"), table, header="a b c d")
        check(inside("default.csv"), np.loadtxt(inside("default.csv")))


main(sys.argv[1])
