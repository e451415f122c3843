#!/usr/bin/python3
"""Makes the small networks of tests/model/operators and what they answer, by scikit-learn, PyTorch or NumPy: NAME.onnx, and
NAME.in / NAME.out in expected.npz.

Usage: make_operators.py OUTPUT_FOLDER (Debian: python3-onnx, python3-numpy, python3-torch, python3-sklearn)."""
import os
import sys

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from sklearn import svm

from make_models import chain_tree, flat_trees, random_tree, tree_attributes, tree_places

CASES = {}


def node(op, ins, outs, **attributes):
    return helper.make_node(op, ins, outs, name=(outs[0] or outs[-1]) + '_node', **attributes)


def ml(op, ins, outs, **attributes):
    return node(op, ins, outs, domain='ai.onnx.ml', **attributes)


def case(name, nodes, x, y, constants=(), opset=13, ends=('y',), inputs=None, functions=()):
    """`inputs`: several, as (name, shape with the batch) in the order of the row's parts; else one of x's shape."""
    assert name not in CASES
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape)
              for n, shape in inputs or [('x', ['N', *x.shape[1:]])]]
    kinds = {'label': TensorProto.INT64, 'labels': TensorProto.STRING}
    graph = helper.make_graph(nodes, 'g', values,
                              [helper.make_tensor_value_info(e, kinds.get(e, TensorProto.FLOAT), None) for e in ends],
                              [numpy_helper.from_array(np.asarray(c), n) for n, c in dict(constants).items()])
    imports = [helper.make_opsetid('', opset), helper.make_opsetid('ai.onnx.ml', 3)] + \
        [helper.make_opsetid(f.domain, 1) for f in functions[:1]]
    m = helper.make_model(graph, opset_imports=imports, functions=list(functions), producer_name='make_operators')
    CASES[name] = (m, x, y)


def refused(name, nodes, x, *constants, **how):
    """One that is not to be read."""
    case('refused_' + name, nodes, x, 0, *constants, **how)


def machine_attributes(machine):
    """As scikit-learn's converter writes them; of two classes the sum is that of the first."""
    sign = -1 if hasattr(machine, 'classes_') and len(machine.classes_) == 2 else 1
    return {'kernel_type': machine.kernel.upper(), 'kernel_params': [machine._gamma, machine.coef0, float(machine.degree)],
            'coefficients': (sign * machine.dual_coef_).ravel().tolist(), 'support_vectors': machine.support_vectors_.ravel().tolist(),
            'rho': (sign * machine.intercept_).tolist(), 'post_transform': 'NONE'}


def one_against_rest(classes):
    """What scikit-learn's converter puts behind the scores of pairs."""
    nodes = [node('Less', ['pairs', 'zero'], ['negative']), node('Cast', ['negative'], ['votes'], to=TensorProto.FLOAT),
             node('Neg', ['pairs'], ['turned'])]
    constants, sums, counts = {'zero': np.float32(0), 'one': np.float32(1), 'three': np.float32(3)}, {}, {}
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    for k, (i, j) in enumerate(pairs):
        constants['at%d' % k] = np.int64(k)
        nodes += [ml('ArrayFeatureExtractor', ['turned', 'at%d' % k], ['s%d' % k]), node('Neg', ['s%d' % k], ['sn%d' % k]),
                  ml('ArrayFeatureExtractor', ['votes', 'at%d' % k], ['v%d' % k]), node('Neg', ['v%d' % k], ['vn%d' % k]),
                  node('Add', ['vn%d' % k, 'one'], ['vo%d' % k])]
        sums.setdefault(j, []).append('s%d' % k)
        sums.setdefault(i, []).append('sn%d' % k)
        counts.setdefault(j, []).append('v%d' % k)
        counts.setdefault(i, []).append('vo%d' % k)
    for k in range(classes):
        nodes += [node('Sum', sums[k], ['sum%d' % k]), node('Sum', counts[k], ['count%d' % k])]
    nodes += [node('Concat', ['sum%d' % k for k in range(classes)], ['sums'], axis=1),
              node('Concat', ['count%d' % k for k in range(classes)], ['counts'], axis=1),
              node('Abs', ['sums'], ['size']), node('Add', ['size', 'one'], ['more']), node('Mul', ['more', 'three'], ['thrice']),
              node('Div', ['sums', 'thrice'], ['part']), node('Add', ['counts', 'part'], ['y'])]
    return nodes, constants


def couple(pairs):
    """The probabilities that least contradict those of the pairs (0, 1), (0, 2), (1, 2): where libsvm's iteration leads."""
    out = []
    for row in pairs:
        r, q = np.zeros((3, 3)), np.zeros((3, 3))
        for (i, j), v in zip(((0, 1), (0, 2), (1, 2)), row):
            r[i, j], r[j, i] = v, 1 - v
        for i in range(3):
            q[i, i] = (r[:, i] ** 2).sum()
            q[i] -= np.where(np.arange(3) == i, 0, r[:, i] * r[i])
        system = np.block([[q, np.ones((3, 1))], [np.ones((1, 3)), np.zeros((1, 1))]])
        out.append(np.linalg.solve(system, [0, 0, 0, 1])[:3])
    return np.array(out)


