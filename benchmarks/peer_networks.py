"""ResNet-152 V2, VGGish and a head in PyTorch, with the weights of `networks.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

# (blocks, width) of each stage (He et al., Identity Mappings in Deep Residual Networks, 2016).
STAGES = ((3, 64), (8, 128), (36, 256), (3, 512))
EPSILON = 1.001e-5  # as in keras.applications
WINDOW, HOP, FFT, PATCH, LOG_OFFSET = 400, 160, 512, 96, 0.01
SAMPLE_RATE = 16_000


class Block(nn.Module):
    """Normalise first, then 1x1, 3x3, 1x1, added to the input."""

    def __init__(self, inputs: int, width: int, stride: int, projects: bool) -> None:
        super().__init__()
        self.stride = stride
        self.preact_bn = nn.BatchNorm2d(inputs, EPSILON)
        self.conv0 = nn.Conv2d(inputs, 4 * width, 1, stride) if projects else None
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, EPSILON)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, EPSILON)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = functional.relu(self.preact_bn(x), inplace=True)
        if self.conv0 is not None:
            shortcut = self.conv0(active)
        else:
            shortcut = functional.max_pool2d(x, 1, self.stride) if self.stride > 1 else x
        y = functional.relu(self.bn1(self.conv1(active)), inplace=True)
        y = functional.relu(self.bn2(self.conv2(y)), inplace=True)
        return shortcut + self.conv3(y)


class ResNet152V2(nn.Module):
    """[B, 3, 224, 224] in [0, 1] to [B, 2048]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3)
        blocks, inputs = [], 64
        for stage, (count, width) in enumerate(STAGES):
            for number in range(count):
                last = number == count - 1 and stage < len(STAGES) - 1
                blocks.append(Block(inputs, width, 2 if last else 1, projects=number == 0))
                inputs = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.post_bn = nn.BatchNorm2d(inputs, EPSILON)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        x = self.conv1(2 * pictures - 1)  # [B, 64, 112, 112]
        x = functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2)  # [B, 64, 56, 56]
        x = functional.relu(self.post_bn(self.blocks(x)), inplace=True)  # [B, 2048, 7, 7]
        return x.mean((2, 3))  # [B, 2048]

    def load(self, path: Path) -> ResNet152V2:
        """Take the weights of the Keras network."""
        arrays = np.load(path)
        fill(self.conv1, arrays, "conv1_conv")
        fill(self.post_bn, arrays, "post_bn")
        blocks = iter(self.blocks)
        for stage, (count, _) in enumerate(STAGES, start=2):
            for number in range(1, count + 1):
                block, prefix = next(blocks), f"conv{stage}_block{number}"
                fill(block.preact_bn, arrays, f"{prefix}_preact_bn")
                if block.conv0 is not None:
                    fill(block.conv0, arrays, f"{prefix}_0_conv")
                for name in ("conv1", "bn1", "conv2", "bn2", "conv3"):
                    fill(getattr(block, name), arrays, f"{prefix}_{name[-1]}_{name[:-1]}")
        return self


class Vggish(nn.Module):
    """Patches [N, 1, 96, 64] to [N, 128]."""

    def __init__(self) -> None:
        super().__init__()
        widths = ((1, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512))
        self.convs = nn.ModuleList(nn.Conv2d(*pair, 3, padding=1) for pair in widths)
        self.dense = nn.ModuleList(
            nn.Linear(*pair) for pair in ((12_288, 4096), (4096, 4096), (4096, 128))
        )

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        x = patches
        for number, conv in enumerate(self.convs):
            x = functional.relu(conv(x), inplace=True)
            if number in (0, 1, 3, 5):
                x = functional.max_pool2d(x, 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # [N, 12288], channels last as in TensorFlow
        for dense in self.dense[:-1]:
            x = functional.relu(dense(x), inplace=True)
        return self.dense[-1](x)  # [N, 128]

    def load(self, path: Path) -> Vggish:
        """Take the weights of the Keras network."""
        arrays = np.load(path)
        for conv, name in zip(self.convs, ("1_1", "2_1", "3_1", "3_2", "4_1", "4_2"), strict=True):
            fill(conv, arrays, f"conv{name}")
        for number, dense in enumerate(self.dense, start=1):
            fill(dense, arrays, f"fc{number}")
        return self


class Head(nn.Module):
    """Self-attention, cross-attention and a bidirectional LSTM with the sizes of `avel`."""

    def __init__(self, width: int = 128, heads: int = 4, classes: int = 28) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Linear(each, width) for each in (2048, 128))
        self.attention = nn.ModuleList(
            nn.MultiheadAttention(width, heads, batch_first=True) for _ in range(4)
        )
        self.lstm = nn.LSTM(3 * width, width, batch_first=True, bidirectional=True)
        self.logits = nn.Linear(2 * width, classes + 1)

    def forward(self, visual: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        visual, audio = (
            functional.relu(project(x))
            for project, x in zip(self.project, (visual, audio), strict=True)
        )  # [B, T, D]
        both = visual * audio
        visual = visual + self.attention[0](visual, visual, visual)[0]
        audio = audio + self.attention[1](audio, audio, audio)[0]
        seen = visual + self.attention[2](visual, audio, audio)[0]
        heard = audio + self.attention[3](audio, visual, visual)[0]
        x, _ = self.lstm(torch.cat((seen, heard, both), -1))  # [B, T, 2D]
        return self.logits(x).softmax(-1)  # [B, T, C+1]


class LogMel(nn.Module):
    """Seconds of audio [N, 16000] to patches [N, 1, 96, 64] for VGGish."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.register_buffer("mel", torch.from_numpy(np.load(path)["mel"]))  # [257, 64]
        self.register_buffer("window", torch.hann_window(WINDOW))

    def forward(self, seconds: torch.Tensor) -> torch.Tensor:
        frames = seconds.unfold(1, WINDOW, HOP)[:, :PATCH] * self.window  # [N, 96, 400]
        spectra = torch.fft.rfft(frames, FFT).abs()  # [N, 96, 257]
        return (spectra @ self.mel + LOG_OFFSET).log()[:, None]  # [N, 1, 96, 64]


def fill(layer: nn.Module, arrays: np.lib.npyio.NpzFile, name: str) -> None:
    """Copy the weights of a Keras layer, whose output axis is last."""
    names = {"running_mean": "moving_mean", "running_var": "moving_variance"}
    names |= {"weight": "gamma" if isinstance(layer, nn.BatchNorm2d) else "kernel"}
    names |= {"bias": "beta" if isinstance(layer, nn.BatchNorm2d) else "bias"}
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    for key, value in layer.state_dict().items():
        if key in names:
            array = arrays[f"{name}/{names[key]}"]
            value.copy_(torch.from_numpy(array.transpose(order[array.ndim])))
