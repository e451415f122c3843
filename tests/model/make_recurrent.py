#!/usr/bin/python3
"""Makes the small recurrent networks of tests/model/recurrent, as PyTorch exports them, and what they answer by PyTorch:
NAME.onnx, and NAME.in / NAME.out in expected.npz.

Usage: make_recurrent.py OUTPUT_FOLDER (Debian: python3-onnx, python3-numpy, python3-torch)."""
import io
import os
import sys

import numpy as np
import onnx
import torch
from torch import nn

LENGTH, INPUTS, HIDDEN = 6, 3, 4


class Network(nn.Module):
    def __init__(self, kind, end, **settings):
        super().__init__()
        self.end = end
        self.layers = getattr(nn, kind)(INPUTS, HIDDEN, batch_first=True, **settings)
        self.head = nn.Linear(HIDDEN * (2 if settings.get('bidirectional') else 1), 2)

    def forward(self, x):
        states, last = self.layers(x)
        if self.end == 'hidden':
            last = last[0] if isinstance(last, tuple) else last
            return self.head(torch.cat([last[-2], last[-1]], 1) if self.layers.bidirectional else last[-1])
        return self.head(states) if self.end == 'all' else self.head(states[:, -1] if self.end == 'last' else states.mean(1))


CASES = [
    ('lstm', 'LSTM', 'last', 13, 1, {}), ('lstm_both', 'LSTM', 'mean', 17, 1, {'bidirectional': True}),
    ('lstm_two', 'LSTM', 'all', 13, 2, {'num_layers': 2}), ('lstm_hidden', 'LSTM', 'hidden', 13, 1, {'bidirectional': True}),
    ('gru', 'GRU', 'last', 13, 1, {}), ('gru_both', 'GRU', 'hidden', 17, 1, {'bidirectional': True, 'num_layers': 2}),
    ('rnn', 'RNN', 'mean', 13, 1, {'bias': False}), ('rnn_relu', 'RNN', 'last', 14, 2, {'nonlinearity': 'relu', 'bidirectional': True}),
]


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(5)
    arrays = {}
    for name, kind, end, opset, batch, settings in CASES:
        net = Network(kind, end, **settings).eval()
        x = torch.randn(3, LENGTH, INPUTS)
        buffer = io.BytesIO()
        torch.onnx.export(net, x[:batch], buffer, opset_version=opset, input_names=['x'], output_names=['y'],
                          dynamic_axes={'x': {0: 'N'}})
        m = onnx.load_from_string(buffer.getvalue())
        m.doc_string = ''
        onnx.save(m, os.path.join(folder, name + '.onnx'))
        arrays[name + '.in'], arrays[name + '.out'] = x.numpy(), net(x).detach().numpy()
    np.savez_compressed(os.path.join(folder, 'expected.npz'), **arrays)


if __name__ == '__main__':
    main()