def machine_cases():
    """Support vector machines of three clouds of points."""
    rng = np.random.default_rng(41)
    x = (rng.standard_normal((90, 4)) + 1.5 * np.eye(4)[rng.integers(0, 3, 90)] + 1).astype(np.float32)
    target = x @ [0.5, -1, 0.25, 1] + np.sin(2 * x[:, 0])
    label = np.argmax(x[:, :3] + 0.5 * rng.standard_normal((90, 3)), 1)
    # Away from where decisions change: elsewhere, fixed point may decide otherwise.
    three = svm.SVC(decision_function_shape='ovo').fit(x, label)
    odd = svm.OneClassSVM(gamma=0.2, nu=0.3).fit(x)
    near = np.minimum(np.abs(three.decision_function(x)).min(1), np.abs(odd.decision_function(x)))
    show = x[near > 0.1][:24]
    for kernel in ('linear', 'rbf', 'poly', 'sigmoid'):
        r = svm.SVR(kernel=kernel, degree=2, coef0=0.5, gamma=0.05).fit(x, target)
        case('svr_' + kernel, [ml('SVMRegressor', ['x'], ['y'], n_supports=len(r.support_), **machine_attributes(r))], show,
             r.predict(show)[:, None])
        two = svm.SVC(kernel=kernel, degree=3, coef0=0.5, gamma=0.1).fit(x, label == 1)
        d = two.decision_function(show)
        attributes = machine_attributes(two) | {'vectors_per_class': two.n_support_.tolist(), 'classlabels_ints': [0, 1]}
        case('svc_two_' + kernel, [ml('SVMClassifier', ['x'], ['label', 's'], **attributes), node('Cast', ['s'], ['y'], to=1)],
             show, np.stack([-d, d], 1), ends=('label', 'y'))
    # The file's own scores are turned where something computes with them.
    case('svc_raw_scores', [ml('SVMClassifier', ['x'], ['label', 's'], **attributes), node('Mul', ['s', 'minus'], ['y'])], show,
         np.stack([-d, d], 1), {'minus': np.float32(-1)}, ends=('label', 'y'))
    case('svc_two_label', [ml('SVMClassifier', ['x'], ['label', 's'], **attributes)], show, two.predict(show), ends=('label',))
    sure = svm.SVC(probability=True, random_state=1).fit(x, label == 1)
    attributes = machine_attributes(sure) | {'vectors_per_class': sure.n_support_.tolist(), 'classlabels_strings': ['no', 'yes'],
                                             'prob_a': sure.probA_.tolist(), 'prob_b': sure.probB_.tolist()}
    # scikit-learn stops half a percent before the end of an iteration that has this limit.
    first = 1 / (1 + np.exp(sure.probB_[0] - sure.probA_[0] * sure.decision_function(show)))
    assert np.abs(sure.predict_proba(show)[:, 0] - first).max() < 0.01
    case('svc_probability', [ml('SVMClassifier', ['x'], ['labels', 'p'], **attributes),
                             ml('ZipMap', ['p'], ['y'], classlabels_strings=['no', 'yes'])],
         show, np.stack([first, 1 - first], 1), ends=('labels', 'y'))
    sure = svm.SVC(probability=True, random_state=1, decision_function_shape='ovo').fit(x, label)
    attributes = machine_attributes(sure) | {'vectors_per_class': sure.n_support_.tolist(), 'classlabels_ints': [0, 1, 2],
                                             'prob_a': sure.probA_.tolist(), 'prob_b': sure.probB_.tolist()}
    coupled = couple(1 / (1 + np.exp(sure.decision_function(show) * sure.probA_ + sure.probB_)))
    assert np.abs(sure.predict_proba(show) - coupled).max() < 0.01
    case('svc_three_probability', [ml('SVMClassifier', ['x'], ['labels', 'p'], **attributes), ml('ZipMap', ['p'], ['y'], classlabels_int64s=[0, 1, 2])],
         show, coupled, ends=('labels', 'y'))
    four = svm.SVC(probability=True, random_state=1, kernel='linear').fit(x, label + (x[:, 3] > 1))
    attributes = machine_attributes(four) | {'vectors_per_class': four.n_support_.tolist(), 'classlabels_ints': [0, 1, 2, 3],
                                             'prob_a': four.probA_.tolist(), 'prob_b': four.probB_.tolist()}
    refused('svc_four_probability', [ml('SVMClassifier', ['x'], ['label', 'y'], **attributes)], show, ends=('label', 'y'))
    three = svm.SVC(decision_function_shape='ovr').fit(x, label)
    attributes = machine_attributes(three) | {'vectors_per_class': three.n_support_.tolist(), 'classlabels_ints': [0, 1, 2]}
    nodes, constants = one_against_rest(3)
    case('svc_three', [ml('SVMClassifier', ['x'], ['label', 'pairs'], **attributes)] + nodes, show, three.decision_function(show),
         constants, ends=('label', 'y'))
    case('svc_three_label', [ml('SVMClassifier', ['x'], ['label', 'pairs'], **attributes)], show, three.predict(show),
         ends=('label',))
    pairs = svm.SVC(decision_function_shape='ovo').fit(x, label).decision_function(show)
    first = pairs > 0
    votes = np.stack([first[:, 0].astype(int) + first[:, 1], 1 - first[:, 0] + first[:, 2], 2 - first[:, 1].astype(int) - first[:, 2]], 1)
    assert (np.argmax(votes, 1) == three.predict(show)).all()
    case('svc_three_votes', [ml('SVMClassifier', ['x'], ['label', 'y'], **attributes)], show, votes, ends=('label', 'y'))
    lines = rng.standard_normal((3, 4)).astype(np.float32)
    case('svc_lines', [ml('SVMClassifier', ['x'], ['label', 'y'], coefficients=lines.ravel().tolist(), rho=[0.25],
                          classlabels_ints=[0, 1, 2], kernel_type='LINEAR')], show, show @ lines.T + 0.25, ends=('label', 'y'))
    attributes = machine_attributes(odd) | {'n_supports': len(odd.support_)}
    case('svm_one_class', [ml('SVMRegressor', ['x'], ['y'], one_class=1, **attributes)], show, odd.predict(show)[:, None])
    case('svm_novelty', [ml('SVMRegressor', ['x'], ['s'], **attributes), node('Cast', ['s'], ['y'], to=1), node('Sign', ['y'], ['f']),
                         node('Cast', ['f'], ['label'], to=TensorProto.INT64)], show, odd.decision_function(show)[:, None],
         ends=('label', 'y'))


