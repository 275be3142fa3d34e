"""The settings of a training of LaVie's base on clips and pictures: the one source of their defaults and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from ...settings import check_settings, setting
from ...video.config import SIZE_STEP, check_size
from ..config import MEMORY_MODES, PRECISIONS

TRAINED = ("temporal", "all")


@dataclass(frozen=True, kw_only=True)
class VideoLayersConfig:
    """How to train LaVie's base on a folder of captioned clips and pictures.

    LaVie has published no training code. Size, frames and text dropout are those of its paper and samplers; the
    others are those of Latte, to which its authors refer (configs/ucf101/ucf101_img_train.yaml), or of AnimateDiff's
    temporal layers (configs/training/v1/training.yaml), as each says.

    Raises:
        ConfigError: a setting is out of its range; the first such setting is named.
    """

    num_steps: int = setting(
        2000, "Training steps in total, including those done before a resume; AnimateDiff's.", low=1, high=10_000_000
    )
    learning_rate: float = setting(1e-4, "AdamW's learning rate; Latte's and AnimateDiff's.", low=1e-8, high=1.0)
    weight_decay: float = setting(1e-2, "AdamW's weight decay; AnimateDiff's.", low=0, high=1)
    max_grad_norm: float = setting(
        1.0, "Gradients with a larger norm are scaled down to this; AnimateDiff's.", low=1e-8
    )
    num_frames: int = setting(16, "Frames of each clip; LaVie was trained on 16.", low=1, high=10_000)
    stride: int = setting(
        3, "Step between the frames taken; 3 makes a clip of 24 frames per second one of 8, as LaVie's.", low=1
    )
    width: int = setting(512, "Width in pixels, a multiple of 8; LaVie's.", low=SIZE_STEP, high=8192)
    height: int = setting(320, "Height in pixels, a multiple of 8; LaVie's.", low=SIZE_STEP, high=8192)
    clips_per_step: int = setting(
        4, "Clips that a step learns from, one after the other on each device; Latte's and AnimateDiff's.", low=1
    )
    images_per_clip: int = setting(
        8, "Pictures that follow the frames of each clip; 0 learns from video alone. Latte's.", low=0, high=1000
    )
    image_weight: float = setting(
        1.0, "How much the loss of the pictures counts beside the clips'; LaVie's own value is not known.", low=0
    )
    text_dropout: float = setting(
        0.1, 'How often a caption is replaced by "", which guidance needs; LaVie\'s.', low=0, high=1
    )
    train: str = setting(
        "temporal",
        "temporal trains the layers over time alone, as AnimateDiff; all trains the whole UNet, as LaVie.",
        choices=TRAINED,
    )
    precision: str = setting(
        "auto",
        "Precision of the computation; auto is bf16 or fp16 on a GPU, elsewhere that of the weights. Weights that "
        "train are always fp32.",
        choices=("auto", *PRECISIONS),
    )
    memory: str = setting(
        "auto",
        "auto takes the fastest mode that fits into the free memory; speed keeps all activations; balanced recomputes "
        "them; low recomputes more of them, in smaller parts.",
        choices=MEMORY_MODES,
    )
    save_every: int = setting(
        200, "Steps between saves of the run; 0 saves it only when it ends or is cancelled. AnimateDiff's.", low=0
    )
    seed: int = setting(
        33, "Seed of the order of the examples, the timesteps and the noise; Tune-A-Video's.", low=0, high=2**63 - 1
    )

    def __post_init__(self) -> None:
        check_settings(self)
        check_size(self.width, self.height)
