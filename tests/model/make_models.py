#!/usr/bin/python3
"""Makes the small ONNX models of tests/model/data and what they answer: NAME.onnx, and NAME.in / NAME.out in
expected.npz. The answers are computed here with PyTorch or NumPy, independently of the library under test.

Usage: make_models.py OUTPUT_FOLDER (Debian: python3-onnx, python3-numpy, python3-torch)."""
import io
import os
import sys

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(20)
CASES = {}


def weights(*shape, scale=0.5):
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def model(nodes, in_shape, constants=(), opset=13, **io_names):
    """One input x and one output y; constants maps names to arrays (or to finished TensorProtos)."""
    tensors = [c if isinstance(c, TensorProto) else numpy_helper.from_array(np.asarray(c), n)
               for n, c in dict(constants).items()]
    graph = helper.make_graph(nodes, 'g', [helper.make_tensor_value_info('x', io_names.get('type', TensorProto.FLOAT), in_shape)],
                              [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], producer_name='make_models')


def case(name, m, x, y):
    assert name not in CASES
    CASES[name] = (m, np.asarray(x, np.float32), np.asarray(y, np.float32))


def node_case(name, op, x, y, constants=(), opset=13, batch='N', **attributes):
    """One operator on x (the batch first) and constants."""
    n = helper.make_node(op, ['x'] + list(dict(constants)), ['y'], name=name, **attributes)
    case(name, model([n], [batch] + list(x.shape[1:]), constants, opset), x, y)


def t(a):
    return torch.from_numpy(np.asarray(a, np.float32))


def linear_cases():
    x, w, b = weights(3, 5), weights(5, 4), weights(4)
    node_case('gemm', 'Gemm', x, x @ w + b, {'w': w, 'b': b})
    node_case('gemm_scaled', 'Gemm', x, 0.5 * (x @ w) + 2 * b, {'w': w.T.copy(), 'b': b}, transB=1, alpha=0.5, beta=2.0)
    node_case('gemm_half', 'Gemm', x, x @ w.astype(np.float16).astype(np.float32), {'w': w.astype(np.float16)})
    node_case('gemm_double', 'Gemm', x, x @ w, {'w': w.astype(np.float64)})
    node_case('matmul', 'MatMul', x, x @ w, {'w': w})
    q, scale, zero = RNG.integers(-128, 128, (5, 4), np.int8), weights(4), RNG.integers(-9, 9, 4, np.int8)
    nodes = [helper.make_node('DequantizeLinear', ['q', 's', 'z'], ['w'], axis=1), helper.make_node('MatMul', ['x', 'w'], ['y'])]
    case('weights_int8', model(nodes, ['N', 5], {'q': q, 's': scale, 'z': zero}), x, x @ ((q - zero.astype(np.float32)) * scale))
    rows = weights(2, 6, 5)
    node_case('matmul_rows', 'MatMul', rows, rows @ w, {'w': w})
    left = weights(4, 6)
    n = helper.make_node('MatMul', ['w', 'x'], ['y'], name='mm')
    case('matmul_left', model([n], ['N', 6, 5], {'w': left}), rows, left @ rows)
    # A bias behind the rearrangement of a row-wise product folds into it.
    nodes = [helper.make_node('MatMul', ['x', 'w'], ['p']), helper.make_node('Add', ['p', 'b'], ['q']),
             helper.make_node('Relu', ['q'], ['y'])]
    case('rows_bias_relu', model(nodes, ['N', 6, 5], {'w': w, 'b': b}), rows, np.maximum(rows @ w + b, 0))


