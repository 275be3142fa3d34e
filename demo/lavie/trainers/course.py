"""What all trainings of the cascade share: steps within a budget, a moving average, and a state that resumes."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Sequence

import torch
from einops import reduce
from torch import Tensor, nn

from ...creatures.trainers.device import DEVICE, prepare_device
from ...trainers.common import Log, save_state, set_learning_rate
from .schedules import LossWeights
from .settings import CACHE, LOG, SEED

WARM_UP, COOL_DOWN = 100, 0.65
EMA_DECAY = 0.995
# Standard deviations of what a sampler's errors do to its noise, see `noise_for`: to its strength, to the mean of each
# channel, and to each place of a clip in all frames alike.
STRENGTH_SPREAD, OFFSET, SHARED = 0.15, 0.1, 0.2
# A GPU takes so many times the examples in hardly more time.
AT_ONCE = 4 if DEVICE.type == "cuda" else 1
# Pixels of latents along the side of a cell, whose mean tells the layout, see `error_of`.
CELL = 4
LOG_EVERY, SAVE_SECONDS = 50, 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a training may take: it ends at whichever of the two comes first.

    Args:
        steps: optimizer steps, in all runs together.
        seconds: of the clock, in this run.
    """

    steps: int
    seconds: float

    def share(self, step: int, before: float, seconds: float) -> float:
        """How much of it is used up, 1 at the end.

        Args:
            step: steps done.
            before, seconds: that earlier runs took, and this one so far.
        """
        return max(step / self.steps, (before + seconds) / (before + self.seconds))


def rate_at(step: int, share: float, peak: float) -> float:
    """The learning rate: a warm-up, then constant, and from `COOL_DOWN` of the budget on a line to zero."""
    return peak * min(1.0, (step + 1) / WARM_UP, max(0.0, 1 - share) / (1 - COOL_DOWN))


class Function(nn.Module):
    """A network under the signature of a recorded graph: tensors in, one tensor out."""

    def __init__(self, call: Callable[..., Tensor], net: nn.Module) -> None:
        super().__init__()
        self.call, self.net = call, net

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.call(*inputs)


class Recorded:
    """Calls a network by a graph that is recorded once for each shape of inputs.

    Networks as small as these spend most of a step on launching their kernels. On a CPU, and where a graph cannot be
    recorded, the network is called as it is.

    Args:
        call: a function of tensors that calls the network once.
        net: the network, whose parameters the graph refers to.
    """

    def __init__(self, call: Callable[..., Tensor], net: nn.Module) -> None:
        self.call, self.net = call, net
        self.graphs: dict[tuple[torch.Size, ...], Callable[..., Tensor]] = {}
        self.possible = DEVICE.type == "cuda"

    def __call__(self, *inputs: Tensor) -> Tensor:
        shapes = tuple(part.shape for part in inputs)
        if self.possible and shapes not in self.graphs:
            self.record(shapes, inputs)
        return self.graphs.get(shapes, self.call)(*inputs)

    def record(self, shapes: tuple[torch.Size, ...], inputs: tuple[Tensor, ...]) -> None:
        """Records a graph; if that fails, no further one is tried."""
        samples = tuple(part.detach().clone() for part in inputs)
        try:
            self.graphs[shapes] = torch.cuda.make_graphed_callables(
                Function(self.call, self.net), samples, allow_unused_input=True
            )
        except RuntimeError as error:
            print(f"no graph, so slower: {error}", flush=True)
            torch.cuda.synchronize()
            self.possible = False


