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
          'mod_int_fmod1', 'fold_mod_fmod', 'zero_matmul_add', 'zero_hidden', 'fixed_batch_shape', 'local_function')
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


def length_delimited(number, data):
    """A field that this version of the onnx module may not know."""
    out, n = bytearray([number << 3 | 2]), len(data)
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n])) + data


def function(name, inputs, outputs, nodes, attributes=(), presets=(), overload='', opset=13):
    f = helper.make_function('own', name, inputs, outputs, nodes, [helper.make_opsetid('', opset), helper.make_opsetid('own', 1)],
                             list(attributes))
    extra = b''.join(length_delimited(11, helper.make_attribute(k, v).SerializeToString()) for k, v in dict(presets).items())
    f.MergeFromString(extra + (length_delimited(13, overload.encode()) if overload else b''))
    return f


def call(name, inputs, outputs, overload='', **attributes):
    n = helper.make_node(name, inputs, outputs, domain='own', name='call', **attributes)
    if overload:
        n.MergeFromString(length_delimited(8, overload.encode()))
    return n


def refer(node, name, to, kind):
    """The node's attribute is the caller's attribute `to`."""
    a = node.attribute.add()
    a.name, a.ref_attr_name, a.type = name, to, kind
    return node


def with_functions(m, functions):
    m.opset_import.append(helper.make_opsetid('own', 1))
    m.functions.extend(functions)
    return m


def function_cases(folder):
    """Functions of the file: nested, called twice with other attributes, presets, overloads, inputs left out."""
    x, w = weights(3, 4), weights(4, 5)
    A = onnx.AttributeProto
    leaky = function('leaky', ['a'], ['b'], [refer(helper.make_node('LeakyRelu', ['a'], ['b']), 'alpha', 'slope', A.FLOAT)],
                     ['slope'], {'slope': 0.25})
    # The constant is read at every call.
    scaled = function('scaled', ['a'], ['out'], [
        helper.make_node('Constant', [], ['two'], value=numpy_helper.from_array(np.full((1, 4), 2, np.float32))),
        helper.make_node('Mul', ['a', 'two'], ['b']), refer(call('leaky', ['b'], ['out']), 'slope', 'slope', A.FLOAT)], ['slope'])
    nodes = [call('scaled', ['x'], ['h'], slope=0.5), call('scaled', ['h'], ['i'], slope=0.125), call('leaky', ['i'], ['j']),
             helper.make_node('MatMul', ['j', 'w'], ['y'])]
    f = lambda v, s: np.where(v > 0, v, s * v)
    case('functions_nested', with_functions(model(nodes, ['N', 4], {'w': w}), [scaled, leaky]), x,
         f(f(2 * f(2 * x, 0.5), 0.125), 0.25) @ w)
    plus = function('plus', ['a', 'b'], ['c'], [helper.make_node('Add', ['a', 'b'], ['c'])], overload='two')
    one = function('plus', ['a'], ['c'], [helper.make_node('Neg', ['a'], ['c'])], overload='one')
    same = function('same', ['a', 'left_out'], ['a', 'copy'], [helper.make_node('Clip', ['a', 'left_out', 'left_out'], ['copy'])])
    nodes = [call('plus', ['x'], ['n'], 'one'), call('same', ['n'], ['p', 'q']), helper.make_node('Relu', ['q'], ['r']),
             call('plus', ['p', 'r'], ['y'], 'two')]
    case('functions_overloaded', with_functions(model(nodes, ['N', 4]), [plus, one, same]), x, -x + np.maximum(-x, 0))
    # The body is of another operator set: Softmax over all axes from 1 on, not over the last.
    soft = function('soft', ['a'], ['b'], [helper.make_node('Softmax', ['a'], ['b'])], opset=11)
    e = np.exp(x.reshape(3, 2, 2))
    case('functions_opset', with_functions(model([call('soft', ['x'], ['y'])], ['N', 2, 2]), [soft]), x.reshape(3, 2, 2),
         e / e.sum((1, 2), keepdims=True))
    save(folder, 'refused_recursion', with_functions(model([call('f', ['x'], ['y'])], ['N', 4]),
                                                     [function('f', ['a'], ['b'], [call('g', ['a'], ['b'])]),
                                                      function('g', ['a'], ['b'], [call('f', ['a'], ['b'])])]))
    tower = [function('f0', ['a'], ['b'], [helper.make_node('Relu', ['a'], ['b'])])]
    for i in range(1, 20):
        tower.append(function('f%d' % i, ['a'], ['b'], [call('f%d' % (i - 1), ['a'], ['m']), call('f%d' % (i - 1), ['m'], ['b'])]))
    save(folder, 'refused_expansion', with_functions(model([call('f19', ['x'], ['y'])], ['N', 4]), tower))
    save(folder, 'refused_overload', with_functions(model([call('f', ['x'], ['y'], 'other')], ['N', 4]),
                                                    [function('f', ['a'], ['b'], [helper.make_node('Relu', ['a'], ['b'])])]))
    free = refer(helper.make_node('LeakyRelu', ['x'], ['y'], name='r'), 'alpha', 'slope', A.FLOAT)
    save(folder, 'refused_reference', model([free], ['N', 4]))