def conv_cases():
    x = weights(2, 4, 9, 7)
    for name, cout, k, args, pads in [
            ('conv_plain', 5, (3, 3), {}, None),
            ('conv_pads', 6, (3, 2), {'stride': (2, 1), 'padding': (1, 1)}, [1, 1, 1, 1]),
            ('conv_groups', 8, (3, 3), {'groups': 2, 'padding': (1, 1)}, [1, 1, 1, 1]),
            ('conv_depthwise', 4, (3, 3), {'groups': 4, 'padding': (1, 1), 'stride': (2, 2)}, [1, 1, 1, 1]),
            ('conv_depthwise_double', 8, (3, 3), {'groups': 4}, None),
            ('conv_dilated', 3, (2, 3), {'dilation': (3, 2)}, None)]:
        w, b = weights(cout, 4 // args.get('groups', 1), *k), weights(cout)
        attributes = {'kernel_shape': k}
        for ours, theirs in [('stride', 'strides'), ('groups', 'group'), ('dilation', 'dilations')]:
            if ours in args:
                attributes[theirs] = args[ours]
        if pads:
            attributes['pads'] = pads
        node_case(name, 'Conv', x, F.conv2d(t(x), t(w), t(b), **args), {'w': w, 'b': b}, **attributes)
    w = weights(3, 4, 3, 3)
    uneven = F.conv2d(F.pad(t(x), (1, 2, 0, 3)), t(w))
    node_case('conv_uneven_pads', 'Conv', x, uneven, {'w': w}, pads=[0, 1, 3, 2])
    same = F.conv2d(F.pad(t(x), (0, 0, 0, 0)), t(w))
    node_case('conv_valid', 'Conv', x, same, {'w': w}, auto_pad='VALID')
    # 9 rows, stride 2, kernel 3: 5 rows out, 2 of padding; 7 columns: 4 out, 2 of padding.
    node_case('conv_same_upper', 'Conv', x, F.conv2d(F.pad(t(x), (1, 1, 1, 1)), t(w), stride=2), {'w': w},
              auto_pad='SAME_UPPER', strides=[2, 2])
    line, w1 = weights(2, 3, 11), weights(5, 3, 4)
    node_case('conv_1d', 'Conv', line, F.conv1d(t(line), t(w1), stride=2, padding=1), {'w': w1}, strides=[2], pads=[1, 1])


def pool_cases():
    x = weights(2, 3, 8, 7)
    node_case('maxpool', 'MaxPool', x, F.max_pool2d(t(x), 3, 2, 1), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    node_case('maxpool_ceil', 'MaxPool', x, F.max_pool2d(t(x), 3, 2, ceil_mode=True), kernel_shape=[3, 3], strides=[2, 2],
              ceil_mode=1)
    node_case('maxpool_dilated', 'MaxPool', x, F.max_pool2d(t(x), 2, 1, dilation=2), kernel_shape=[2, 2], dilations=[2, 2])
    for count in (0, 1):
        node_case('avgpool_count%d' % count, 'AveragePool', x,
                  F.avg_pool2d(t(x), 3, 2, 1, count_include_pad=bool(count)), kernel_shape=[3, 3], strides=[2, 2],
                  pads=[1, 1, 1, 1], count_include_pad=count)
        node_case('avgpool_ceil%d' % count, 'AveragePool', x,
                  F.avg_pool2d(t(x), 3, 2, 1, ceil_mode=True, count_include_pad=bool(count)), kernel_shape=[3, 3],
                  strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=count)
    line = weights(2, 3, 9)
    node_case('maxpool_1d', 'MaxPool', line, F.max_pool1d(t(line), 2), kernel_shape=[2], strides=[2])
    node_case('global_average', 'GlobalAveragePool', x, x.mean((2, 3), keepdims=True))
    node_case('global_max', 'GlobalMaxPool', x, x.max((2, 3), keepdims=True))
    node_case('reduce_mean_spatial', 'ReduceMean', x, x.mean((2, 3)), axes=[2, 3], keepdims=0)
    node_case('reduce_mean_channels', 'ReduceMean', x, x.mean(1, keepdims=True), axes=[1])
    node_case('reduce_sum_rows', 'ReduceSum', x, x.sum(2), {'a': np.array([2])}, keepdims=0)
    node_case('reduce_max_all', 'ReduceMax', x, x.max((1, 2, 3)), axes=[1, 2, 3], keepdims=0)
    node_case('reduce_min', 'ReduceMin', x, x.min(3, keepdims=True), axes=[-1])


def arithmetic_cases():
    x = weights(3, 4, 2, 3, scale=2)
    c, whole = weights(4, 1, 1), weights(4, 2, 3)
    node_case('add_channel', 'Add', x, x + c, {'c': c})
    node_case('mul_whole', 'Mul', x, x * whole, {'c': whole})
    node_case('sub', 'Sub', x, x - c, {'c': c})
    node_case('div', 'Div', x, x / np.float32(4), {'c': np.float32(4)})
    nodes = [helper.make_node('Cast', ['x'], ['f'], to=TensorProto.FLOAT), helper.make_node('Div', ['f', 'c'], ['y'])]
    case('bytes_to_float', model(nodes, ['N', 3], {'c': np.float32(255)}, type=TensorProto.UINT8), [[0, 9, 255]],
         np.array([[0, 9, 255]]) / 255)
    n = helper.make_node('Sub', ['c', 'x'], ['y'])
    case('sub_from_constant', model([n], ['N', 4, 2, 3], {'c': c}), x, c - x)
    n = helper.make_node('Mul', ['x', 'x'], ['y'])
    case('square', model([n], ['N', 4, 2, 3]), x, x * x)
    for p in (1, 2, 3, 4):
        node_case('pow%d' % p, 'Pow', x, x ** p, {'c': np.float32(p)})
    node_case('neg', 'Neg', x, -x)
    node_case('abs', 'Abs', x, np.abs(x))
    node_case('clip_relu6', 'Clip', x, np.clip(x, 0, 6), {'lo': np.float32(0), 'hi': np.float32(6)})
    node_case('clip_both', 'Clip', x, np.clip(x, -0.5, 1), {'lo': np.float32(-0.5), 'hi': np.float32(1)})
    node_case('clip_relu', 'Clip', x, np.maximum(x, 0), {'lo': np.float32(0)})
    node_case('clip_old', 'Clip', x, np.clip(x, -1, 1), opset=9, min=-1.0, max=1.0)
    n = helper.make_node('Clip', ['x', '', 'hi'], ['y'])
    case('clip_above', model([n], ['N', 4, 2, 3], {'hi': np.float32(0.25)}), x, np.minimum(x, 0.25))
    node_case('leaky_relu', 'LeakyRelu', x, F.leaky_relu(t(x), 0.1), alpha=0.1)
    slope = np.abs(weights(4, 1, 1))
    node_case('prelu', 'PRelu', x, np.where(x > 0, x, slope * x), {'s': slope})
    node_case('hard_sigmoid', 'HardSigmoid', x, np.clip(x / 6 + 0.5, 0, 1), alpha=1 / 6, beta=0.5)
    node_case('hard_swish', 'HardSwish', x, F.hardswish(t(x)), opset=14)
    node_case('max_constant', 'Max', x, np.maximum(x, c), {'c': c})
    node_case('min_constant', 'Min', x, np.minimum(x, c), {'c': c})
    scale, bias, mean, var = weights(4), weights(4), weights(4), np.abs(weights(4)) + 0.1
    node_case('batch_norm', 'BatchNormalization', x, F.batch_norm(t(x), t(mean), t(var), t(scale), t(bias), eps=1e-3),
              {'s': scale, 'b': bias, 'm': mean, 'v': var}, epsilon=1e-3)
    nodes = [helper.make_node('Relu', ['x'], ['a']), helper.make_node('Neg', ['x'], ['b']),
             helper.make_node('Sum', ['a', 'b', 'x'], ['s']), helper.make_node('Mean', ['s', 'x'], ['y'])]
    case('sum_mean', model(nodes, ['N', 4, 2, 3]), x, (np.maximum(x, 0) - x + x + x) / 2)


def layout_cases():
    x = weights(2, 3, 4, 5)
    i64 = lambda *v: np.array(v, np.int64)
    node_case('flatten', 'Flatten', x, x.reshape(2, -1))
    node_case('reshape', 'Reshape', x, x.reshape(2, 6, 10), {'s': i64(0, 6, -1)})
    node_case('reshape_literal_batch', 'Reshape', x[:1], x[:1].reshape(1, 60), {'s': i64(1, 60)})
    node_case('reshape_fixed_batch', 'Reshape', x, x.reshape(2, 60), {'s': i64(2, 60)}, batch=2)
    node_case('transpose', 'Transpose', x, x.transpose(0, 2, 3, 1), perm=[0, 2, 3, 1])
    node_case('squeeze', 'Squeeze', x[:, :1], x[:, 0], {'a': i64(1)})
    node_case('unsqueeze_old', 'Unsqueeze', x, x[:, :, None], opset=11, axes=[2])
    node_case('pad', 'Pad', x, np.pad(x, [(0, 0), (0, 1), (2, 0), (1, 1)]), {'p': i64(0, 0, 2, 1, 0, 1, 0, 1)})
    node_case('pad_reflect', 'Pad', x, np.pad(x, [(0, 0), (0, 0), (1, 1), (2, 0)], mode='reflect'),
              {'p': i64(0, 0, 1, 2, 0, 0, 1, 0)}, mode='reflect')
    node_case('slice', 'Slice', x, x[:, 1:3, ::-2], {'b': i64(1, -1), 'e': i64(3, -100), 'a': i64(1, 2), 's': i64(1, -2)})
    node_case('gather', 'Gather', x, x[:, [2, 0, 2]], {'i': i64(2, 0, -1)}, axis=1)
    node_case('gather_one', 'Gather', x, x[:, :, 1], {'i': np.int64(1)}, axis=2)
    node_case('expand', 'Expand', x[:, :, :1], np.broadcast_to(x[:, :, :1], (2, 3, 6, 5)), {'s': i64(1, 3, 6, 1)})
    node_case('tile', 'Tile', x, np.tile(x, (1, 2, 1, 1)), {'r': i64(1, 2, 1, 1)})
    node_case('depth_to_space', 'DepthToSpace', np.tile(x, (1, 4, 1, 1)), F.pixel_shuffle(t(np.tile(x, (1, 4, 1, 1))), 2),
              blocksize=2, mode='CRD')
    nodes = [helper.make_node('Split', ['x'], ['a', 'b'], axis=2), helper.make_node('Relu', ['a'], ['c']),
             helper.make_node('Concat', ['b', 'c'], ['y'], axis=1)]
    y = np.concatenate([x[:, :, 2:], np.maximum(x[:, :, :2], 0)], 1)
    case('split_concat', model(nodes, ['N', 3, 4, 5]), x, y)
    # What tracing leaves of x.view(x.size(0), -1).
    nodes = [helper.make_node('Shape', ['x'], ['s']), helper.make_node('Gather', ['s', 'zero'], ['n']),
             helper.make_node('Unsqueeze', ['n', 'ax'], ['nu']), helper.make_node('Concat', ['nu', 'm'], ['t'], axis=0),
             helper.make_node('Reshape', ['x', 't'], ['y'])]
    case('shape_computation', model(nodes, ['N', 3, 4, 5], {'zero': np.int64(0), 'ax': i64(0), 'm': i64(-1)}), x,
         x.reshape(2, -1))


def end_cases():
    x, w = weights(3, 6), weights(6, 5)
    p = F.softmax(t(x @ w), 1).numpy()
    mm = helper.make_node('MatMul', ['x', 'w'], ['h'])
    for name, op, y in [('softmax', 'Softmax', p), ('log_softmax', 'LogSoftmax', np.log(p))]:
        case(name, model([mm, helper.make_node(op, ['h'], ['y'], axis=1)], ['N', 6], {'w': w}), x, y)
    ends = [mm, helper.make_node('Softmax', ['h'], ['p']), helper.make_node('ArgMax', ['p'], ['y'], axis=1, keepdims=0)]
    case('argmax_of_softmax', model(ends, ['N', 6], {'w': w}), x, np.argmax(x @ w, 1))


class Squeeze(torch.nn.Module):
    """Depthwise convolution, squeeze-and-excitation gate, hard activations: what MobileNetV3 is made of."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Conv2d(3, 8, 3, padding=1, stride=2)
        self.b = torch.nn.BatchNorm2d(8)
        self.c = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.gate = torch.nn.Conv2d(8, 8, 1)
        self.out = torch.nn.Linear(8, 5)

    def forward(self, x):
        x = F.hardswish(self.b(self.a(x)))
        y = F.relu6(self.c(x))
        y = y * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(y, 1)))
        return self.out((x + y).mean((2, 3)))


class Residual(torch.nn.Module):
    """Residual and dense connections, explicit padding, pooling behind normalisation."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Conv2d(3, 6, 3, stride=2)
        self.bn = torch.nn.BatchNorm2d(6)
        self.b = torch.nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(6)
        self.bn3 = torch.nn.BatchNorm2d(12)
        self.c = torch.nn.Conv2d(12, 4, 1)
        self.drop = torch.nn.Dropout(0.5)
        self.out = torch.nn.Linear(4 * 16, 7)

    def forward(self, x):
        x = F.relu(self.a(F.pad(x, (1, 1, 1, 1))))
        x = F.max_pool2d(self.bn(x), 2)
        y = F.relu(self.bn2(self.b(x)) + x)
        z = self.c(F.relu(self.bn3(torch.cat([x, y], 1))))
        return F.log_softmax(self.out(self.drop(torch.flatten(z, 1))), 1)


def exported_cases():
    torch.manual_seed(4)
    for name, net, opset in [('exported_squeeze', Squeeze(), 13), ('exported_residual', Residual(), 11),
                             ('exported_residual_old', Residual(), 9)]:
        net.eval()
        for m in net.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                for p in (m.running_mean, m.bias.data):
                    p.normal_(0, 0.3)
                m.running_var.uniform_(0.5, 2)
                m.weight.data.uniform_(0.3, 1.5)
        x = torch.randn(3, 3, 16, 16)
        buffer = io.BytesIO()
        torch.onnx.export(net, x[:1], buffer, opset_version=opset, input_names=['x'], output_names=['y'],
                          dynamic_axes={'x': {0: 'N'}})
        case(name, onnx.load_from_string(buffer.getvalue()), x, net(x).detach())


def wider_cases():
    """Enlarging, filled padding, constants among activations."""
    x = weights(2, 4, 5, 6)
    w, b = weights(4, 3, 3, 2), weights(6)
    y = F.conv_transpose2d(t(x), t(w), t(b), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2, dilation=(1, 2))
    node_case('conv_transpose', 'ConvTranspose', x, y, {'w': w, 'b': b}, group=2, strides=[2, 3], pads=[1, 0, 1, 0],
              output_padding=[1, 2], dilations=[1, 2])
    line, w1 = weights(2, 3, 7), weights(3, 4, 3)
    node_case('conv_transpose_1d', 'ConvTranspose', line, F.conv_transpose1d(t(line), t(w1), padding=2), {'w': w1}, pads=[2, 2])
    twice = F.interpolate(t(x), scale_factor=2, mode='nearest')
    n = helper.make_node('Resize', ['x', '', 's'], ['y'], mode='nearest', nearest_mode='floor',
                         coordinate_transformation_mode='asymmetric')
    scales = np.array([1, 1, 2, 2], np.float32)
    case('resize_nearest', model([n], ['N', 4, 5, 6], {'s': scales}), x, twice)
    node_case('upsample_old', 'Upsample', x, twice, {'s': scales}, opset=9, mode='nearest')
    n = helper.make_node('Resize', ['x', '', 's'], ['y'], mode='linear')
    case('resize_by_one', model([n], ['N', 4, 5, 6], {'s': np.ones(4, np.float32)}), x, x)
    node_case('pad_value', 'Pad', x, np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 2)], constant_values=1.5),
              {'p': np.array([0, 0, 1, 0, 0, 0, 0, 2]), 'v': np.float32(1.5)})
    c = weights(1, 2, 5, 6)
    n = helper.make_node('Concat', ['x', 'c', 'x'], ['y'], axis=1)
    case('concat_constant', model([n], ['N', 4, 5, 6], {'c': c}), x[:1], np.concatenate([x[:1], c, x[:1]], 1))
    node_case('reduce_l1', 'ReduceL1', x, np.abs(x).sum((2, 3)), axes=[2, 3], keepdims=0)
    node_case('reduce_sum_square', 'ReduceSumSquare', x, (x * x).sum(2, keepdims=True), axes=[2])
    row = weights(3, 6)
    node_case('argmin', 'ArgMin', row, np.argmin(row, 1), axis=1, keepdims=0)
    node_case('sigmoid', 'Sigmoid', row, torch.sigmoid(t(row)))