def sum_cases():
    """Products beside what they are made of, of much smaller range."""
    rng = np.random.default_rng(42)
    x = (100 * rng.standard_normal((40, 4))).astype(np.float32)
    square = node('Mul', ['x', 'x'], ['q'])
    case('sum_square', [square, node('Add', ['q', 'x'], ['y'])], x, x * x + x)
    case('sum_square_max', [square, node('Max', ['q', 'x'], ['y'])], x, np.maximum(x * x, x))
    case('sum_square_concat', [square, node('Concat', ['q', 'x'], ['y'], axis=1)], x, np.concatenate([x * x, x], 1))
    a, b = rng.standard_normal((2, 4, 3)).astype(np.float32)
    nodes = [node('MatMul', ['x', 'a'], ['u']), node('MatMul', ['x', 'b'], ['v']), node('Mul', ['u', 'v'], ['p']),
             node('Sub', ['p', 'u'], ['y'])]
    case('sum_product', nodes, x, (x @ a) * (x @ b) - x @ a, {'a': a, 'b': b})


def leaf_of_tree(rows, tree, sample, members):
    by_name = {row[:2]: row for row in rows}
    at = by_name[tree, 0]
    while at[2] != 'LEAF':
        v = float(sample[at[3]])
        hit = {'BRANCH_LEQ': v <= at[4], 'BRANCH_LT': v < at[4], 'BRANCH_MEMBER': v in members.get(at[:2], ())}[at[2]]
        at = by_name[tree, at[5] if hit else at[6]]
    return at[1]


def answer_of_tree(rows, leaves, tree, sample, members):
    return leaves[tree, leaf_of_tree(rows, tree, sample, members)][0]


def tree_cases():
    """Trees of which one answers, and branches that ask for members of a set. Features are halves."""
    rng = np.random.default_rng(43)
    x = (rng.integers(-8, 9, (40, 5)) / 2).astype(np.float32)
    value = lambda: rng.integers(-40, 41, 1) / 16
    trees = [random_tree(5, 3, ['BRANCH_LEQ', 'BRANCH_LT'], rng, True) for _ in range(4)] + [chain_tree(5, 3, rng)]
    rows, leaves = flat_trees(trees, value)
    all_trees = np.array([[answer_of_tree(rows, leaves, tree, s, {}) for tree in range(5)] for s in x])
    attributes = tree_attributes(rows, leaves, 'target') | {'base_values': [0.75]}
    for way, y in (('MIN', all_trees.min(1)), ('MAX', all_trees.max(1))):
        case('tree_' + way.lower(), [ml('TreeEnsembleRegressor', ['x'], ['y'], aggregate_function=way, **attributes)], x, y[:, None] + 0.75)
    case('tree_places_max', [ml('TreeEnsemble', ['x'], ['y'], aggregate_function=3, **tree_places(rows, leaves))], x,
         all_trees.max(1)[:, None])
    # Three outputs; a leaf's weight for one of them is left out in some trees, which then do not count.
    more = np.random.default_rng(49)
    rows, leaves = flat_trees(trees, lambda: more.integers(-40, 41, 3) / 16)
    each = np.array([[leaves[tree, leaf_of_tree(rows, tree, s, {})] for tree in range(5)] for s in x])
    three = {'n_targets': 3, 'base_values': [0.75, -0.5, 0]}
    attributes = tree_attributes(rows, leaves, 'target') | three
    case('tree_max_three', [ml('TreeEnsembleRegressor', ['x'], ['y'], aggregate_function='MAX', **attributes)], x,
         each.max(1) + three['base_values'])
    kept = [k for k in range(len(attributes['target_ids']))
            if attributes['target_treeids'][k] == 0 or (attributes['target_ids'][k] + attributes['target_nodeids'][k]) % 2]
    some = attributes | {'target_' + part: [attributes['target_' + part][k] for k in kept] for part in ('treeids', 'nodeids', 'ids', 'weights')}
    given = set(zip(some['target_treeids'], some['target_nodeids'], some['target_ids']))
    least = np.array([[[leaves[tree, leaf][k] if (tree, leaf, k) in given else np.inf for k in range(3)] for tree in range(5)
                       for leaf in [leaf_of_tree(rows, tree, s, {})]] for s in x]).min(1)
    case('tree_min_three', [ml('TreeEnsembleRegressor', ['x'], ['y'], aggregate_function='MIN', **some)], x, least + three['base_values'])
    ids = [(k + row) % 2 for row, k in zip(attributes['target_nodeids'], attributes['target_ids'])]
    refused('trees_bare', [ml('TreeEnsembleRegressor', ['x'], ['y'], aggregate_function='MAX', **attributes | {'target_ids': ids})], x)

    def with_sets(node, depth):
        if node is None:
            return None
        mode = 'BRANCH_MEMBER' if depth == 1 else node[0]
        return (mode, *node[1:3], with_sets(node[3], depth + 1), with_sets(node[4], depth + 1))
    rows, leaves = flat_trees([with_sets(t, 0) for t in trees], value)
    members = {row[:2]: (rng.permutation(17)[:rng.integers(1, 4)] - 8) / 2 for row in rows if row[2] == 'BRANCH_MEMBER'}
    plain = [(row[0], row[1], 'BRANCH_LEQ' if row[:2] in members else row[2], *row[3:]) for row in rows]
    attributes = tree_places(plain, leaves)
    inner = [row[:2] for row in rows if row[2] != 'LEAF']
    modes = numpy_helper.to_array(attributes['nodes_modes']).copy()
    modes[[i for i, name in enumerate(inner) if name in members]] = 6
    sets = np.concatenate([[*members[name], np.nan] for name in inner if name in members]).astype(np.float32)
    attributes |= {'nodes_modes': numpy_helper.from_array(modes, 't'), 'membership_values': numpy_helper.from_array(sets, 't')}
    y = [sum(answer_of_tree(rows, leaves, tree, s, members) for tree in range(5)) for s in x]
    case('tree_members', [ml('TreeEnsemble', ['x'], ['y'], aggregate_function=1, **attributes)], x, np.array(y)[:, None])


