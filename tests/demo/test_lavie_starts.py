"""demo/lavie_starts.py: the model that is tuned; the tunings themselves take minutes for each clip."""

from __future__ import annotations

import torch

from demo.lavie.trainers.settings import FILES
from demo.lavie_starts import load_model
from tav_core import InflatedUNet
from tav_core.checkpoints.lavie import load_lavie, start_from
from tav_core.models.conditioning import Conditioning


def test_the_model_predicts_what_the_base_does_of_a_still_under_its_schedule():
    model, base = load_model(), load_lavie(FILES["base"], "base")
    still, text, timesteps = torch.randn(1, 4, 1, 12, 12), torch.randn(1, 77, 128), torch.tensor([400])
    seen = Conditioning(text=text, image_text=text[:, None])
    with torch.no_grad():
        # The layers over time pass stills by; the clip's one frame beside it is another.
        pair = base.unet(torch.cat([torch.randn_like(still), still], dim=2), timesteps, seen)[:, :, 1]
        found = model.unet(still[:, :, 0], timesteps, text).sample
    # The base's norms take both frames together.
    assert (found - pair).std() < 0.1 * found.std()
    assert model.schedule == base.schedule


def test_the_interpolations_layers_over_time_fit_it():
    unet = InflatedUNet.from_2d(load_model().unet)
    before = {name: tensor.clone() for name, tensor in unet.temporal_state().items()}
    start_from(unet, FILES["interpolation"])
    assert all(not torch.equal(tensor, before[name]) for name, tensor in unet.temporal_state().items())