def activation_cases():
    x = np.random.default_rng(21).standard_normal((3, 7)).astype(np.float32) * 4
    node_case('tanh', 'Tanh', x, torch.tanh(t(x)))
    node_case('erf', 'Erf', x, torch.erf(t(x)))
    node_case('elu', 'Elu', x, F.elu(t(x), 1.5), alpha=1.5)
    node_case('selu', 'Selu', x, F.selu(t(x)))
    node_case('celu', 'Celu', x, F.celu(t(x), 0.75), alpha=0.75)
    node_case('softplus', 'Softplus', x, F.softplus(t(x)))
    node_case('gelu', 'Gelu', x, F.gelu(t(x)), opset=20)
    half, root = np.float32(0.5), np.float32(np.sqrt(2 / np.pi))
    cubic = root * (x.astype(np.float64) + 0.044715 * x.astype(np.float64) ** 3)
    node_case('gelu_tanh', 'Gelu', x, half * x * (1 + np.tanh(cubic)), opset=20, approximate='tanh')
    nodes = [helper.make_node('Sigmoid', ['x'], ['s'], name='gate'), helper.make_node('Mul', ['x', 's'], ['y'])]
    case('sigmoid_inside', model(nodes, ['N', 7]), x, F.silu(t(x)))
    nodes = [helper.make_node('Div', ['x', 'r'], ['d']), helper.make_node('Erf', ['d'], ['e']),
             helper.make_node('Add', ['e', 'one'], ['a']), helper.make_node('Mul', ['x', 'a'], ['m']),
             helper.make_node('Mul', ['m', 'half'], ['y'])]
    constants = {'r': np.float32(np.sqrt(2)), 'one': np.float32(1), 'half': half}
    case('gelu_exported', model(nodes, ['N', 7], constants), x, F.gelu(t(x)))


