"""Starting weights for the autoencoder that already pass colours through; with random ones it must learn to first.

A group norm with few channels per group normalises a flat colour away: with 32 groups, as in Stable Diffusion, a narrow
autoencoder spends thousands of steps learning a way around it. Here channels 0-5 carry +rgb and -rgb along the
residual path, averaged over 8 x 8 pixels. One channel in every group of the two norms on that path is held constant,
which makes them nearly linear. The two read-outs are fitted by least squares. So training starts from blurred pictures
in the right colours, and from latents that are small pictures, which helps the UNet too.
"""

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch.nn import functional as F

_CARRIERS = 6
_CONSTANT = 3.0
_BRANCH_SHARE = 0.1
_AVERAGE = [(0, 0, 0.25), (0, 1, 0.25), (1, 0, 0.25), (1, 1, 0.25)]
_CENTRE = [(1, 1, 1.0)]


def _carry(conv: torch.nn.Conv2d, taps: list[tuple[int, int, float]]) -> None:
    conv.weight[:_CARRIERS] = 0
    conv.bias[:_CARRIERS] = 0
    for channel in range(_CARRIERS):
        for row, column, value in taps:
            conv.weight[channel, channel, row, column] = value


def _enter(conv: torch.nn.Conv2d) -> None:
    """+rgb on channels 0-2, -rgb on 3-5."""
    conv.weight[:_CARRIERS] = 0
    conv.bias[:_CARRIERS] = 0
    for channel in range(3):
        conv.weight[channel, channel, 1, 1] = 1
        conv.weight[3 + channel, channel, 1, 1] = -1


def _quiet_branches(vae: AutoencoderKL) -> None:
    for block in vae.modules():
        if not isinstance(block, ResnetBlock2D):
            continue
        block.conv2.weight.mul_(_BRANCH_SHARE)
        block.conv2.bias.zero_()
        if block.conv_shortcut is not None:
            weight = block.conv_shortcut.weight.mul_(0.5)
            weight[:_CARRIERS] = 0
            weight[:, :_CARRIERS] = 0
            weight[range(_CARRIERS), range(_CARRIERS)] = 1
            block.conv_shortcut.bias.zero_()
    for attention in (*vae.encoder.mid_block.attentions, *vae.decoder.mid_block.attentions):
        attention.to_out[0].weight.mul_(_BRANCH_SHARE)


def _hold_constants(last: ResnetBlock2D, norm: torch.nn.GroupNorm) -> None:
    """Sets the last channel of every group of `norm` to a constant of alternating sign, in the block before it."""
    width = norm.num_channels // norm.num_groups
    last.conv2.weight[width - 1 :: width] = 0
    signs = torch.tensor([-1.0, 1.0]).repeat(norm.num_groups // 2)
    last.conv2.bias[width - 1 :: width] = _CONSTANT * signs


def _features(part: torch.nn.Module, run) -> torch.Tensor:
    """The input of `part`'s last convolution during `run()`, `n c h w`."""
    caught = []
    hook = part.conv_act.register_forward_hook(lambda module, inputs, output: caught.append(output))
    run()
    hook.remove()
    return caught[0]


def _fit(conv: torch.nn.Conv2d, features: torch.Tensor, wanted: torch.Tensor, ridge: float) -> None:
    """Sets the first rows of `conv` to the least-squares map from features to `wanted`, at the centre tap."""
    columns = features.permute(0, 2, 3, 1).flatten(0, 2)
    columns = torch.cat([columns, torch.ones(len(columns), 1)], 1)
    rows = wanted.permute(0, 2, 3, 1).flatten(0, 2)
    gram = columns.T @ columns + ridge * torch.eye(columns.shape[1])
    found = torch.linalg.solve(gram, columns.T @ rows)
    conv.weight.zero_()
    conv.bias.zero_()
    conv.weight[: rows.shape[1], :, 1, 1] = found[:-1].T
    conv.bias[: rows.shape[1]] = found[-1]


def _latent_targets(pictures: torch.Tensor, f: int) -> torch.Tensor:
    """The mean red, green and blue of each f x f block, and how much lighter its upper half is, `n 4 h/f w/f`."""
    halves = F.avg_pool2d(pictures.mean(1, keepdim=True), (f // 2, f))
    return torch.cat([F.avg_pool2d(pictures, f), halves[:, :, 0::2] - halves[:, :, 1::2]], 1)


@torch.no_grad()
def start_linear(vae: AutoencoderKL, pictures: torch.Tensor) -> None:
    """Sets the starting weights of an untrained autoencoder (4 latent channels; f = 8 or another power of 2) in place.

    pictures: `n 3 h w` in [-1, 1], to fit the weights on. The last widths of the encoder and the decoder must be at
    least three times the number of groups.
    """
    encoder, decoder = vae.encoder, vae.decoder
    targets = _latent_targets(pictures, 2 ** (len(encoder.down_blocks) - 1))
    _quiet_branches(vae)
    _enter(encoder.conv_in)
    _enter(decoder.conv_in)
    for block in encoder.down_blocks[:-1]:
        _carry(block.downsamplers[0].conv, _AVERAGE)
    for block in decoder.up_blocks[:-1]:
        _carry(block.upsamplers[0].conv, _CENTRE)
    _hold_constants(encoder.mid_block.resnets[-1], encoder.conv_norm_out)
    _hold_constants(decoder.up_blocks[-1].resnets[-1], decoder.conv_norm_out)
    for conv in (vae.quant_conv, vae.post_quant_conv):
        torch.nn.init.dirac_(conv.weight)
        conv.bias.zero_()
    features = _features(encoder, lambda: vae.encode(pictures))
    _fit(encoder.conv_out, features, targets, 1e-2)
    encoder.conv_out.bias[4:] = -4
    # The means that the encoder gives now; its other layers are as they were.
    latents = vae.quant_conv(encoder.conv_out(features)).chunk(2, dim=1)[0]
    features = _features(decoder, lambda: vae.decode(latents))
    _fit(decoder.conv_out, features[:, :, ::3, ::3], pictures[:, :, ::3, ::3], 1e-1)