def order_cases(folder):
    """Nodes that stand before what they read."""
    x, w = weights(3, 4), weights(4, 5)
    nodes = [helper.make_node('Relu', ['h'], ['y']), helper.make_node('Add', ['g', 'b'], ['h']),
             helper.make_node('MatMul', ['x', 'w'], ['g'])]
    case('unordered', model(nodes, ['N', 4], {'w': w, 'b': w[0]}), x, np.maximum(x @ w + w[0], 0))
    nodes = [helper.make_node('Add', ['x', 'b'], ['a']), helper.make_node('Relu', ['a'], ['b']), helper.make_node('Neg', ['b'], ['y'])]
    save(folder, 'refused_circle', model(nodes, ['N', 4]))


def opset_cases(folder):
    """A file of operator set 24 as it was exported, and the same of 25."""
    for opset in (24, 25):
        m = onnx.load(os.path.join(folder, 'opset24.onnx'))
        c = {t.name: numpy_helper.to_array(t) for t in m.graph.initializer}
        m.opset_import[0].version = opset
        x = weights(5, 20)
        h = np.maximum(x @ c['0.weight'].T + c['0.bias'], 0)
        h = np.maximum(h @ c['2.weight'].T + c['2.bias'], 0)
        case('opset%d' % opset, m, x, h @ c['4.weight'].T + c['4.bias'])
    new = model([helper.make_node('Relu', ['x'], ['y'])], ['N', 4], opset=26)
    save(folder, 'refused_opset26', new)


def packed(name, values, low_type, raw):
    """A tensor of 4-bit integers: two share a byte."""
    flat = [int(v) & 15 for v in values.ravel()] + [0] * (values.size % 2)
    pairs = [a | b << 4 for a, b in zip(flat[::2], flat[1::2])]
    t = TensorProto(name=name, data_type=low_type, dims=values.shape)
    if raw:
        t.raw_data = bytes(pairs)
    else:
        t.int32_data.extend(pairs)
    return t