def resize_cases():
    """Interpolation, as PyTorch does it."""
    rng = np.random.default_rng(44)
    x = rng.standard_normal((3, 2, 5, 6)).astype(np.float32)
    t = torch.from_numpy(x)
    for name, mode, corners, size, aliased in [
            ('resize_linear', 'bilinear', False, (10, 12), False), ('resize_linear_corners', 'bilinear', True, (9, 11), False),
            ('resize_linear_smaller', 'bilinear', False, (3, 4), False), ('resize_cubic', 'bicubic', False, (7, 12), False),
            ('resize_cubic_corners', 'bicubic', True, (10, 8), False), ('resize_antialias', 'bilinear', False, (3, 2), True),
            ('resize_cubic_antialias', 'bicubic', False, (3, 4), True)]:
        y = F.interpolate(t, size=size, mode=mode, align_corners=corners, antialias=aliased)
        attributes = {'antialias': 1, 'exclude_outside': 1} if aliased else {}
        attributes['cubic_coeff_a'] = -0.5 if aliased else -0.75
        case(name, [node('Resize', ['x', '', '', 'sizes'], ['y'], mode=mode[2:],
                         coordinate_transformation_mode='align_corners' if corners else 'pytorch_half_pixel', **attributes)],
             x, y, {'sizes': np.array([1, 2, *size])}, opset=18 if aliased else 13)
    # Before operator set 11: o / scale, the last value goes on.
    rows = x[:, :, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]].copy()
    rows[:, :, 1:9:2] = (x[:, :, :-1] + x[:, :, 1:]) / 2
    case('upsample_linear', [node('Upsample', ['x', 'scales'], ['y'], mode='linear')], x, rows,
         {'scales': np.array([1, 1, 2, 1], np.float32)}, opset=9)
    # Channels last, between convolutions.
    w = rng.standard_normal((2, 2, 1, 1)).astype(np.float32)
    h = torch.relu(F.conv2d(F.interpolate(t, scale_factor=2, mode='bilinear', align_corners=False), torch.from_numpy(w)))
    nodes = [node('Resize', ['x', 'roi', 'scales'], ['u'], mode='linear', coordinate_transformation_mode='half_pixel'),
             node('Conv', ['u', 'w'], ['v']), node('Relu', ['v'], ['y'])]
    case('resize_between', nodes, x, h, {'roi': np.zeros(0, np.float32), 'scales': np.array([1, 1, 2, 2], np.float32), 'w': w}, opset=11)


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def run_lstm(x, w, r, b, p, h, c, coupled=False, gate=sigmoid, clip=np.inf):
    """x [rows][steps][features]; of one direction: the states [rows][steps][hidden]. As ONNX Runtime, clips what gates and the
    fresh cell read, not the cell on its way into the state."""
    n, states = r.shape[1], []
    cut = lambda v: np.clip(v, -clip, clip)
    for t in range(x.shape[1]):
        i, o, f, g = np.split(x[:, t] @ w.T + h @ r.T + b, 4, 1)
        i = gate(cut(i + p[:n] * c))
        f = 1 - i if coupled else gate(cut(f + p[2 * n:] * c))
        c = f * c + i * np.tanh(cut(g))
        h = gate(cut(o + p[n:2 * n] * c)) * np.tanh(c)
        states.append(h)
    return np.stack(states, 1)


def run_rnn(x, w, r, b, function):
    h, states = np.zeros((len(x), len(r))), []
    for t in range(x.shape[1]):
        h = function(x[:, t] @ w.T + h @ r.T + b)
        states.append(h)
    return np.stack(states, 1)


def run_gru(x, w, r, b, rb, h, relu=False, before=False, clip=np.inf):
    states = []
    cut = lambda v: np.clip(v, -clip, clip)
    for t in range(x.shape[1]):
        (wz, wr, wh), (rz, rr, rh) = np.split(x[:, t] @ w.T + b, 3, 1), np.split(h @ r.T + rb, 3, 1)
        z, reset = sigmoid(cut(wz + rz)), sigmoid(cut(wr + rr))
        n = len(r) // 3
        inner = cut(wh + (reset * rh if before else (reset * h) @ r[2 * n:].T + rb[2 * n:]))
        fresh = np.maximum(inner, 0) if relu else np.tanh(inner)
        h = (1 - z) * fresh + z * h
        states.append(h)
    return np.stack(states, 1)


