"""What a server's answer at `/object_info` says about a node: its inputs, which are widgets, and their values."""

from __future__ import annotations

from typing import Any

DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", DYNAMIC}
UPLOADS = ("image_upload", "video_upload", "animated_image_upload")
# The page adds a second widget to widgets with these names; it says how the seed changes from run to run.
SEEDS = ("seed", "noise_seed")
# Measured in the page, in its pixels: first in Nodes 2.0, then in the classic renderer.
SLOT_HEIGHT, ROW_HEIGHT, STRING_HEIGHT, TEXT_HEIGHT, LINE_HEIGHT, EDGE = 20, 28, 36, 70, 24, 14
CLASSIC_ROW, CLASSIC_EDGE = 24, 14

Inputs = list[tuple[str, list, bool]]


def list_inputs(definition: dict[str, Any]) -> Inputs:
    """Name and specification of a node's inputs, in order, and whether they are required."""
    return [
        (name, spec, kind == "required")
        for kind in ("required", "optional")
        for name, spec in definition["input"].get(kind, {}).items()
    ]


def type_of(spec: list) -> str:
    """The type of an input; a list of choices is a combo."""
    return "COMBO" if isinstance(spec[0], list) else spec[0]


def options_of(spec: list) -> dict[str, Any]:
    """What a specification holds besides the type."""
    return spec[1] if len(spec) > 1 else {}


def is_widget(spec: list) -> bool:
    """Whether the page shows an input as a widget."""
    return type_of(spec) in WIDGETS and not options_of(spec).get("forceInput")


def choices_of(spec: list) -> list[Any] | None:
    """The choices of a combo; None for other inputs."""
    return spec[0] if isinstance(spec[0], list) else options_of(spec).get("options")


def default_of(spec: list) -> Any:
    """The value that a widget shows at first."""
    choices = choices_of(spec)
    first = choices[0] if choices else ""
    return options_of(spec).get("default", first["key"] if isinstance(first, dict) else first)


def widget_values(inputs: Inputs, given: dict[str, Any]) -> list[Any]:
    """The values of a node's widgets, in order: the given values, else the defaults, even if an input is connected.

    Optional widgets at the end are left out if no value is given: older versions of ComfyUI may not have them.
    """
    widgets = [(name, spec, required) for name, spec, required in inputs if is_widget(spec)]
    while widgets and not widgets[-1][2] and widgets[-1][0] not in given:
        widgets.pop()
    values = []
    for name, spec, _ in widgets:
        value = given.get(name)
        values.append(value if isinstance(value, (str, int, float)) else default_of(spec))
        values += ["fixed"] if name in SEEDS or options_of(spec).get("control_after_generate") else []
    # The upload button is a widget too, the last one.
    return values + ["image"] * any(options_of(spec).get(key) for _, spec, _ in widgets for key in UPLOADS)


def lacks_file(inputs: Inputs, given: dict[str, Any]) -> bool:
    """Whether a value is not among its choices: the user is to put such a file there, or to choose another one."""
    choices = {name: choices_of(spec) for name, spec, _ in inputs}
    return any(choices[name] is not None and value not in choices[name] for name, value in given.items())


def node_height(inputs: Inputs, num_outputs: int, *, is_ours: bool, lacks_file: bool) -> int:
    """The height, without its title, of a node that shows its sockets and widgets, in the higher of two renderers.

    Nodes 2.0 also writes the pack's name on nodes that are not ComfyUI's own, and an error on those that lack a file.
    """
    sockets = SLOT_HEIGHT * max(sum(not is_widget(spec) for _, spec, _ in inputs), num_outputs, 1)
    widgets = [spec for _, spec, _ in inputs if is_widget(spec)]
    rows = sum(widget_height(spec) for spec in widgets)
    classic = sockets + sum(TEXT_HEIGHT if is_long_text(spec) else CLASSIC_ROW for spec in widgets)
    return max(EDGE + sockets + rows + LINE_HEIGHT * (is_ours + lacks_file), CLASSIC_EDGE + classic)


def is_long_text(spec: list) -> bool:
    return bool(options_of(spec).get("multiline"))


def widget_height(spec: list) -> int:
    """The height of a widget in Nodes 2.0."""
    if is_long_text(spec):
        return TEXT_HEIGHT
    return STRING_HEIGHT if type_of(spec) == "STRING" else ROW_HEIGHT