def positive(*shape):
    return np.random.default_rng(22).uniform(0.1, 9, shape).astype(np.float32)


def function_cases():
    """Exp, powers, logarithms, softmax along an axis, normalisations: as operators and as PyTorch writes them."""
    x = np.random.default_rng(23).standard_normal((3, 4, 6)).astype(np.float32) * 2
    p = positive(3, 4, 6)
    node_case('exp', 'Exp', x, np.exp(x))
    node_case('sin', 'Sin', x, np.sin(x))
    node_case('cos', 'Cos', x, np.cos(x))
    node_case('log', 'Log', p, np.log(p))
    node_case('sqrt', 'Sqrt', p, np.sqrt(p))
    node_case('reciprocal', 'Reciprocal', p, 1 / p)
    node_case('pow_fraction', 'Pow', p, p ** np.float32(-1.5), {'e': np.float32(-1.5)})
    node_case('pow_7', 'Pow', x / 2, (x / 2) ** 7, {'e': np.float32(7)})
    node_case('mish', 'Mish', x, F.mish(t(x)), opset=18)
    node_case('swish', 'Swish', x, F.silu(t(x) * 1.5) / 1.5, opset=24, alpha=1.5)
    node_case('softsign', 'Softsign', x, F.softsign(t(x)))
    node_case('softmax_rows', 'Softmax', x, F.softmax(t(x), 2), axis=2)
    node_case('softmax_columns', 'Softmax', x, F.softmax(t(x), 1), axis=1)
    node_case('log_softmax_rows', 'LogSoftmax', x, F.log_softmax(t(x), 2), axis=-1)
    node_case('reduce_l2', 'ReduceL2', x, np.sqrt((x * x).sum(1)), axes=[1], keepdims=0)
    node_case('reduce_log_sum', 'ReduceLogSum', p, np.log(p.sum(2, keepdims=True)), axes=[2])
    node_case('reduce_log_sum_exp', 'ReduceLogSumExp', x, t(x).logsumexp((1, 2)), axes=[1, 2], keepdims=0)
    scale, bias = positive(6), x[0, 0]
    node_case('layer_norm', 'LayerNormalization', x, F.layer_norm(t(x), (6,), t(scale), t(bias)), {'s': scale, 'b': bias}, opset=17)
    node_case('rms_norm', 'RMSNormalization', x, x / np.sqrt((x * x).mean(2, keepdims=True) + np.float32(1e-5)) * scale, {'s': scale}, opset=23)
    image = np.random.default_rng(24).standard_normal((2, 4, 3, 5)).astype(np.float32)
    scale, bias = positive(4), image[0, :, 0, 0]
    node_case('instance_norm', 'InstanceNormalization', image, F.instance_norm(t(image), weight=t(scale), bias=t(bias)), {'s': scale, 'b': bias})
    node_case('group_norm', 'GroupNormalization', image, F.group_norm(t(image), 2, t(scale), t(bias)), {'s': scale, 'b': bias}, opset=21, num_groups=2)
    node_case('group_norm_18', 'GroupNormalization', image, F.group_norm(t(image), 2, t(scale[[0, 0, 2, 2]]), t(bias[[0, 0, 2, 2]])),
              {'s': scale[[0, 2]], 'b': bias[[0, 2]]}, opset=18, num_groups=2)
    node_case('mean_variance_norm', 'MeanVarianceNormalization', image, F.instance_norm(t(image), eps=0), axes=[2, 3])
    node_case('lp_norm_1', 'LpNormalization', x, F.normalize(t(x), 1, 2), p=1)
    node_case('lp_norm_2', 'LpNormalization', x, F.normalize(t(x), 2, 1), axis=1)
    w = np.random.default_rng(25).standard_normal((6, 2)).astype(np.float32)
    nodes = [helper.make_node('Softmax', ['x'], ['p'], name='sm', axis=1), helper.make_node('MatMul', ['p', 'w'], ['y'])]
    case('softmax_inside', model(nodes, ['N', 6], {'w': w}), x[:, 0], F.softmax(t(x[:, 0]), 1) @ t(w))
    nodes = [helper.make_node('Softmax', ['x'], ['p'], axis=1), helper.make_node('Log', ['p'], ['y'], name='l')]
    case('log_of_softmax', model(nodes, ['N', 6]), x[:, 0], F.log_softmax(t(x[:, 0]), 1))
    nodes = [helper.make_node('Abs', ['x'], ['a']), helper.make_node('Add', ['a', 'e'], ['b']), helper.make_node('Div', ['x', 'b'], ['y'])]
    case('div_activations', model(nodes, ['N', 4, 6], {'e': np.float32(0.5)}), x, x / (np.abs(x) + np.float32(0.5)))


