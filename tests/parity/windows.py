"""Writes what PyTorch makes of convolutions, pools and batch normalization: `crates/kernels/tests/windows/pytorch.safetensors`.

A case is `CASE.x`, `CASE.w`, `CASE.b`, `CASE.y` and the gradients `CASE.dx`, `CASE.dw`, `CASE.db` for `CASE.dy`; images lie
as (images, height, width, channels). The Rust side with the same sizes is `crates/kernels/tests/windows/main.rs`.

Usage: python tests/parity/windows.py
"""

import torch
from safetensors.torch import save_file

import ours

FILE = ours.ROOT / "crates" / "kernels" / "tests" / "windows" / "pytorch.safetensors"

# A case a line: the module, channels, height and width of its two images.
CASES = {
    "batch_norm": (torch.nn.BatchNorm2d(5, eps=1e-3, momentum=0.3), (5, 4, 3)),
    "depthwise": (torch.nn.Conv2d(9, 9, 3, stride=2, padding=1, groups=9), (9, 7, 6)),
    "dilated": (torch.nn.Conv2d(2, 3, 3, padding=2, dilation=2), (2, 5, 6)),
    "grouped": (torch.nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=1, groups=2), (4, 5, 6)),
    "largest": (torch.nn.MaxPool2d(3, stride=2, padding=1), (3, 7, 6)),
    "mean_of_seen": (torch.nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (3, 7, 6)),
    "mean_of_taps": (torch.nn.AvgPool2d(3, stride=2, padding=1), (3, 7, 6)),
    "transposed": (torch.nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (4, 3, 4)),
}


def main() -> None:
    """Writes the file."""
    torch.manual_seed(5)
    tensors = {}
    for case, (module, shape) in CASES.items():
        x = torch.randn(2, *shape)
        if case == "largest":
            x = x.round()  # so that windows have several largest values
        x.requires_grad_()
        with torch.no_grad():
            for weight in module.parameters():
                weight.copy_(torch.randn(weight.shape))
        y = module(x)
        dy = torch.randn(y.shape)
        y.backward(dy)
        for name, image in {"x": x, "y": y, "dx": x.grad, "dy": dy}.items():
            tensors[f"{case}.{name}"] = image.detach().permute(0, 2, 3, 1).contiguous()
        for name, weight in zip("wb", module.parameters(), strict=False):
            tensors |= {f"{case}.{name}": weight.detach(), f"{case}.d{name}": weight.grad}
        tensors |= {f"{case}.{name}": t for name, t in module.named_buffers() if t.dim()}
    save_file(tensors, FILE)


if __name__ == "__main__":
    main()
