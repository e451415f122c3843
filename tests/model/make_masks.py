#!/usr/bin/python3
"""Makes the networks of tests/model/masks: small BERTs of tokens beside an attention mask, as exporters write them, and what they
answer by NumPy. NAME.onnx; NAME.in and NAME.out in expected.npz, the inputs as one row in the file's order.

usage: make_masks.py OUTPUT_FOLDER (Debian: python3-onnx, python3-numpy)."""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ENTRIES, WIDTH, PLACES, HEADS, OUTPUTS, SAMPLES = 11, 8, 6, 2, 3, 300
LEAST = np.finfo(np.float32).min
SIZE = WIDTH // HEADS


def node(op, ins, outs, **attributes):
    return helper.make_node(op, ins, outs, name=outs[0] + '_node', **attributes)


def weights():
    rng = np.random.default_rng(61)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    w = {'words': draw(ENTRIES, WIDTH), 'types': draw(2, WIDTH), 'places': draw(1, PLACES, WIDTH), 'classes': draw(WIDTH, OUTPUTS) / 2}
    return w | {k: draw(WIDTH, WIDTH) / (4 if k in 'qk' else 2) for k in 'qkvo'}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def answers(w, ids, mask, types, masked, place=0):
    """`masked`: scores and mask to what the softmax reads."""
    x = w['words'][ids] + w['places'] + (0 if types is None else w['types'][types])
    heads = lambda m: (x @ m).reshape(-1, PLACES, HEADS, SIZE).transpose(0, 2, 1, 3)
    scores = heads(w['q']) @ heads(w['k']).transpose(0, 1, 3, 2) / np.sqrt(SIZE)
    p = softmax(masked(scores, mask[:, None, None, :]))
    x = x + (p @ heads(w['v'])).transpose(0, 2, 1, 3).reshape(-1, PLACES, WIDTH) @ w['o']
    return np.tanh(x[:, place]) @ w['classes']


def attention(w, nodes, types, place=0):
    """All but what the mask does, which makes 'masked' of 'scores'."""
    start = [node('Gather', ['words', 'input_ids'], ['e']), node('Add', ['e', 'places'], ['x0' if types else 'x'])]
    if types:
        start += [node('Gather', ['types', 'token_type_ids'], ['t']), node('Add', ['x0', 't'], ['x'])]
    for k in 'qkv':
        start += [node('MatMul', ['x', k], [k + '1']), node('Reshape', [k + '1', 'split'], [k + '2']),
                  node('Transpose', [k + '2'], [k + '3'], perm=[0, 2, 3, 1] if k == 'k' else [0, 2, 1, 3])]
    start += [node('MatMul', ['q3', 'k3'], ['qk']), node('Div', ['qk', 'root'], ['scores'])]
    end = [node('Softmax', ['masked'], ['p'], axis=-1), node('MatMul', ['p', 'v3'], ['a']), node('Transpose', ['a'], ['b'], perm=[0, 2, 1, 3]),
           node('Reshape', ['b', 'join'], ['c']), node('MatMul', ['c', 'o'], ['d']), node('Add', ['x', 'd'], ['z']),
           node('Gather', ['z', 'first'], ['g'], axis=1), node('Tanh', ['g'], ['h']), node('MatMul', ['h', 'classes'], ['y'])]
    constants = w | {'split': np.array([0, PLACES, HEADS, SIZE]), 'join': np.array([0, PLACES, WIDTH]), 'root': np.float32(np.sqrt(SIZE)),
                     'first': np.int64(place)}
    return start + nodes + end, constants


def extended(source='attention_mask'):
    return [node('Unsqueeze', [source, 'one_two'], ['wide'])]