def recurrent_cases():
    """What PyTorch does not have: peepholes, coupled gates, other functions, states that are given, the batch second."""
    rng = np.random.default_rng(45)
    hidden, steps, features = 4, 5, 3
    draw = lambda *shape: (0.5 * rng.standard_normal(shape)).astype(np.float32)
    x, w, r, b, p = draw(6, steps, features), draw(2, 16, features), draw(2, 16, hidden), draw(2, 32), draw(2, 12)
    h, c = draw(2, 1, hidden), draw(2, 1, hidden)
    start = [node('Transpose', ['x'], ['t'], perm=[1, 0, 2])]
    constants = {'w': w, 'r': r, 'b': b, 'h': h, 'c': c, 'p': p}
    one = {k: v[:1] for k, v in constants.items()}
    whole = b[:, :16] + b[:, 16:]
    zero = np.zeros((1, hidden), np.float32)
    end = [node('Squeeze', ['s', 'axis'], ['u']), node('Transpose', ['u'], ['y'], perm=[1, 0, 2])]
    axis = {'axis': np.array([1])}
    forward = lambda **k: run_lstm(x, w[0], r[0], whole[0], p[0], zero, zero, **k)
    case('lstm_peepholes', start + [node('LSTM', ['t', 'w', 'r', 'b', '', '', '', 'p'], ['s'], hidden_size=hidden)] + end, x, forward(),
         one | axis)
    case('lstm_coupled', start + [node('LSTM', ['t', 'w', 'r', 'b', '', '', '', 'p'], ['s'], hidden_size=hidden, input_forget=1)] + end,
         x, forward(coupled=True), one | axis)
    hard = lambda v: np.clip(0.25 * v + 0.5, 0, 1)
    case('lstm_clip', start + [node('LSTM', ['t', 'w', 'r', 'b', '', '', '', 'p'], ['s'], hidden_size=hidden, clip=0.375)] + end, x,
         forward(clip=0.375), one | axis)
    # So far out that no float of a function changes.
    case('lstm_clip_far', start + [node('LSTM', ['t', 'w', 'r', 'b', '', '', '', 'p'], ['s'], hidden_size=hidden, clip=50.0)] + end, x,
         forward(), one | axis)
    case('rnn_clip', start + [node('RNN', ['t', 'w', 'r', 'b'], ['s'], hidden_size=hidden, clip=0.25, activations=['HardSigmoid'])] + end,
         x, run_rnn(x, w[0, :4], r[0, :4], b[0, :4] + b[0, 16:20], lambda v: np.clip(0.2 * np.clip(v, -0.25, 0.25) + 0.5, 0, 1)),
         {'w': w[:1, :4], 'r': r[:1, :4], 'b': np.concatenate([b[:1, :4], b[:1, 16:20]], 1)} | axis)
    for name, clip in (('none', 0.0), ('endless', float('inf'))):
        refused('clip_' + name, start + [node('LSTM', ['t', 'w', 'r', 'b'], ['s'], hidden_size=hidden, clip=clip)] + end, x, one | axis)
    case('lstm_hard', start + [node('LSTM', ['t', 'w', 'r', 'b'], ['s'], hidden_size=hidden, activation_alpha=[0.25],
                                    activations=['HardSigmoid', 'Tanh', 'Tanh'])] + end, x,
         run_lstm(x, w[0], r[0], whole[0], 0 * p[0], zero, zero, gate=hard), one | axis)
    both = [run_lstm(x[:, ::d], w[k], r[k], whole[k], p[k], h[k], c[k])[:, ::d] for k, d in ((0, 1), (1, -1))]
    nodes = start + [node('LSTM', ['t', 'w', 'r', 'b', '', 'h', 'c', 'p'], ['s'], hidden_size=hidden, direction='bidirectional'),
                     node('Transpose', ['s'], ['v'], perm=[2, 0, 1, 3]), node('Reshape', ['v', 'shape'], ['y'])]
    case('lstm_constant_states', nodes, x, np.concatenate(both, 2), constants | {'shape': np.array([0, 0, 2 * hidden])})
    # States as inputs beside the sequence; the batch is the second dimension of all.
    rows = np.concatenate([x.reshape(6, -1), draw(6, 2 * hidden)], 1)
    given = rows[:, -2 * hidden:-hidden], rows[:, -hidden:]
    nodes = [node('LSTM', ['x', 'w', 'r', 'b', '', 'h0', 'c0'], ['s', 'last'], hidden_size=hidden), node('Squeeze', ['last', 'first'], ['y'])]
    case('lstm_given_states', nodes, rows, run_lstm(x, w[0], r[0], whole[0], 0 * p[0], *given)[:, -1],
         {k: one[k] for k in 'wrb'} | {'first': np.array([0])},
         inputs=[('x', (steps, 'N', features)), ('h0', (1, 'N', hidden)), ('c0', (1, 'N', hidden))])
    for name, relu, before, clip in (('gru_before', False, True, 0), ('gru_relu', True, False, 0), ('gru_clip', True, True, 0.5)):
        wg, rg, bg = draw(1, 12, features), draw(1, 12, hidden), draw(1, 24)
        attributes = ({'activations': ['Sigmoid', 'Relu']} if relu else {}) | ({'clip': clip} if clip else {})
        case(name, start + [node('GRU', ['t', 'w', 'r', 'b', '', 'h'], ['s'], hidden_size=hidden, linear_before_reset=int(before),
                                 **attributes)] + end, x,
             run_gru(x, wg[0], rg[0], bg[0, :12], bg[0, 12:], h[0], relu, before, clip or np.inf), {'w': wg, 'r': rg, 'b': bg, 'h': h[:1]} | axis)


def branches(then, otherwise, constants=()):
    """The attributes of an If: lists of nodes, the last of which makes the branch's output."""
    graph = lambda nodes, name: helper.make_graph(nodes, name, [], [helper.make_empty_tensor_value_info(nodes[-1].output[0])],
                                                  [numpy_helper.from_array(np.asarray(c), n) for n, c in dict(constants).items()])
    return {'then_branch': graph(then, 'then'), 'else_branch': graph(otherwise, 'else')}