def export_functions():
    """What PyTorch makes of its own layers in operator set 13: pieces."""
    torch.manual_seed(6)
    for name, net, shape in [('exported_layer_norm', torch.nn.LayerNorm(6), (4, 6)), ('exported_group_norm', torch.nn.GroupNorm(2, 4), (4, 3, 5)),
                             ('exported_instance_norm', torch.nn.InstanceNorm2d(4, affine=True), (4, 3, 5)),
                             ('exported_gelu', torch.nn.GELU(), (9,)), ('exported_silu', torch.nn.SiLU(), (9,)),
                             ('exported_gelu_tanh', torch.nn.GELU('tanh'), (9,)),
                             ('exported_mish', torch.nn.Mish(), (9,)), ('exported_log_sigmoid', torch.nn.LogSigmoid(), (9,)),
                             ('exported_hard_swish', torch.nn.Hardswish(), (9,)), ('exported_softmax', torch.nn.Softmax(-1), (4, 6)),
                             ('exported_log_softmax', torch.nn.LogSoftmax(1), (4, 6))]:
        for k, v in enumerate(net.parameters()):
            v.data.uniform_(0.5, 1.5) if k == 0 else v.data.normal_(0, 0.3)
        x = torch.randn(3, *shape) * 2
        net.eval()
        buffer = io.BytesIO()
        torch.onnx.export(net, x[:1], buffer, opset_version=13, input_names=['x'], output_names=['y'], dynamic_axes={'x': {0: 'N'}})
        case(name, onnx.load_from_string(buffer.getvalue()), x, net(x).detach())


def outputs(m, *names):
    """The model with these outputs: (name, element type) each; a type of None is a sequence of maps."""
    del m.graph.output[:]
    for name, kind in names:
        if kind is not None:
            m.graph.output.append(helper.make_tensor_value_info(name, kind, None))
            continue
        value = onnx.ValueInfoProto(name=name)
        value.type.sequence_type.elem_type.map_type.key_type = TensorProto.INT64
        value.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
        m.graph.output.append(value)
    return m


def classical(m):
    m.opset_import.append(helper.make_opsetid('ai.onnx.ml', 3))
    return m


def classical_cases():
    """Files with several outputs, and what exporters of classical models write."""
    ml = lambda op, ins, outs, **a: helper.make_node(op, ins, outs, domain='ai.onnx.ml', **a)
    x, w = weights(4, 5), weights(5, 3)
    nodes = [helper.make_node('MatMul', ['x', 'w'], ['scores']), helper.make_node('Relu', ['x'], ['other']),
             helper.make_node('ArgMax', ['scores'], ['label'], axis=1)]
    case('label_and_scores', outputs(model(nodes, ['N', 5], {'w': w}), ('label', TensorProto.INT64), ('scores', TensorProto.FLOAT)),
         x, x @ w)
    nodes = [helper.make_node('MatMul', ['x', 'w'], ['y']), helper.make_node('LSTM', ['x'], ['z'], name='unused')]
    case('unused_node', model(nodes, ['N', 5], {'w': w}), x, x @ w)
    # A network with one logistic output: probabilities of both classes, a map of them, and a label.
    w1, b1, w2, b2 = weights(5, 6), weights(6), weights(6, 1), weights(1)
    nodes = [helper.make_node('MatMul', ['x', 'w1'], ['m1']), helper.make_node('Add', ['m1', 'b1'], ['a1']),
             helper.make_node('Relu', ['a1'], ['h']), helper.make_node('MatMul', ['h', 'w2'], ['m2']),
             helper.make_node('Add', ['m2', 'b2'], ['a2']), helper.make_node('Sigmoid', ['a2'], ['p']),
             helper.make_node('Sub', ['one', 'p'], ['q']), helper.make_node('Concat', ['q', 'p'], ['probabilities'], axis=1),
             helper.make_node('ArgMax', ['probabilities'], ['best'], axis=1), ml('ArrayFeatureExtractor', ['classes', 'best'], ['label']),
             ml('ZipMap', ['probabilities'], ['y'], classlabels_int64s=[3, 7])]
    p = 1 / (1 + np.exp(-(np.maximum(x @ w1 + b1, 0) @ w2 + b2)))
    m = model(nodes, ['N', 5], {'w1': w1, 'b1': b1, 'w2': w2, 'b2': b2, 'one': np.float32(1), 'classes': np.array([3, 7])})
    case('logistic_network', classical(outputs(m, ('label', TensorProto.INT64), ('y', None))), x, np.concatenate([1 - p, p], 1))
    # Standardised data and a linear classifier.
    mean, inverse, rows, bias = weights(5), np.abs(weights(5)) + 0.5, weights(3, 5), weights(3)
    scores = ((x - mean) * inverse) @ rows.T + bias
    scale = ml('Scaler', ['x'], ['s'], offset=mean.tolist(), scale=inverse.tolist())
    linear = ml('LinearClassifier', ['s'], ['label', 'y'], coefficients=rows.ravel().tolist(), intercepts=bias.tolist(),
                classlabels_ints=[0, 1, 2], post_transform='SOFTMAX', multi_class=1)
    m = classical(outputs(model([scale, linear], ['N', 5]), ('label', TensorProto.INT64), ('y', TensorProto.FLOAT)))
    case('linear_classifier', m, x, F.softmax(t(scores), 1))
    m = classical(outputs(model([scale, linear], ['N', 5]), ('label', TensorProto.INT64)))
    case('linear_label', m, x, np.argmax(scores, 1))
    one, b = weights(5), float(weights(1)[0])
    linear = ml('LinearClassifier', ['x'], ['label', 'raw'], coefficients=(-one).tolist() + one.tolist(), intercepts=[-b, b],
                classlabels_ints=[0, 1], post_transform='LOGISTIC')
    m = classical(outputs(model([linear, ml('Normalizer', ['raw'], ['y'], norm='L1')], ['N', 5]), ('y', TensorProto.FLOAT)))
    p = 1 / (1 + np.exp(-(x @ one + b)))
    case('logistic_regression', m, x, np.stack([1 - p, p], 1))
    linear = ml('LinearRegressor', ['x'], ['y'], coefficients=rows.ravel().tolist(), intercepts=bias.tolist(), targets=3)
    case('linear_regressor', classical(model([linear], ['N', 5])), x, x @ rows.T + bias)


# What a branch asks, in single precision unless its limit is a double.
BRANCHES = {'BRANCH_LEQ': np.less_equal, 'BRANCH_LT': np.less, 'BRANCH_GTE': np.greater_equal, 'BRANCH_GT': np.greater,
            'BRANCH_EQ': np.equal, 'BRANCH_NEQ': np.not_equal}


