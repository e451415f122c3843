#!/usr/bin/python3
"""Makes the models of tests/model/attention, and what they answer (expected.npz): products of two activations, written by hand
and as PyTorch exports them. The answers are computed with NumPy and PyTorch.

Usage: make_attention.py FOLDER (Debian: python3-onnx, python3-numpy, python3-torch)."""
import io
import os
import sys

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(21)
CASES = {}


def numbers(*shape):
    return (RNG.standard_normal(shape) * 0.5).astype(np.float32)


def model(nodes, shape, constants=()):
    tensors = [numpy_helper.from_array(np.asarray(c), n) for n, c in dict(constants).items()]
    graph = helper.make_graph(nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], producer_name='make_attention')


def case(name, m, x, y):
    assert name not in CASES
    m.doc_string = ''
    CASES[name] = (m, x, np.asarray(y, np.float32))


def turn(name_in, name_out):
    return helper.make_node('Transpose', [name_in], [name_out], perm=[0, 1, 3, 2])


def product_cases():
    x, shape = numbers(2, 4, 3, 5), ['N', 4, 3, 5]
    turned, times = x.transpose(0, 1, 3, 2), lambda a, b, y: helper.make_node('MatMul', [a, b], [y])
    case('matmul_activations', model([turn('x', 't'), times('x', 't', 'y')], shape), x, x @ turned)
    case('matmul_left_turned', model([turn('x', 't'), times('t', 'x', 'y')], shape), x, turned @ x)
    ends = {'from': np.array([1]), 'to': np.array([2]), 'axes': np.array([1])}
    nodes = [helper.make_node('Slice', ['x', 'from', 'to', 'axes'], ['z']), turn('z', 't'), times('x', 't', 'y')]
    case('matmul_one_for_all', model(nodes, shape, ends), x, x @ turned[:, 1:2])
    w = numbers(5, 6)
    nodes = [times('x', 'w', 'q'), turn('x', 't'), times('t', 'q', 'p'), helper.make_node('Mul', ['p', 's'], ['y'])]
    case('matmul_scaled', model(nodes, shape, {'w': w, 's': np.float32(0.25)}), x, 0.25 * (turned @ (x @ w)))
    w = numbers(5, 8)
    nodes = [times('x', 'w', 'h'), helper.make_node('Split', ['h'], ['q', 'k'], axis=3),
             helper.make_node('Mul', ['q', 's'], ['r']), turn('k', 't'), times('r', 't', 'y')]
    h = x @ w
    case('matmul_of_slices', model(nodes, shape, {'w': w, 's': np.float32(0.5)}), x,
         0.5 * h[..., :4] @ h[..., 4:].transpose(0, 1, 3, 2))
    nodes = [helper.make_node('Reshape', ['x', 's'], ['r']), helper.make_node('Gemm', ['r', 'r'], ['y'], transB=1, alpha=0.5)]
    one = model(nodes, [1, 4, 3, 5], {'s': np.array([12, 5])})
    case('gemm_activations', one, x[:1], 0.5 * (x[0].reshape(12, 5) @ x[0].reshape(12, 5).T)[None])


def einsum_cases():
    x, shape = numbers(2, 4, 3, 5), ['N', 4, 3, 5]
    equations = ['bhid,bhjd->bhij', 'bhid,bhjd->bijh', 'bihd,bjhd->bhij', 'bhij, bhik -> bhjk', 'bhid,bgjd->bhigj']
    for k, equation in enumerate(equations):
        n = helper.make_node('Einsum', ['x', 'x'], ['y'], equation=equation)
        case('einsum_%d' % k, model([n], shape), x, np.einsum(equation, x, x))
    w = numbers(6, 5)
    n = helper.make_node('Einsum', ['x', 'w'], ['y'], equation='bhid,ed->bhei')
    case('einsum_constant', model([n], shape, {'w': w}), x, np.einsum('bhid,ed->bhei', x, w))


class Scores(torch.nn.Module):
    """Attention without its Softmax: heads of one layer's output, as most models write it."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.out = heads, torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)

    def forward(self, x):
        b, n, width = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q * (width // self.heads) ** -0.5) @ k.transpose(-2, -1)
        return self.out((scores @ v).transpose(1, 2).reshape(b, n, width))


class Separate(torch.nn.Module):
    """The same with three layers, the factor behind the product and an Einsum."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (torch.nn.Linear(width, width) for _ in range(3))

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, -1).permute(0, 2, 1, 3)

    def forward(self, x):
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        scores = torch.matmul(q, k.transpose(-1, -2)) / 2.0
        return torch.einsum('bhij,bhjd->bihd', scores, v).flatten(2)


def exported_cases():
    torch.manual_seed(3)
    x = torch.from_numpy(numbers(3, 6, 8))
    for name, module, opset in (('attention_scores', Scores(8, 2), 13), ('attention_separate', Separate(8, 4), 17)):
        module.eval()
        for batch in ((1, 'open') if name == 'attention_separate' else (1,)):
            data = io.BytesIO()
            axes = {'x': {0: 'N'}} if batch == 'open' else None
            torch.onnx.export(module, x[:1], data, input_names=['x'], output_names=['y'], opset_version=opset, dynamic_axes=axes)
            m = onnx.load_from_string(data.getvalue())
            case('%s_%s' % (name, batch), m, x.numpy(), torch.cat([module(x[k:k + 1]) for k in range(3)]).detach().numpy())


def refused_models(folder):
    def save(name, m):
        onnx.save(m, os.path.join(folder, 'refused_%s.onnx' % name))
    save('einsum_trace', model([helper.make_node('Einsum', ['x', 'x'], ['y'], name='trace', equation='bii,bij->bj')], ['N', 4, 4]))
    save('einsum_batch', model([helper.make_node('Einsum', ['x', 'x'], ['y'], name='all', equation='bij,bkj->ik')], ['N', 4, 4]))
    save('einsum_sizes', model([helper.make_node('Einsum', ['x', 'x'], ['y'], name='e', equation='bij,bjk->bik')], ['N', 4, 3]))
    save('matmul_sizes', model([helper.make_node('MatMul', ['x', 'x'], ['y'], name='m')], ['N', 4, 3]))


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    product_cases()
    einsum_cases()
    exported_cases()
    refused_models(folder)
    arrays = {}
    for name, (m, x, y) in CASES.items():
        onnx.save(m, os.path.join(folder, name + '.onnx'))
        arrays[name + '.in'], arrays[name + '.out'] = x, y
    np.savez_compressed(os.path.join(folder, 'expected.npz'), **arrays)


if __name__ == '__main__':
    main()