def small_type_cases(folder):
    """Weights of 4 bits: a scale for all, for each row, and for blocks of a row."""
    UINT4, INT4, FLOAT8 = 21, 22, 17
    x = weights(3, 5)
    for name, kind, raw, axis, block, zeros in [('int4_whole', INT4, True, None, 0, False), ('int4_rows', INT4, False, 0, 0, True),
                                                ('uint4_blocks', UINT4, True, 0, 2, True), ('int4_blocks', INT4, True, 1, 4, False)]:
        q = RNG.integers(-8, 8, (5, 7)) if kind == INT4 else RNG.integers(0, 16, (5, 7))
        shape = {None: (), 0: (5,), 1: (7,)}[axis]
        if block:
            shape = tuple(-(-d // block) if k == axis else d for k, d in enumerate(q.shape))
        scale = (np.abs(RNG.standard_normal(shape)) * 0.1 + 0.01).astype(np.float32)
        zero = RNG.integers(0, 7, shape) if zeros else np.zeros(shape, np.int64)
        spread = (lambda a: np.repeat(a, block, axis)[:5, :7]) if block else (lambda a: a if axis is None else a[:, None])
        attributes = {} if axis is None else {'axis': axis}
        if block:
            attributes['block_size'] = block
        names = ['q', 's'] + (['z'] if zeros else [])
        nodes = [helper.make_node('DequantizeLinear', names, ['w'], **attributes), helper.make_node('MatMul', ['x', 'w'], ['y'])]
        c = {'q': packed('q', q, kind, raw), 's': scale}
        if zeros:
            c['z'] = packed('z', zero, kind, raw)
        case(name, model(nodes, ['N', 5], c, opset=21), x, x @ ((q - spread(zero)) * spread(scale)).astype(np.float32))
    nodes = [helper.make_node('DequantizeLinear', ['q', 's'], ['w']), helper.make_node('MatMul', ['x', 'w'], ['y'])]
    eight = TensorProto(name='q', data_type=FLOAT8, dims=[5, 7], raw_data=bytes(35))
    save(folder, 'refused_float8', model(nodes, ['N', 5], {'q': eight, 's': np.float32(1)}, opset=21))


def line_cases(folder):
    """Limits that cross; what is refused with a line that says the cause."""
    x = weights(3, 4)
    n = helper.make_node('Clip', ['x', 'lo', 'hi'], ['y'])
    case('clip_crossed', model([n], ['N', 4], {'lo': np.float32(2), 'hi': np.float32(-1)}), x, np.full((3, 4), -1))
    negative = TensorProto(name='w', data_type=TensorProto.FLOAT, dims=[-1, 4], raw_data=bytes(16))
    save(folder, 'refused_negative', model([helper.make_node('MatMul', ['x', 'w'], ['y'])], ['N', 4], {'w': negative}))
    solid = helper.make_node('Conv', ['x', 'w'], ['y'], name='c3')
    save(folder, 'refused_conv3d', model([solid], ['N', 1, 3, 4, 4], {'w': weights(2, 1, 2, 2, 2)}))


def label_cases():
    """What classifiers call their classes: graphs give the scores, or the place of the best."""
    ml = lambda op, ins, outs, **a: helper.make_node(op, ins, outs, domain='ai.onnx.ml', **a)
    x, rows, bias = weights(12, 4), weights(3, 4), weights(3)
    scores = x @ rows.T + bias

    def classifier(name, answer, zip_map=None, **labels):
        n = ml('LinearClassifier', ['x'], ['label', 'scores'], coefficients=rows.ravel().tolist(), intercepts=bias.tolist(),
               post_transform='NONE', multi_class=1, **labels)
        nodes = [n] + ([ml('ZipMap', ['scores'], ['y'], **zip_map)] if zip_map else [])
        m = model(nodes, ['N', 4])
        m.opset_import.append(helper.make_opsetid('ai.onnx.ml', 1))
        del m.graph.output[:]
        m.graph.output.append(helper.make_tensor_value_info(answer, TensorProto.INT64 if answer == 'label' else TensorProto.FLOAT, None))
        case(name, m, x, np.argmax(scores, 1) if answer == 'label' else scores)
        return m
    classifier('labels_312', 'label', classlabels_ints=[3, 1, 2])
    classifier('labels_signed', 'scores', classlabels_ints=[-1, 0, 1])
    classifier('labels_text', 'scores', classlabels_strings=['setosa', 'versicolor', 'Iris virgínica, late'])
    classifier('labels_plain', 'label', classlabels_ints=[0, 1, 2])
    classifier('labels_map', 'y', {'classlabels_int64s': [7, 9, 8]}, classlabels_ints=[7, 9, 8])


def label_refused(folder):
    for name, labels in (('refused_labels', [4, 4]), ('refused_label_count', [1, 2, 3])):
        n = helper.make_node('LinearClassifier', ['x'], ['label', 'y'], domain='ai.onnx.ml', name='lc', coefficients=[1.0] * 8,
                             intercepts=[0.0, 0.0], classlabels_ints=labels)
        m = model([n], ['N', 4])
        m.opset_import.append(helper.make_opsetid('ai.onnx.ml', 1))
        save(folder, name, m)


def main():
    folder = sys.argv[1]
    resize_refused(folder)
    batch_cases()
    function_cases(folder)
    order_cases(folder)
    opset_cases(folder)
    small_type_cases(folder)
    line_cases(folder)
    label_cases()
    label_refused(folder)
    path = os.path.join(folder, 'expected.npz')
    with np.load(path) as old:
        arrays = {name + end: old[name + end] for name in COPIED for end in ('.in', '.out')}
    for name, (m, x, y) in CASES.items():
        save(folder, name, m)
        arrays[name + '.in'], arrays[name + '.out'] = x, y
    np.savez_compressed(path, **arrays)


if __name__ == '__main__':
    main()