class Course:
    """A training: a network, its moving average and optimizer, with a state on disk.

    Args:
        name: of its state file and in the log.
        net: what is trained; on a resume, its weights come from the state.
        loss: the loss of a step, given its number. All its random numbers come from the seed that is set before.
        budget, peak: how long it lasts, and the highest learning rate.
        every: steps between rows of the log.
        seed: of the draws.
    """

    def __init__(
        self,
        name: str,
        net: nn.Module,
        loss: Callable[[int], Tensor],
        *,
        budget: Budget,
        peak: float,
        every: int = LOG_EVERY,
        seed: int = SEED,
    ) -> None:
        self.name, self.net, self.loss, self.budget, self.peak = name, net, loss, budget, peak
        self.every, self.seed = every, seed
        self.trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.average = [parameter.detach().clone() for parameter in self.trained]
        self.optimizer = torch.optim.AdamW(self.trained, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
        self.path = CACHE / f"{name.replace(' ', '_')}_state.pt"
        self.step, self.spent = 0, 0.0
        if self.path.exists():
            self.load()

    def load(self) -> None:
        """Takes up the training where it stopped."""
        state = torch.load(self.path, weights_only=True, map_location=DEVICE)
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step, self.spent = state["average"], state["step"], state["spent"]

    def save(self) -> None:
        """Writes the state."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        parts = {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), "average": self.average}
        save_state(self.path, {**parts, "step": self.step, "spent": self.spent})

    def run(self) -> None:
        """Takes the steps that are left in the budget. The state is saved now and then, and however this ends."""
        log, first, losses = Log(self.name, self.budget.steps, LOG), self.step, []
        before, began, saved = self.spent, time.monotonic(), time.monotonic()
        try:
            while (share := self.budget.share(self.step, before, self.spent - before)) < 1:
                losses.append(self.train_step(rate_at(self.step, share, self.peak)))
                if self.step % self.every == 0:
                    loss, losses = float(torch.stack(losses).mean()), []
                    log.write(self.step, first=first, loss=loss)
                self.spent = before + time.monotonic() - began
                if time.monotonic() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
        finally:
            self.save()

    def train_step(self, rate: float) -> Tensor:
        """One optimizer step; returns its loss. A step draws the same numbers whenever it is run."""
        torch.manual_seed(self.seed + self.step)
        set_learning_rate(self.optimizer, rate)
        loss = self.loss(self.step)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [parameter.detach() for parameter in self.trained], 1 - decay)
        return loss.detach()

    @torch.no_grad()
    def averaged(self) -> nn.Module:
        """A copy of the network with the moving average's weights."""
        twin = copy.deepcopy(self.net)
        kept = [parameter for parameter in twin.parameters() if parameter.requires_grad]
        for parameter, average in zip(kept, self.average, strict=True):
            parameter.copy_(average)
        return twin.eval()


def noise_for(clean: Tensor) -> Tensor:
    """Noise for clips, `n c f h w`, with errors such as a sampler makes.

    Such errors are the same over a picture, or in all frames: the noise is too strong or too weak, or has another mean.
    Independent noise hardly ever has them: over 61 frames of 12 x 12, a mean differs from 0 by .01. A network that has
    seen no others takes such a mean for the picture's, and then the error grows with every step.
    """
    strength = 1 + STRENGTH_SPREAD * torch.randn_like(clean[:, :1, :1, :1, :1])
    means = OFFSET * torch.randn_like(clean[:, :, :1, :1, :1])
    return strength * torch.randn_like(clean) + means + SHARED * torch.randn_like(clean[:, :, :1])


def error_of(predicted: Tensor, noise: Tensor, weights: LossWeights, timesteps: Tensor) -> Tensor:
    """The weighted squared error of each frame of clips `n c f h w`, with that of a coarse picture beside it: `n f`.

    What a small network gets wrong of each pixel's noise is noise itself, and averages out over a cell. What is left
    there is what it gets wrong of colors, layout and motion: of all errors, these grow most from step to step of a
    sampler. Norms hide them, too: they take means away.
    """
    error = predicted - noise
    coarse = reduce(error, "n c f (h y) (w x) -> n c f h w", "mean", y=CELL, x=CELL)
    fine, rough = (part.square().mean((1, 3, 4)) for part in (error, coarse))
    return fine * weights.fine[timesteps, None] + rough * weights.coarse[timesteps, None]


def in_turn(step: int, plan: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    """How long the windows of a step are, and how many it has.

    Args:
        plan: lengths, numbers, and how often each pair has its turn; short windows teach more per second.
    """
    turns = [(length, count) for length, count, times in plan for _ in range(times)]
    # Neighbouring steps differ, because 5 divides the length of no plan here.
    assert math.gcd(5, len(turns)) == 1
    return turns[step * 5 % len(turns)]


def pick(count: int, among: int) -> Tensor:
    """Random numbers below `among`, `count`, drawn on the device: a copy to a GPU would wait for the step before."""
    return torch.randint(among, (count,), device=DEVICE)


def pick_texts(
    texts: tuple[Tensor, Tensor], chosen: Tensor, *, no_text: int, share: float = 0.1, backwards: Tensor | None = None
) -> Tensor:
    """Embeddings of one caption of each chosen example, float32 `n 77 c`.

    Args:
        texts: what `embed_captions` gives, on the device.
        no_text: how many of the first texts stand for no caption; a `share` of the examples gets one of these.
        backwards: for clips, which have captions for both directions of time: whether each is played backwards, `n`.
    """
    table, rows = texts
    if backwards is None:
        columns = torch.randint(rows.shape[1], chosen.shape, device=DEVICE)
    else:
        half = rows.shape[1] // 2
        columns = torch.randint(half, chosen.shape, device=DEVICE) + half * backwards.long()
    index = rows[chosen, columns]
    nothing = torch.randint(no_text, chosen.shape, device=DEVICE)
    return table[torch.where(torch.rand(chosen.shape, device=DEVICE) < share, nothing, index)].float()


def start(net: nn.Module) -> nn.Module:
    """A network on the device, ready to be trained."""
    prepare_device()
    for parameter in net.to(DEVICE).parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net.train()


def to_device(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors on the trainers' device."""
    return tuple(tensor.to(DEVICE) for tensor in tensors)