def random_tree(features, depth, modes, rng, full=False):
    """A leaf's values (None here, filled in later), or (mode, feature, limit, where true, where false). Limits are halves."""
    if depth == 0 or (not full and rng.random() < 0.25):
        return None
    return (modes[rng.integers(len(modes))], int(rng.integers(features)), float(rng.integers(-6, 7)) / 2,
            random_tree(features, depth - 1, modes, rng, full), random_tree(features, depth - 1, modes, rng, full))


def chain_tree(features, length, rng):
    """Each branch has a leaf beside it."""
    node = None
    for _ in range(length):
        rest = (None, node) if rng.random() < 0.5 else (node, None)
        node = ('BRANCH_LEQ', int(rng.integers(features)), float(rng.integers(-6, 7)) / 2, *rest)
    return node


def flat_trees(trees, weigh):
    """Rows (tree, node, mode, feature, limit, true, false) and the leaves' values by (tree, node)."""
    rows, leaves = [], {}

    def add(tree, node):
        mine = sum(row[0] == tree for row in rows)
        if node is None:
            rows.append((tree, mine, 'LEAF', 0, 0.0, 0, 0))
            leaves[tree, mine] = weigh()
            return mine
        rows.append(None)
        place = len(rows) - 1
        rows[place] = (tree, mine, *node[:3], 0, 0)
        ways = add(tree, node[3]), add(tree, node[4])
        rows[place] = (tree, mine, *node[:3], *ways)
        return mine
    for number, node in enumerate(trees):
        add(number, node)
    return rows, leaves


def run_trees(rows, leaves, x):
    by_name = {row[:2]: row for row in rows}
    out = np.zeros((len(x), len(next(iter(leaves.values())))))
    for tree in sorted({row[0] for row in rows}):
        for i, sample in enumerate(x):
            at = by_name[tree, 0]
            while at[2] != 'LEAF':
                at = by_name[tree, at[5] if BRANCHES[at[2]](float(sample[at[3]]), at[4]) else at[6]]
            out[i] += leaves[at[:2]]
    return out


def tree_attributes(rows, leaves, prefix, doubles=False):
    """Of versions 1 and 3."""
    columns = dict(zip(('treeids', 'nodeids', 'modes', 'featureids', 'values', 'truenodeids', 'falsenodeids'), map(list, zip(*rows))))
    a = {'nodes_' + name: column for name, column in columns.items()}
    if doubles:
        a['nodes_values_as_tensor'] = numpy_helper.from_array(np.array(a.pop('nodes_values')), 'v')
    weights_ = [(tree, node, k, float(v)) for (tree, node), values in leaves.items() for k, v in enumerate(values)]
    names = (prefix + '_treeids', prefix + '_nodeids', prefix + '_ids', prefix + '_weights')
    return a | dict(zip(names, map(list, zip(*weights_))))


def tree_places(rows, leaves):
    """The attributes of version 5's TreeEnsemble: one value a leaf."""
    modes = list(BRANCHES)
    inner, ends = [r for r in rows if r[2] != 'LEAF'], [r for r in rows if r[2] == 'LEAF']
    place = {r[:2]: i for i, r in enumerate(inner)} | {r[:2]: i for i, r in enumerate(ends)}
    is_leaf = {r[:2]: int(r[2] == 'LEAF') for r in rows}
    tensor = lambda v, kind: numpy_helper.from_array(np.array(v, kind), 't')
    return {'nodes_featureids': [r[3] for r in inner], 'nodes_splits': tensor([r[4] for r in inner], np.float32),
            'nodes_modes': tensor([modes.index(r[2]) for r in inner], np.uint8),
            'nodes_truenodeids': [place[r[0], r[5]] for r in inner], 'nodes_falsenodeids': [place[r[0], r[6]] for r in inner],
            'nodes_trueleafs': [is_leaf[r[0], r[5]] for r in inner], 'nodes_falseleafs': [is_leaf[r[0], r[6]] for r in inner],
            'tree_roots': [place[tree, 0] for tree in sorted({r[0] for r in rows})],
            'leaf_targetids': [0] * len(ends), 'leaf_weights': tensor([leaves[r[:2]][0] for r in ends], np.float32)}


def tree_cases():
    """Decision trees; features are halves, so that many lie on a limit."""
    rng = np.random.default_rng(33)
    ordered, every = list(BRANCHES)[:4], list(BRANCHES)
    x = (rng.integers(-8, 9, (24, 5)) / 2).astype(np.float32)
    value = lambda n: lambda: rng.integers(-40, 41, n) / 16
    grow = lambda count, depth, modes, full=False: [random_tree(5, depth, modes, rng, full) or ('BRANCH_LT', 0, 0.5, None, None)
                                                    for _ in range(count)]

    def save(name, operator, attributes, y, out=('y',)):
        node = helper.make_node(operator, ['x'], list(out), name=name, domain='ai.onnx.ml', **attributes)
        m = classical(model([node], ['N', 5]))
        case(name, classical(outputs(model([node], ['N', 5]), ('y', TensorProto.FLOAT))) if len(out) > 1 else m, x, y)

    rows, leaves = flat_trees(grow(4, 3, ordered, True), value(2))
    save('tree_regressor', 'TreeEnsembleRegressor', tree_attributes(rows, leaves, 'target') | {
        'n_targets': 2, 'base_values': [0.5, -1.0], 'nodes_missing_value_tracks_true': [1] * len(rows)},
        run_trees(rows, leaves, x) + [0.5, -1])
    rows, leaves = flat_trees(grow(5, 3, every), value(1))
    save('tree_average', 'TreeEnsembleRegressor', tree_attributes(rows, leaves, 'target') | {'aggregate_function': 'AVERAGE'},
         run_trees(rows, leaves, x) / 5)
    rows, leaves = flat_trees([chain_tree(5, length, rng) for length in (9, 4, 1)], value(1))
    save('tree_chains', 'TreeEnsembleRegressor', tree_attributes(rows, leaves, 'target'), run_trees(rows, leaves, x))
    # Limits just below and just above values that occur.
    rows, leaves = flat_trees([(mode, k, limit, None, ('BRANCH_LT', k, limit, None, None))
                               for k, limit in enumerate((0.5 - 1e-12, 0.5 + 1e-12, 1 - 1e-12, -1 + 1e-12))
                               for mode in ('BRANCH_LEQ', 'BRANCH_GTE')], value(1))
    save('tree_doubles', 'TreeEnsembleRegressor', tree_attributes(rows, leaves, 'target', True), run_trees(rows, leaves, x))
    rows, leaves = flat_trees(grow(4, 3, ordered), value(1))
    save('tree_places', 'TreeEnsemble', tree_places(rows, leaves), run_trees(rows, leaves, x))
    rows, leaves = flat_trees(grow(4, 2, ordered), value(3))
    scores = run_trees(rows, leaves, x)
    labels = {'classlabels_int64s': [0, 1, 2]}
    save('tree_classes', 'TreeEnsembleClassifier', tree_attributes(rows, leaves, 'class') | labels, scores, ('label', 'y'))
    save('tree_softmax', 'TreeEnsembleClassifier', tree_attributes(rows, leaves, 'class') | labels | {'post_transform': 'SOFTMAX'},
         F.softmax(t(scores), 1), ('label', 'y'))
    rows, leaves = flat_trees(grow(3, 3, ordered), value(1))
    score = run_trees(rows, leaves, x) + 0.25
    one = tree_attributes(rows, leaves, 'class') | {'classlabels_int64s': [0, 1], 'base_values': [0.25]}
    p = 1 / (1 + np.exp(-score))
    save('tree_logistic', 'TreeEnsembleClassifier', one | {'post_transform': 'LOGISTIC'}, np.hstack([1 - p, p]), ('label', 'y'))
    save('tree_signed', 'TreeEnsembleClassifier', one, np.hstack([-score, score]), ('label', 'y'))
    rows, leaves = flat_trees(grow(3, 2, ordered), lambda: rng.integers(0, 17, 1) / 48)
    score = run_trees(rows, leaves, x)
    save('tree_positive', 'TreeEnsembleClassifier', tree_attributes(rows, leaves, 'class') | {'classlabels_int64s': [0, 1]},
         np.hstack([1 - score, score]), ('label', 'y'))


