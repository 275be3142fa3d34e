"""The subjects of the second world: twelve creatures and machines, each of which moves in its own way."""

from . import flyers_and_swimmers, large_walkers, looks, machines, small_walkers
from .subject import Head, Look, Subject

__all__ = ["SUBJECTS", "Head", "Look", "Subject"]

SUBJECTS: dict[str, Subject] = {
    "rabbit": Subject(draw=small_walkers.rabbit, random_look=looks.rabbit, height=(74, 84), reach=(0.5, 0.49)),
    "cat": Subject(draw=small_walkers.cat, random_look=looks.cat, height=(53, 59), reach=(0.8, 0.65)),
    "bear": Subject(draw=large_walkers.bear, random_look=looks.bear, height=(56, 61), reach=(0.72, 0.69)),
    "elephant": Subject(draw=large_walkers.elephant, random_look=looks.elephant, height=(53, 58), reach=(0.72, 0.76)),
    "giraffe": Subject(draw=large_walkers.giraffe, random_look=looks.giraffe, height=(76, 84), reach=(0.42, 0.52)),
    "duck": Subject(draw=small_walkers.duck, random_look=looks.duck, height=(57, 63), reach=(0.64, 0.72)),
    "bird": Subject(
        draw=flyers_and_swimmers.bird, random_look=looks.bird, height=(55, 61), reach=(0.68, 0.73), floats=True
    ),
    "fish": Subject(
        draw=flyers_and_swimmers.fish, random_look=looks.fish, height=(53, 59), reach=(0.79, 0.66), floats=True
    ),
    "turtle": Subject(draw=small_walkers.turtle, random_look=looks.turtle, height=(46, 52), reach=(0.84, 0.82)),
    "robot": Subject(draw=machines.robot, random_look=looks.robot, height=(76, 84), reach=(0.49, 0.49)),
    "car": Subject(draw=machines.car, random_look=looks.car, height=(46, 52), reach=(0.82, 0.83)),
    "balloon": Subject(
        draw=machines.balloon, random_look=looks.balloon, height=(76, 84), reach=(0.4, 0.4), floats=True
    ),
}
