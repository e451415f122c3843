#!/usr/bin/python3
"""Makes the models of tests/model/faults, and what they answer (expected.npz): networks that were once read wrongly or refused
without need. Those of `COPIED` came with their answers, computed by PyTorch or NumPy: they stay as they are in the folder.
The answers of the others are computed here with NumPy.

Usage: make_faults.py FOLDER (Debian: python3-onnx, python3-numpy)."""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

COPIED = ('resize_scale_0.6_10_11', 'resize_scale_0.3333_9_11', 'resize_scale_1.4_10_13', 'pt_interp_down_13', 'fold_uint8_sub',
          'mod_int_fmod1', 'fold_mod_fmod', 'zero_matmul_add', 'zero_hidden', 'fixed_batch_shape')
RNG = np.random.default_rng(12)
CASES = {}


def weights(*shape):
    return (RNG.standard_normal(shape) * 0.5).astype(np.float32)


def model(nodes, in_shape, constants=(), opset=13, out_shape=None, **more):
    """One input x and one output y; constants maps names to arrays or finished tensors."""
    tensors = [c if isinstance(c, TensorProto) else numpy_helper.from_array(np.asarray(c), n) for n, c in dict(constants).items()]
    graph = helper.make_graph(nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, in_shape)],
                              [helper.make_tensor_value_info('y', TensorProto.FLOAT, out_shape)], tensors, **more)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], producer_name='make_faults')


def case(name, m, x, y):
    assert name not in CASES
    CASES[name] = (m, np.asarray(x, np.float32), np.asarray(y, np.float32))


def save(folder, name, m):
    onnx.save(m, os.path.join(folder, name + '.onnx'))


def resize_refused(folder):
    up = helper.make_node('Resize', ['x', '', 's'], ['y'], name='up', mode='nearest')
    scales = {'s': np.array([1, 1, 1.4, 1.4], np.float32)}
    save(folder, 'refused_declared_shape', model([up], ['N', 1, 10, 10], scales, out_shape=['N', 1, 13, 14]))
    inner = helper.make_tensor_value_info('h', TensorProto.FLOAT, ['N', 4, 1])
    nodes = [helper.make_node('Relu', ['x'], ['h'], name='r'), helper.make_node('Neg', ['h'], ['y'])]
    save(folder, 'refused_declared_rank', model(nodes, ['N', 4], value_info=[inner]))
    down = helper.make_node('Resize', ['x', 's'], ['y'], name='down', mode='nearest')
    save(folder, 'refused_old_down', model([down], ['N', 1, 10, 10], {'s': np.array([1, 1, 0.6, 0.6], np.float32)}, opset=10))


def batch_cases():
    """A batch that the file fixes, told by Shape and Size, and expanded to."""
    x = weights(4, 3, 1)
    nodes = [helper.make_node('Shape', ['x'], ['s']), helper.make_node('Size', ['x'], ['n']),
             helper.make_node('Gather', ['s', 'zero'], ['b'], axis=0), helper.make_node('Div', ['n', 'b'], ['each']),
             helper.make_node('Unsqueeze', ['b', 'ax'], ['bu']), helper.make_node('Unsqueeze', ['each', 'ax'], ['eu']),
             helper.make_node('Concat', ['bu', 'eu', 'five'], ['t'], axis=0), helper.make_node('Expand', ['x', 't'], ['w']),
             helper.make_node('Concat', ['bu', 'm'], ['r'], axis=0), helper.make_node('Reshape', ['w', 'r'], ['y'])]
    c = {'zero': np.int64(0), 'ax': np.array([0]), 'five': np.array([5]), 'm': np.array([-1])}
    case('fixed_batch_size', model(nodes, [4, 3, 1], c), x, np.broadcast_to(x, (4, 3, 5)).reshape(4, 15))


def main():
    folder = sys.argv[1]
    resize_refused(folder)
    batch_cases()
    path = os.path.join(folder, 'expected.npz')
    with np.load(path) as old:
        arrays = {name + end: old[name + end] for name in COPIED for end in ('.in', '.out')}
    for name, (m, x, y) in CASES.items():
        save(folder, name, m)
        arrays[name + '.in'], arrays[name + '.out'] = x, y
    np.savez_compressed(path, **arrays)


if __name__ == '__main__':
    main()