def feature_cases():
    """What stands before classical models, and a linear support vector machine."""
    rng = np.random.default_rng(34)
    x = rng.integers(-2, 4, (6, 3)).astype(np.float32)

    def save(name, operator, y, constants=(), **attributes):
        node = helper.make_node(operator, ['x'] + list(dict(constants)), ['y'], name=name, domain='ai.onnx.ml', **attributes)
        case(name, classical(model([node], ['N', 3], constants)), x, y)

    save('binarizer', 'Binarizer', x > -1, threshold=-1.0)
    save('imputer', 'Imputer', x, imputed_value_floats=[0.0], replaced_value_float=float('nan'))
    save('feature_vectorizer', 'FeatureVectorizer', x, inputdimensions=[3])
    save('feature_extractor', 'ArrayFeatureExtractor', x[:, [2, 0]], {'places': np.array([2, 0])})
    save('one_hot_encoder', 'OneHotEncoder', x[:, :, None] == np.array([-1, 0, 3]), cats_int64s=[-1, 0, 3], zeros=1)
    vectors, weights_ = rng.integers(-8, 9, (4, 3)) / 4, rng.integers(-8, 9, 4) / 8
    save('svm_regressor', 'SVMRegressor', (x @ vectors.T @ weights_ + 0.5)[:, None], kernel_type='LINEAR', n_supports=4,
         coefficients=weights_.tolist(), support_vectors=vectors.ravel().tolist(), rho=[0.5], kernel_params=[0.0, 0.0, 0.0])


def fake_quantise(x, scale, zero, low, high):
    q = np.clip(np.rint(x / np.float32(scale)) + zero, low, high)
    return ((q - zero) * np.float32(scale)).astype(np.float32)