def style_cases():
    """Structures of exporters: branches on shapes, functions of operators, channels last, an LSTM between transpositions."""
    rng = np.random.default_rng(46)
    draw = lambda *shape: (0.5 * rng.standard_normal(shape)).astype(np.float32)
    x, w, b = draw(5, 6), draw(6, 4), draw(4)
    size = [node('Shape', ['x'], ['s']), node('Gather', ['s', 'last'], ['k'], axis=0)]
    constants = {'last': np.int64(1), 'six': np.int64(6), 'w': w, 'b': b}
    # The branch that is not taken could not be read; both call their tensors the same, and what is around them is read.
    inner = node('If', ['yes'], ['h'], **branches([node('Mul', ['g', 'two'], ['v'])], [node('LRN', ['g'], ['v'], size=3)],
                                                  {'two': np.float32(2)}))
    taken = [node('MatMul', ['x', 'w'], ['g']), node('Equal', ['k', 'six'], ['yes']), inner, node('Add', ['h', 'b'], ['o'])]
    nodes = size + [node('Equal', ['k', 'six'], ['same']),
                    node('If', ['same'], ['r'], **branches(taken, [node('NonZero', ['x'], ['o'])])), node('Relu', ['r'], ['y'])]
    case('if_shape', nodes, x, np.maximum(2 * (x @ w) + b, 0), constants)
    # As the exporter by TorchDynamo: functions that ask for ranks and have attributes of their callers.
    opset = [helper.make_opsetid('', 18), helper.make_opsetid('aten', 1)]
    rank = helper.make_function('aten', 'Rank', ['input'], ['return_val'],
                                [node('Shape', ['input'], ['sh']), node('Size', ['sh'], ['return_val'])], opset)
    scalar = helper.make_function('aten', 'IsScalar', ['input'], ['return_val'],
                                  [node('Rank', ['input'], ['n'], domain='aten'), node('Constant', [], ['zero'], value_int=0),
                                   node('Equal', ['n', 'zero'], ['return_val'])], opset)
    dim = helper.make_node('Softmax', ['self'], ['soft'])
    dim.attribute.append(onnx.AttributeProto(name='axis', ref_attr_name='dim', type=onnx.AttributeProto.INT))
    raised = [node('Unsqueeze', ['self', 'z'], ['more']), node('Softmax', ['more'], ['deep'], axis=0), node('Squeeze', ['deep'], ['soft'])]
    soft = helper.make_function('aten', 'aten_softmax', ['self'], ['result'],
                                [node('IsScalar', ['self'], ['flag'], domain='aten'), node('Constant', [], ['z'], value_ints=[0]),
                                 node('If', ['flag'], ['result'], **branches(raised, [dim]))], opset, ['dim'])
    linear = helper.make_function('aten', 'aten_addmm', ['self', 'mat1', 'mat2'], ['result'],
                                  [node('MatMul', ['mat1', 'mat2'], ['p']), node('Add', ['self', 'p'], ['result'])], opset)
    nodes = [node('aten_addmm', ['b', 'x', 'w'], ['h'], domain='aten'), node('aten_softmax', ['h'], ['q'], domain='aten', dim=1),
             node('aten_softmax', ['q'], ['y'], domain='aten', dim=-1)]
    p = torch.softmax(torch.from_numpy(x @ w + b), 1)
    case('functions_if', nodes, x, torch.softmax(p, 1), {'w': w, 'b': b}, opset=18, functions=[rank, scalar, soft, linear])
    # Keras by tf2onnx: channels last, the normalisation not folded, padding and names with slashes.
    pixels, kernel, bias = draw(4, 6, 6, 2), draw(3, 2, 3, 3), draw(3)
    scale, shift, mean, var = draw(3), draw(3), draw(3), np.abs(draw(3)) + 0.5
    prefix = 'StatefulPartitionedCall/model/'
    nodes = [node('Transpose', ['x'], [prefix + 'conv/Conv2D__6:0'], perm=[0, 3, 1, 2]),
             node('Conv', [prefix + 'conv/Conv2D__6:0', 'k', 'kb'], [prefix + 'conv/BiasAdd:0'], auto_pad='SAME_UPPER', strides=[2, 2],
                  kernel_shape=[3, 3]),
             node('Relu', [prefix + 'conv/BiasAdd:0'], [prefix + 'Relu:0']),
             node('BatchNormalization', [prefix + 'Relu:0', 'gamma', 'beta', 'mean', 'var'], [prefix + 'bn/FusedBatchNormV3:0'], epsilon=1e-3),
             node('MaxPool', [prefix + 'bn/FusedBatchNormV3:0'], [prefix + 'pool:0'], kernel_shape=[2, 2], strides=[1, 1]),
             node('Transpose', [prefix + 'pool:0'], [prefix + 'pool__8:0'], perm=[0, 2, 3, 1]),
             node('Reshape', [prefix + 'pool__8:0', 'flat'], [prefix + 'flatten/Reshape:0']),
             node('MatMul', [prefix + 'flatten/Reshape:0', 'dense'], [prefix + 'dense/MatMul:0']),
             node('Add', [prefix + 'dense/MatMul:0', 'b'], [prefix + 'dense/BiasAdd:0']),
             node('Softmax', [prefix + 'dense/BiasAdd:0'], ['y'])]
    dense = draw(12, 4)
    t = torch.from_numpy
    h = F.relu(F.conv2d(F.pad(t(pixels.transpose(0, 3, 1, 2).copy()), (0, 1, 0, 1)), t(kernel), t(bias), stride=2))
    h = F.max_pool2d(F.batch_norm(h, t(mean), t(var), t(scale), t(shift), eps=1e-3), 2, 1).permute(0, 2, 3, 1).reshape(4, -1)
    case('keras_network', nodes, pixels, torch.softmax(h @ t(dense) + t(b), 1),
         {'k': kernel, 'kb': bias, 'gamma': scale, 'beta': shift, 'mean': mean, 'var': var, 'flat': np.array([-1, 12]), 'dense': dense, 'b': b})
    # The same for an LSTM that gives its last state.
    rows, lw, lr, lb = draw(5, 4, 3), draw(1, 16, 3), draw(1, 16, 4), draw(1, 32)
    nodes = [node('Transpose', ['x'], ['lstm__24:0'], perm=[1, 0, 2]),
             node('LSTM', ['lstm__24:0', 'lw', 'lr', 'lb'], ['', 'lstm/y_h:0'], hidden_size=4, direction='forward'),
             node('Squeeze', ['lstm/y_h:0', 'axis'], ['lstm/PartitionedCall:0']),
             node('MatMul', ['lstm/PartitionedCall:0', 'dense'], ['y'])]
    zero = np.zeros((1, 4), np.float32)
    last = run_lstm(rows, lw[0], lr[0], lb[0, :16] + lb[0, 16:], np.zeros(12, np.float32), zero, zero)[:, -1]
    head = draw(4, 2)
    case('keras_lstm', nodes, rows, last @ head, {'lw': lw, 'lr': lr, 'lb': lb, 'axis': np.array([0]), 'dense': head})


def rounding_cases():
    """Away from where rounding changes; and what is left of a number without its whole part."""
    rng = np.random.default_rng(47)
    x = (rng.integers(-6, 7, (30, 5)) + rng.uniform(0.02, 0.48, (30, 5)) + rng.integers(0, 2, (30, 5)) / 2).astype(np.float32)
    w = (0.5 * rng.standard_normal((5, 4))).astype(np.float32)
    for op, y in (('Floor', np.floor(x)), ('Ceil', np.ceil(x)), ('Round', np.rint(x))):
        case('rounding_' + op.lower(), [node(op, ['x'], ['r']), node('MatMul', ['r', 'w'], ['y'])], x, y @ w, {'w': w})
    case('rounding_ties', [node('Round', ['x'], ['y'])], np.arange(-6, 6.5, 0.5).reshape(5, 5), np.rint(np.arange(-6, 6.5, 0.5)).reshape(5, 5))
    case('rounding_rest', [node('Floor', ['x'], ['r']), node('Sub', ['x', 'r'], ['y'])], x, x - np.floor(x))


