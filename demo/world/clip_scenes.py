"""The contents of the clips: for each, the words of its prompt, its scene, its edits, and its path.

A path maps a scene and a time from 0 to 1 to the fields of the scene that change.
"""

import colorsys
import dataclasses
import math

from .world import Scene, Second


def _shade(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(hue / 360, saturation, value)


def _slide(scene, course):
    return {"x": 25 + 46 * course, "y": 48 + 8 * math.sin(2 * math.pi * course)}


def _drop(scene, course):
    return {"x": 36 + 24 * course, "y": 25 + 46 * course**1.5}


def _arc(scene, course):
    return {"x": 25 + 46 * course, "y": 67 - 41 * math.sin(math.pi * course), "rotation": 40 * course}


def _grow(scene, course):
    return {"x": 28 + 35 * course, "y": 68 - 35 * course, "radius": 15 + 6 * course}


def _turn(scene, course):
    return {"x": 71 - 46 * course, "y": 40 + 14 * course, "rotation": 110 * course}


def _behind(scene, course):
    return {"x": 25 + 46 * course, "y": 40 + 6 * course}


def _cross(scene, course):
    second = dataclasses.replace(scene.second, x=82 - 68 * course)
    return {"x": 25 + 46 * course, "y": 64 - 6 * course, "second": second}


def _loop(scene, course):
    angle = 2 * math.pi * (0.8 * course)
    return {"x": 48 - 23 * math.cos(angle), "y": 48 - 22 * math.sin(angle)}


PATHS = {
    "slide": _slide,
    "drop": _drop,
    "arc": _arc,
    "grow": _grow,
    "turn": _turn,
    "behind": _behind,
    "cross": _cross,
    "loop": _loop,
}

# name: (the words of the source prompt, the scene, the edits: the words of each that differ, "" to leave one out)
SOURCES = {
    "slide": (
        {"shape": "circle", "colour": "red", "background": "blue"},
        Scene(
            shape="circle",
            colour="red",
            rgb=_shade(356, 0.80, 0.66),
            background="blue",
            background_rgb=_shade(208, 0.42, 0.90),
            texture="stripes",
            texture_rgb=_shade(208, 0.42, 0.70),
            texture_angle=35,
            texture_period=32,
            radius=17,
            shading=0.2,
            light=220,
        ),
        (
            {"shape": "star"},
            {"colour": "yellow"},
            {"background": "white"},
            {"shape": "square", "colour": "purple"},
            {"shape": "triangle", "colour": ""},
            {"shape": "square", "background": ""},
        ),
    ),
    "drop": (
        {"shape": "square", "colour": "green", "background": "white"},
        Scene(
            shape="square",
            colour="green",
            rgb=_shade(138, 0.85, 0.50),
            background="white",
            background_rgb=(0.97, 0.96, 0.94),
            texture="checker",
            texture_rgb=(0.83, 0.82, 0.80),
            texture_angle=20,
            texture_period=34,
            radius=17,
            rotation=12,
            mark="light",
        ),
        (
            {"colour": "red"},
            {"shape": "circle"},
            {"background": "pink"},
            {"shape": "circle", "background": "black"},
            {"colour": "blue", "shape": ""},
            {"shape": "triangle", "colour": ""},
        ),
    ),
    "arc": (
        {"shape": "star", "colour": "yellow", "background": "black"},
        Scene(
            shape="star",
            colour="yellow",
            rgb=_shade(49, 0.75, 0.85),
            background="black",
            background_rgb=(0.07, 0.07, 0.09),
            texture="stripes",
            texture_rgb=(0.19, 0.19, 0.24),
            texture_angle=120,
            texture_period=30,
            radius=16.5,
            second=Second(shape="circle", rgb=_shade(222, 0.75, 0.95), x=48, y=84, radius=8),
        ),
        (
            {"shape": "circle"},
            {"colour": "red"},
            {"background": "gray"},
            {"shape": "square", "colour": "white"},
            {"background": "green", "colour": ""},
            {"shape": "triangle", "background": ""},
        ),
    ),
    "grow": (
        {"shape": "circle", "background": "gray"},
        Scene(
            shape="circle",
            colour="purple",
            rgb=_shade(282, 0.68, 0.72),
            background="gray",
            background_rgb=(0.53, 0.52, 0.50),
            texture="stripes",
            texture_rgb=(0.40, 0.39, 0.38),
            texture_angle=80,
            texture_period=28,
            radius=15,
            outline="light",
        ),
        (
            {"shape": "square"},
            {"shape": "star"},
            {"colour": "yellow"},
            {"background": "white"},
            {"shape": "triangle", "colour": "red"},
            {"shape": "square", "background": "green"},
        ),
    ),
    "turn": (
        {"shape": "triangle", "background": "pink"},
        Scene(
            shape="triangle",
            colour="blue",
            rgb=_shade(230, 0.85, 0.72),
            background="pink",
            background_rgb=_shade(338, 0.30, 0.95),
            texture="plain",
            radius=17,
            mark="light",
            shading=0.2,
            light=90,
        ),
        (
            {"shape": "square"},
            {"colour": "green"},
            {"background": "white"},
            {"shape": "star", "colour": "red"},
            {"shape": "circle"},
            {"background": "gray", "shape": ""},
        ),
    ),
    "behind": (
        {"shape": "square", "colour": "red", "background": "green"},
        Scene(
            shape="square",
            colour="red",
            rgb=_shade(8, 0.85, 0.95),
            background="green",
            background_rgb=_shade(112, 0.40, 0.62),
            texture="checker",
            texture_rgb=_shade(112, 0.40, 0.46),
            texture_angle=45,
            texture_period=34,
            radius=17,
            outline="dark",
            second=Second(shape="circle", rgb=(0.97, 0.96, 0.93), x=48, y=62, radius=8.5),
        ),
        (
            {"colour": "blue"},
            {"shape": "circle"},
            {"background": "white"},
            {"shape": "star", "colour": "yellow"},
            {"shape": "triangle", "background": "black"},
            {"colour": "purple", "background": ""},
        ),
    ),
    "cross": (
        {"shape": "circle", "colour": "white"},
        Scene(
            shape="circle",
            colour="white",
            rgb=(0.97, 0.95, 0.94),
            background="blue",
            background_rgb=_shade(216, 0.55, 0.62),
            texture="gradient",
            texture_rgb=_shade(216, 0.55, 0.42),
            texture_angle=90,
            radius=17,
            second=Second(shape="square", rgb=_shade(54, 0.9, 0.95), x=82, y=18, radius=8),
        ),
        (
            {"shape": "star"},
            {"colour": "red"},
            {"background": "black"},
            {"shape": "square", "colour": "yellow"},
            {"shape": "triangle"},
            {"shape": "star", "background": "gray"},
        ),
    ),
    "loop": (
        {"colour": "blue", "background": "white"},
        Scene(
            shape="star",
            colour="blue",
            rgb=_shade(215, 0.75, 0.98),
            background="white",
            background_rgb=(0.95, 0.96, 0.98),
            texture="stripes",
            texture_rgb=(0.81, 0.82, 0.84),
            texture_angle=150,
            texture_period=30,
            radius=17,
            rotation=10,
        ),
        (
            {"colour": "red"},
            {"colour": "green"},
            {"shape": "circle"},
            {"background": "pink"},
            {"colour": "purple", "background": "gray"},
            {"shape": "square", "colour": "yellow"},
        ),
    ),
}