def qdq_cases():
    """Statically quantised networks: integers in the file, QuantizeLinear and DequantizeLinear around the operators."""
    def pair(name, out, scale, zero):
        return [helper.make_node('QuantizeLinear', [name, scale, zero], [name + '_q']),
                helper.make_node('DequantizeLinear', [name + '_q', scale, zero], [out])]
    x = weights(3, 2, 8, 8, scale=1)
    wq, ws = RNG.integers(-127, 128, (4, 2, 3, 3)).astype(np.int8), (np.abs(weights(4)) * 0.01 + 0.002).astype(np.float32)
    bq = RNG.integers(-300, 300, 4).astype(np.int32)
    fq, fs = RNG.integers(-127, 128, (3, 64)).astype(np.int8), np.float32(0.004)
    c = {'sx': np.float32(0.02), 'zx': np.int8(3), 'wq': wq, 'ws': ws, 'wz': np.zeros(4, np.int8), 'bq': bq,
         'bs': (ws * np.float32(0.02)).astype(np.float32), 'bz': np.zeros(4, np.int32), 'sh': np.float32(0.015), 'zh': np.uint8(0),
         'fq': fq, 'fs': fs, 'fz': np.int8(0), 'sy': np.float32(0.03), 'zy': np.uint8(128)}
    # The Relu behind the convolution is the lower end of its output's range; the pool works on the integers.
    nodes = pair('x', 'xd', 'sx', 'zx') + [
        helper.make_node('DequantizeLinear', ['wq', 'ws', 'wz'], ['w'], axis=0),
        helper.make_node('DequantizeLinear', ['bq', 'bs', 'bz'], ['b'], axis=0),
        helper.make_node('Conv', ['xd', 'w', 'b'], ['h'], pads=[1, 1, 1, 1]),
        helper.make_node('QuantizeLinear', ['h', 'sh', 'zh'], ['hq']),
        helper.make_node('MaxPool', ['hq'], ['pq'], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node('DequantizeLinear', ['pq', 'sh', 'zh'], ['p']),
        helper.make_node('Flatten', ['p'], ['f']),
        helper.make_node('DequantizeLinear', ['fq', 'fs', 'fz'], ['fw']),
        helper.make_node('Gemm', ['f', 'fw'], ['o'], transB=1)] + pair('o', 'y', 'sy', 'zy')
    w = wq.astype(np.float32) * ws[:, None, None, None]
    h = F.conv2d(t(fake_quantise(x, 0.02, 3, -128, 127)), t(w), t(bq * c['bs']), padding=1).numpy()
    h = F.max_pool2d(t(fake_quantise(h, 0.015, 0, 0, 255)), 2).numpy()
    o = h.reshape(3, -1) @ (fq.astype(np.float32) * fs).T
    case('qdq_network', model(nodes, ['N', 2, 8, 8], c), x, fake_quantise(o, 0.03, 128, 0, 255))
    n = helper.make_node('DequantizeLinear', ['x', 's', 'z'], ['y'])
    case('bytes_dequantised', model([n], ['N', 3], {'s': np.float32(0.5), 'z': np.uint8(10)}, type=TensorProto.UINT8), [[0, 9, 255]],
         (np.array([[0, 9, 255]]) - 10) / 2)
    wf = weights(6, 4)
    nodes = [helper.make_node('QuantizeLinear', ['w', 's', 'z'], ['q']), helper.make_node('DequantizeLinear', ['q', 's', 'z'], ['d']),
             helper.make_node('MatMul', ['x', 'd'], ['y'])]
    row = weights(2, 6)
    case('weights_quantised', model(nodes, ['N', 6], {'w': wf, 's': np.float32(0.01), 'z': np.int8(0)}), row,
         row @ fake_quantise(wf, 0.01, 0, -128, 127))


def channels_last_case():
    """What converters of channels-last frameworks write: transpositions around a convolution, a vector of pads."""
    x, w, b = weights(2, 8, 8, 3), weights(4, 3, 3, 3), weights(4)
    nodes = [helper.make_node('Transpose', ['x'], ['a'], perm=[0, 3, 1, 2]), helper.make_node('Pad', ['a', 'pads', 'v'], ['p']),
             helper.make_node('Conv', ['p', 'w', 'b'], ['c'], strides=[2, 2]), helper.make_node('Max', ['c', 'v'], ['m']),
             helper.make_node('Min', ['m', 'six'], ['r']), helper.make_node('Transpose', ['r'], ['n'], perm=[0, 2, 3, 1]),
             helper.make_node('ReduceMean', ['n'], ['y'], axes=[1, 2], keepdims=0)]
    c = {'pads': np.array([0, 0, 0, 0, 0, 0, 1, 1]), 'v': np.float32(0), 'six': np.float32(6), 'w': w, 'b': b}
    h = F.relu6(F.conv2d(F.pad(t(x.transpose(0, 3, 1, 2)), (0, 1, 0, 1)), t(w), t(b), stride=2))
    case('channels_last', model(nodes, ['N', 8, 8, 3], c), x, h.mean((2, 3)))


def external_case(folder):
    """Weights in a file of their own."""
    x, w = weights(3, 5), weights(5, 4)
    data = w.tobytes()
    with open(os.path.join(folder, 'external.data'), 'wb') as f:
        f.write(b'\0' * 64 + data)
    tensor = TensorProto(name='w', data_type=TensorProto.FLOAT, dims=w.shape, data_location=TensorProto.EXTERNAL)
    for key, value in [('location', 'external.data'), ('offset', '64'), ('length', str(len(data)))]:
        tensor.external_data.add(key=key, value=value)
    case('external', model([helper.make_node('MatMul', ['x', 'w'], ['y'])], ['N', 5], {'w': tensor}), x, x @ w)


def refused_models(folder):
    """Models that must be refused: refused_NAME.onnx; the test knows the words of each message."""
    def save(name, m):
        onnx.save(m, os.path.join(folder, 'refused_%s.onnx' % name))
    w = weights(4, 4)
    r = weights(1, 16, 4), weights(1, 16, 4)
    save('lstm', model([helper.make_node('LSTM', ['x', 'w', 'r'], ['y'], name='rnn1', hidden_size=4)], ['N', 3, 4],
                       {'w': r[0], 'r': r[1]}))
    save('lrn', model([helper.make_node('LRN', ['x'], ['y'], name='norm1', size=5)], ['N', 8, 4, 4]))
    save('attribute', model([helper.make_node('Relu', ['x'], ['y'], name='r', slope=0.5)], ['N', 4]))
    save('open_dimension', model([helper.make_node('Relu', ['x'], ['y'])], ['N', 3, 'H', 'W']))
    save('batch_slice', model([helper.make_node('Slice', ['x', 'b', 'e'], ['y'], name='cut')], ['N', 4],
                              {'b': np.array([0]), 'e': np.array([1])}))
    save('batch_concat', model([helper.make_node('Concat', ['x', 'x'], ['y'], name='cat', axis=0)], ['N', 4]))
    save('integers', model([helper.make_node('Div', ['x', 'd'], ['y'], name='half')], ['N', 4], {'d': np.uint8(2)},
                           type=TensorProto.UINT8))
    save('domain', model([helper.make_node('FusedConv', ['x'], ['y'], name='f', domain='com.example')], ['N', 4]))
    save('undefined', model([helper.make_node('Add', ['x', 'nothing'], ['y'], name='r')], ['N', 4]))
    save('infinite', model([helper.make_node('MatMul', ['x', 'w'], ['y'], name='m')], ['N', 4], {'w': w * np.inf}))
    short = numpy_helper.from_array(w, 'w')
    short.raw_data = short.raw_data[:-4]
    save('short_tensor', model([helper.make_node('MatMul', ['x', 'w'], ['y'])], ['N', 4], {'w': short}))
    huge = TensorProto(name='w', data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20], raw_data=b'1234')
    save('huge_tensor', model([helper.make_node('MatMul', ['x', 'w'], ['y'])], ['N', 4], {'w': huge}))
    outside = TensorProto(name='w', data_type=TensorProto.FLOAT, dims=[4, 4], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key='location', value='../secret')
    save('external_outside', model([helper.make_node('MatMul', ['x', 'w'], ['y'])], ['N', 4], {'w': outside}))
    two = [helper.make_node('Relu', ['x'], ['a']), helper.make_node('Neg', ['x'], ['b'])]
    save('two_outputs', outputs(model(two, ['N', 4]), ('a', TensorProto.FLOAT), ('b', TensorProto.FLOAT)))
    nodes = [helper.make_node('QuantizeLinear', ['x', 's', 'z'], ['q']), helper.make_node('Add', ['q', 'q'], ['r'], name='sum'),
             helper.make_node('DequantizeLinear', ['r', 's', 'z'], ['y'])]
    save('quantised_sum', model(nodes, ['N', 4], {'s': np.float32(1), 'z': np.int8(0)}))
    rows, leaves = flat_trees([('BRANCH_LEQ', 0, 0.5, None, None)], lambda: [1.0])
    trees = helper.make_node('TreeEnsembleRegressor', ['x'], ['y'], name='forest', domain='ai.onnx.ml', aggregate_function='MEDIAN',
                             **tree_attributes(rows, leaves, 'target'))
    save('trees', classical(model([trees], ['N', 4])))
    save('interpolation', model([helper.make_node('Resize', ['x', '', 's'], ['y'], name='up', mode='area')], ['N', 1, 4, 4],
                                {'s': np.array([1, 1, 2, 2], np.float32)}))


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for make in (linear_cases, conv_cases, pool_cases, arithmetic_cases, layout_cases, end_cases, exported_cases):
        make()
    external_case(folder)
    refused_models(folder)
    for make in (wider_cases, classical_cases, qdq_cases, channels_last_case, activation_cases, function_cases, tree_cases, feature_cases,
                 export_functions):
        make()
    arrays = {}
    for name, (m, x, y) in CASES.items():
        m.doc_string = ''
        onnx.save(m, os.path.join(folder, name + '.onnx'))
        arrays[name + '.in'], arrays[name + '.out'] = x, y
    np.savez_compressed(os.path.join(folder, 'expected.npz'), **arrays)


if __name__ == '__main__':
    main()