def place_cases():
    """Where the largest values are, along an axis."""
    rng = np.random.default_rng(50)
    w, v = rng.standard_normal((2, 6, 6)).astype(np.float32)
    x = rng.standard_normal((200, 4, 6)).astype(np.float32)
    # Away from where the largest changes: elsewhere, fixed point may decide otherwise.
    gap = lambda s, axis: np.diff(np.sort(s, axis)).min() if axis == 2 else np.diff(np.sort(s.swapaxes(1, 2), 2)).min()
    x = x[[gap(s[None] @ w, 2) > 0.05 for s in x]][:24]
    case('argmax_axis', [node('MatMul', ['x', 'w'], ['s']), node('ArgMax', ['s'], ['y'], axis=-1, keepdims=0)], x, np.argmax(x @ w, 2), {'w': w})
    nodes = [node('MatMul', ['x', 'w'], ['s']), node('ArgMax', ['s'], ['a'], axis=2), node('Cast', ['a'], ['r'], to=TensorProto.FLOAT),
             node('Mul', ['r', 'x'], ['m']), node('MatMul', ['m', 'v'], ['y'])]
    case('argmax_between', nodes, x, np.argmax(x @ w, 2)[:, :, None] * x @ v, {'w': w, 'v': v})
    x = rng.integers(0, 3, (40, 4, 5)).astype(np.float32)
    case('argmax_ties', [node('ArgMax', ['x'], ['y'], axis=1)], x, np.argmax(x, 1))
    case('argmin_last', [node('ArgMin', ['x'], ['y'], axis=2, select_last_index=1)], x, 4 - np.argmin(x[:, :, ::-1], 2))
    # Of all values, but other layers follow.
    one = rng.integers(-20, 21, (30, 7)).astype(np.float32) + np.arange(7, dtype=np.float32) / 8
    case('argmax_inside', [node('ArgMax', ['x'], ['a'], axis=1), node('Cast', ['a'], ['r'], to=TensorProto.FLOAT), node('Add', ['r', 'x'], ['y'])],
         one, one + np.argmax(one, 1)[:, None])


def element_cases():
    """Elements that are picked and left out one by one; inputs of bfloat16."""
    rng = np.random.default_rng(51)
    x = rng.standard_normal((20, 2, 5, 5)).astype(np.float32)
    w = rng.standard_normal((5, 3)).astype(np.float32)
    # A causal mask: what stands behind the diagonal counts for nothing.
    shut = np.triu(np.ones((5, 5), np.float32), 1)
    soft = lambda s: torch.softmax(torch.from_numpy(s), -1).numpy()
    nodes = [node('Trilu', ['ones', 'one'], ['shut'], upper=1), node('Mul', ['shut', 'far'], ['mask']), node('Trilu', ['x'], ['low'], upper=0),
             node('Add', ['low', 'mask'], ['s']), node('Softmax', ['s'], ['p'], axis=-1), node('MatMul', ['p', 'w'], ['y'])]
    case('trilu', nodes, x, soft(np.tril(x) - 20 * shut) @ w, {'ones': np.ones((5, 5), np.float32), 'one': np.int64(1), 'far': np.float32(-20), 'w': w})
    index = rng.integers(-5, 5, (1, 2, 3, 5))
    case('gather_elements', [node('GatherElements', ['x', 'i'], ['g'], axis=2), node('Relu', ['g'], ['y'])], x,
         np.maximum(np.take_along_axis(x, np.repeat(index, 20, 0), 2), 0), {'i': index})
    refused('gather_elements', [node('GatherElements', ['x', 'i'], ['y'], axis=2)], x, {'i': index + 5})
    refused('gather_elements_batch', [node('GatherElements', ['x', 'i'], ['y'], axis=2)], x, {'i': np.repeat(index, 2, 0)})
    refused('trilu', [node('Reshape', ['x', 'row'], ['r']), node('Trilu', ['r'], ['y'])], x, {'row': np.array([-1, 50])})


def body_of(nodes, ins, outs, constants=()):
    """A loop's body: inputs and outputs as (name, element type)."""
    info = lambda name, kind: helper.make_tensor_value_info(name, kind, None)
    return helper.make_graph(nodes, 'body', [info(*i) for i in ins], [info(*o) for o in outs],
                             [numpy_helper.from_array(np.asarray(c), n) for n, c in dict(constants).items()])


