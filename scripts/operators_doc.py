#!/usr/bin/python3
"""Writes docs/operators.md: which ONNX operators are read, and what the official test suite says.

The operators come from the table in src/onnx/onnx.c, the suite's verdicts from the conformance test.
Usage: operators_doc.py CONFORMANCE_TEST > docs/operators.md"""
import collections
import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')

INTRO = """# ONNX operators

Written by `scripts/operators_doc.py`; do not edit.

A network is read as the function of one sample:

- one input; one output, or a label and its scores (the scores are taken), or the tensor that `FILE:TENSOR` names; only what
  the answer depends on has to be readable. The first dimension of the input is the batch (open, or any fixed number) and no operator may
  look along it; all other dimensions are fixed. An input of one fixed dimension is a sample by itself;
- a final Softmax or Sigmoid stays with the client; `fusion compile` notes what else is left out;
- QuantizeLinear and DequantizeLinear keep their tensor's grid and range in fixed point; ranges that no calibration sample leaves
  are not compared against;
- operator sets 6 to 25, as far as the meaning is that of the table below; attributes that are not understood are refused;
- functions of the file are expanded: nested, with overloads and attributes by reference, without recursion. Nodes may come in any order;
- weights of any float or integer type of 4 bits or more but FLOAT8, also in external data files beside the model; the model file itself
  is below 2 GB and a tensor has at most 2^28 elements. Integer constants wrap at the width of their type;
- every shape that the file declares is compared with the one that is computed;
- labels of classes (LinearClassifier, ZipMap) are kept: answers, and the client's labels, are in them;
- whatever depends on constants and shapes alone is computed while reading, by the operators marked "constants"
  and by those that move or combine values;
- an operator, attribute or shape that is not supported is refused with a line that names it, its node and a remedy.

| operator | how it is read |
|---|---|
"""

# What an activation becomes, and the limits. Operators without an entry work on constants only.
NOTES = {
    'Abs': '2 relu(x) - x', 'Add': 'with a constant or an activation, broadcasting', 'Sub': 'as Add',
    'Mul': 'by a constant, or of two activations (x*x is a square)', 'Div': 'by a constant',
    'ArgMax': 'at the end, over all values of a sample; the first of equal values wins', 'ArgMin': 'as ArgMax',
    'ConvTranspose': 'as Conv; a convolution of the input spread with zeros',
    'QuantizeLinear': 'scale and zero point constant, one for an activation; 4, 8 and 16 bits',
    'Resize': 'to the nearest neighbour in all coordinate and rounding modes, or by 1; axes and aspect ratio policies', 'Upsample': 'as Resize', 'ReduceL1': 'any axes but the batch',
    'ReduceSumSquare': 'any axes but the batch', 'Sigmoid': 'at the end; the client applies it',
    'LinearClassifier': 'post_transform NONE, SOFTMAX or LOGISTIC; any labels', 'LinearRegressor': '', 'Scaler': '',
    'Normalizer': 'of class probabilities; of several sigmoids it is left out', 'ZipMap': 'the scores; its labels are kept',
    'AveragePool': 'one- and two-dimensional; pads below the kernel', 'MaxPool': 'as AveragePool; values only, no indices',
    'BatchNormalization': 'evaluation mode; folded into a neighbouring layer where that is exact',
    'Cast': 'between float types; to integers on constants only', 'CastLike': 'as Cast', 'Clip': 'constant limits; up to two Relus; limits that cross give the upper one',
    'Concat': 'not along the batch',
    'Conv': 'one- and two-dimensional, with groups, dilations, strides, pads, auto_pad; constant weights',
    'DepthToSpace': 'both modes', 'SpaceToDepth': '', 'DequantizeLinear': 'of weights kept as integers (scales for all, for each row or for blocks), of integer inputs, of what QuantizeLinear made',
    'Dropout': 'does nothing', 'Expand': '', 'Flatten': 'axis 1 or above', 'Gather': 'constant indices; not along the batch',
    'Gemm': 'constant weights', 'MatMul': 'by a constant matrix, on either side', 'GlobalAveragePool': '', 'GlobalMaxPool': '',
    'HardSigmoid': 'two Relus', 'HardSwish': 'two Relus and a product', 'Identity': '', 'LeakyRelu': '', 'PRelu': 'constant slopes',
    'LogSoftmax': 'at the end, over all values of a sample; the client applies it', 'Softmax': 'as LogSoftmax',
    'Max': 'of constants and activations; each a Relu', 'Min': 'as Max', 'Mean': '', 'Sum': '', 'Neg': '',
    'Pad': 'with a constant, edge or reflect', 'Pow': 'the powers 1 to 4', 'ReduceMax': 'any axes but the batch',
    'ReduceMin': 'any axes but the batch', 'ReduceMean': 'any axes but the batch', 'ReduceSum': 'any axes but the batch',
    'Relu': '', 'Reshape': 'the batch stays the first dimension', 'Shape': 'an open batch counts as 1, a fixed one as the file says',
    'Slice': 'not along the batch', 'Split': 'not along the batch', 'Squeeze': 'not the batch', 'Unsqueeze': 'behind the batch',
    'Tile': 'not along the batch', 'Transpose': 'the batch stays the first dimension',
}


def operators():
    with open(os.path.join(ROOT, 'src/onnx/onnx.c'), encoding='utf-8') as f:
        text = f.read()
    names = []
    for table in ('ops', 'ml_ops'):
        part = text.split('static const struct op_entry %s[] = {' % table)[1].split('};')[0]
        names += re.findall(r'\{"(\w+)",', part)
    return sorted(names)


def verdicts(program):
    lines = subprocess.run([program, '--list'], stdout=subprocess.PIPE, check=False, text=True).stdout.splitlines()
    refused, counts = collections.defaultdict(list), lines[-2:]
    failed = [line.split(None, 1)[1].split(': ')[0] for line in lines if line.startswith('FAILED')]
    for line in lines[:-2]:
        if line.startswith('unsupported'):
            case, reason = line.split(None, 1)[1].split(': ', 1)
            reason = re.sub(r" \('.*'\)", '', reason)
            reason = re.sub(r" ?\(node '[^']*'\)", '', reason).split(';')[0]
            reason = re.sub(r"(input|tensor) '[^']*'", r'\1', reason)
            refused[re.sub(r"^'[^']*' ", 'the model ', reason)].append(case.replace('test_', ''))
    return counts, failed, refused


def main():
    sys.stdout.write(INTRO)
    for name in operators():
        note = NOTES.get(name)
        print('| %s | %s |' % (name, 'constants' if note is None else note or 'as defined'))
    counts, failed, refused = verdicts(sys.argv[1])
    print("\n## The official tests\n\nThe cases of Debian's libonnx-testdata through the reader and both executors (a node test's "
          'further inputs taken as constants; the first\ndimension is the batch, or part of one sample where an operator looks along it). '
          'The float executor has to be within the suite\'s tolerance;\nthe fixed-point one, at 12 bits throughout, within the error that '
          'is predicted for its plan: half a unit for every rounding, and what follows.\n')
    for line in counts:
        print('- ' + line)
    print('\nFailed: %s.' % (', '.join(failed) or 'none'))
    print('\n### Refused, by reason\n')
    for reason, cases in sorted(refused.items(), key=lambda item: (-len(item[1]), item[0])):
        print('- %s (%d): %s' % (reason, len(cases), ', '.join(cases)))


if __name__ == '__main__':
    main()