def main():
    folder, arrays = sys.argv[1], {}
    os.makedirs(folder, exist_ok=True)
    w = weights()
    rng = np.random.default_rng(62)
    ids, types = rng.integers(0, ENTRIES, (2, SAMPLES, PLACES))
    types = (np.arange(PLACES) >= rng.integers(2, PLACES, (SAMPLES, 1))).astype(np.int64)
    mask = (np.arange(PLACES) < rng.integers(1, PLACES + 1, (SAMPLES, 1))).astype(np.int64)
    mask[0] = 1

    def save(name, nodes, inputs, constants, masked, float_mask=False, with_types=False, place=0):
        nodes, more = attention(w, nodes, with_types, place)
        parts = {'input_ids': ids, 'attention_mask': mask, 'token_type_ids': types}
        kinds = {'attention_mask': TensorProto.FLOAT} if float_mask else {}
        graph = helper.make_graph(nodes, 'g', [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.INT64), ['N', PLACES]) for n in inputs],
                                  [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['N', OUTPUTS])],
                                  [numpy_helper.from_array(np.asarray(c), n) for n, c in (more | constants).items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)])
        model.ir_version = 8
        onnx.save(model, os.path.join(folder, name + '.onnx'))
        arrays[name + '.in'] = np.concatenate([parts[n] for n in inputs], 1).astype(np.float32)
        arrays[name + '.out'] = answers(w, ids, mask, types if with_types else None, masked, place).astype(np.float32)

    infinite = lambda scores, m: np.where(m > 0, scores, -np.inf)
    both = {'one_two': np.array([1, 2]), 'one': np.float32(1)}
    closed = [node('Cast', ['wide'], ['real'], to=TensorProto.FLOAT), node('Sub', ['one', 'real'], ['shut'])]
    # BertModel: (1 - mask) * the least float, added.
    added = [node('Mul', ['shut', 'least'], ['far']), node('Add', ['scores', 'far'], ['masked'])]
    save('bert', extended() + closed + added, ['input_ids', 'attention_mask', 'token_type_ids'], both | {'least': np.float32(LEAST)}, infinite,
         with_types=True)
    # An older one, its mask of floats and first in the row.
    save('bert_older', extended() + closed + added, ['attention_mask', 'input_ids'], both | {'least': np.float32(-10000)}, infinite, float_mask=True)
    # DistilBERT: masked_fill where the mask is 0.
    filled = [node('Equal', ['wide', 'none'], ['shut']), node('Expand', ['shut', 'square'], ['where']),
              node('Where', ['where', 'least', 'scores'], ['masked'])]
    save('distilbert', extended() + filled, ['input_ids', 'attention_mask'],
         {'one_two': np.array([1, 2]), 'none': np.int64(0), 'least': np.float32(-np.inf), 'square': np.array([1, HEADS, PLACES, PLACES])}, infinite)
    # By scaled_dot_product_attention: the mask of a square, filled, added.
    filled = [node('Expand', ['wide', 'square'], ['wider']), node('Cast', ['wider'], ['real'], to=TensorProto.FLOAT),
              node('Sub', ['one', 'real'], ['shut']), node('Cast', ['shut'], ['where'], to=TensorProto.BOOL),
              node('Where', ['where', 'least', 'shut'], ['far']), node('Add', ['scores', 'far'], ['masked'])]
    save('sdpa', extended() + filled, ['input_ids', 'attention_mask'],
         both | {'least': np.float32(LEAST), 'square': np.array([1, 1, PLACES, PLACES])}, infinite)
    # GPT: constants behind the diagonal, by Where, and a mask besides.
    causal = np.tril(np.ones((1, 1, PLACES, PLACES), bool))
    filled = [node('Where', ['causal', 'scores', 'least'], ['past'])] + closed + [node('Mul', ['shut', 'least'], ['far']),
                                                                                  node('Add', ['past', 'far'], ['masked'])]
    save('gpt', extended() + filled, ['input_ids', 'attention_mask'], both | {'causal': causal, 'least': np.float32(LEAST)},
         lambda scores, m: infinite(scores, m * causal), place=PLACES - 2)
    # The same without a mask: tokens alone.
    filled = [node('Where', ['causal', 'scores', 'least'], ['masked'])]
    save('gpt_tokens', filled, ['input_ids'], {'causal': causal, 'least': np.float32(-np.inf)}, lambda scores, m: infinite(scores, causal), place=PLACES - 2)
    np.savez_compressed(os.path.join(folder, 'expected.npz'), **arrays)


main()