def loop_cases():
    """Loops whose length constants and shapes say, as PyTorch's scripts and converters of recurrent networks write them."""
    rng = np.random.default_rng(52)
    draw = lambda *shape: (0.5 * rng.standard_normal(shape)).astype(np.float32)
    x, w, r, b = draw(12, 5, 3), draw(3, 4), draw(4, 4), draw(4)
    h, states = np.zeros((12, 4)), []
    for t in range(5):
        h = np.tanh(x[:, t] @ w + h @ r + b)
        states.append(h)
    real, whole, truth = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
    weights = {'w': w, 'r': r, 'one': np.int64(1), 'yes': np.array(True), 'zeros': np.zeros((1, 4), np.float32)}
    # The length is that of an axis; the bias is the body's own constant.
    step = [node('MatMul', ['part', 'w'], ['u']), node('MatMul', ['h', 'r'], ['v']), node('Add', ['u', 'v'], ['s']), node('Add', ['s', 'b'], ['a']),
            node('Tanh', ['a'], ['new'])]
    body = body_of([node('Gather', ['x', 'i'], ['part'], axis=1)] + step + [node('Identity', ['on'], ['still']), node('Identity', ['new'], ['seen'])],
                   [('i', whole), ('on', truth), ('h', real)], [('still', truth), ('new', real), ('seen', real)], {'b': b})
    nodes = [node('Shape', ['x'], ['size']), node('Gather', ['size', 'one'], ['steps'], axis=0),
             node('Loop', ['steps', 'yes', 'zeros'], ['last', 'all'], body=body), node('Transpose', ['all'], ['y'], perm=[1, 0, 2])]
    case('loop_states', nodes, x, np.stack(states, 1), weights)
    case('loop_last', nodes[:3] + [node('Relu', ['last'], ['y'])], x, np.maximum(h, 0), weights)
    # A condition that ends it: while i < 3.
    body = body_of([node('Add', ['h', 'x'], ['new']), node('Less', ['i', 'two'], ['still'])], [('i', whole), ('on', truth), ('h', real)],
                   [('still', truth), ('new', real)])
    few = draw(6, 4)
    case('loop_while', [node('Loop', ['', '', 'x'], ['y'], body=body)], few, 4 * few, {'two': np.int64(2)})
    # Backwards along the sequence.
    body = body_of(step + [node('Identity', ['new'], ['seen'])], [('h', real), ('part', real)], [('new', real), ('seen', real)], {'b': b})
    nodes = [node('Scan', ['zeros', 'x'], ['last', 'all'], body=body, num_scan_inputs=1, scan_input_axes=[1], scan_input_directions=[1],
                  scan_output_directions=[1]), node('Transpose', ['all'], ['y'], perm=[1, 0, 2])]
    h, states = np.zeros((12, 4)), []
    for t in range(4, -1, -1):
        h = np.tanh(x[:, t] @ w + h @ r + b)
        states.insert(0, h)
    case('scan_backwards', nodes, x, np.stack(states, 1), weights)
    body = body_of([node('Add', ['h', 'h'], ['new']), node('Identity', ['on'], ['still'])], [('i', whole), ('on', truth), ('h', real)],
                   [('still', truth), ('new', real)])
    count = [node('ArgMax', ['x'], ['n'], axis=1, keepdims=0), node('Loop', ['n', '', 'x'], ['y'], body=body)]
    refused('loop_open', count, few)
    refused('loop_long', [node('Loop', ['many', 'yes', 'x'], ['y'], body=body)], few, {'many': np.int64(1025), 'yes': np.array(True)})
    nested = body_of([node('Loop', ['i', 'on', 'h'], ['new'], body=body), node('Identity', ['on'], ['still'])],
                     [('i', whole), ('on', truth), ('h', real)], [('still', truth), ('new', real)])
    refused('loop_nested', [node('Loop', ['many', 'yes', 'x'], ['y'], body=nested)], few, {'many': np.int64(3), 'yes': np.array(True)})


def boosted_cases():
    """Boosted trees with the attributes that the converters of XGBoost and LightGBM write. Features are halves."""
    rng = np.random.default_rng(48)
    x = (rng.integers(-8, 9, (30, 5)) / 2).astype(np.float32)
    trees = [random_tree(5, 3, ['BRANCH_LT'], rng, k % 2 == 0) or ('BRANCH_LT', 1, 0.5, None, None) for k in range(6)]
    rows, leaves = flat_trees(trees, lambda: rng.integers(-40, 41, 1) / 32)
    each = np.array([[answer_of_tree(rows, leaves, tree, s, {}) for tree in range(6)] for s in x])
    extra = {'nodes_missing_value_tracks_true': [0] * len(rows), 'nodes_hitrates': [1.0] * len(rows)}
    classes = tree_attributes(rows, leaves, 'class') | extra
    three = classes | {'class_ids': [tree % 3 for tree in classes['class_treeids']], 'classlabels_int64s': [0, 1, 2],
                       'base_values': [0.5] * 3, 'post_transform': 'SOFTMAX'}
    scores = np.stack([each[:, k::3].sum(1) for k in range(3)], 1) + 0.5
    case('boosted_three', [ml('TreeEnsembleClassifier', ['x'], ['label', 'y'], **three)], x,
         torch.softmax(torch.from_numpy(scores), 1), ends=('label', 'y'))
    two = classes | {'classlabels_int64s': [0, 1], 'base_values': [0.25], 'post_transform': 'LOGISTIC'}
    p = sigmoid(each.sum(1) + 0.25)
    case('boosted_two', [ml('TreeEnsembleClassifier', ['x'], ['label_tensor', 'p'], **two),
                         node('Cast', ['label_tensor'], ['label'], to=TensorProto.INT64),
                         ml('ZipMap', ['p'], ['y'], classlabels_int64s=[0, 1])], x, np.stack([1 - p, p], 1), ends=('label', 'y'))
    targets = tree_attributes(rows, leaves, 'target') | extra | {'n_targets': 1, 'base_values': [0.5]}
    case('boosted_regressor', [ml('TreeEnsembleRegressor', ['x'], ['y'], **targets)], x, each.sum(1)[:, None] + 0.5)
    # LightGBM's large ensembles are several nodes.
    parts = []
    for k in range(2):
        some, values = flat_trees(trees[3 * k:3 * k + 3], lambda: rng.integers(-40, 41, 1) / 32)
        parts.append((some, values))
    y = [sum(answer_of_tree(some, values, tree, s, {}) for some, values in parts for tree in range(3)) for s in x]
    nodes = [ml('TreeEnsembleRegressor', ['x'], ['part%d' % k], n_targets=1, **tree_attributes(some, values, 'target'))
             for k, (some, values) in enumerate(parts)]
    case('boosted_parts', nodes + [node('Sum', ['part0', 'part1'], ['y'])], x, np.array(y)[:, None])


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for make in (machine_cases, sum_cases, tree_cases, resize_cases, recurrent_cases, style_cases, rounding_cases, place_cases, element_cases, loop_cases, boosted_cases):
        make()
    arrays = {}
    for name, (m, x, y) in CASES.items():
        onnx.save(m, os.path.join(folder, name + '.onnx'))
        if name.startswith('refused_'):
            continue
        arrays[name + '.in'], arrays[name + '.out'] = x, y
    np.savez_compressed(os.path.join(folder, 'expected.npz'), **arrays)


if __name__ == '__main__':
    main()
