"""Load a causal language model and reach its parts."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import is_accelerate_available
from transformers.utils.logging import disable_progress_bar

from util import choices, gguf_models, paths
from util.anatomy import down_projections
from util.choices import WORLD
from util.errors import UserError
from util.forward import check_logits, decoder

DTYPES = {name: getattr(torch, name, name) for name in choices.DTYPES}


def resolve_device(name: str = "auto") -> torch.device:
    """``auto``: CUDA when present, else the CPU. Raises UserError for a device this machine does not have."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name!r} is no device that this works on; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {name}: this machine has no CUDA device; use --device cpu (or auto)")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: only {torch.cuda.device_count()} CUDA device(s) here; use cuda:0 or auto")
    return device


def load(
    model_name: str = WORLD,
    model_path_dir: str | os.PathLike | None = None,
    device: str = "auto",
    dtype: str = "float32",
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model (eval mode, on `device`, in `dtype`) and its fast tokenizer.

    model_name: the embedded model, a folder, a folder's name under `model_path_dir` or models/, or a hub id.
    safetensors only, or a GGUF file, whose weights are dequantised; no code of the checkpoint is ever run. dtype
    ``auto`` keeps the checkpoint's own.
    With device ``auto`` a model that does not fit the GPU is spread over all GPUs (needs accelerate).
    Raises UserError when the weights are missing or do not fit, for a GGUF file of which a part would be left out, and
    for a model that is not read as it reads itself (see `check_logits`).
    """
    if dtype not in DTYPES:
        raise UserError(f"--dtype {dtype!r}; use one of {', '.join(DTYPES)}")
    target = resolve_device(device)
    source = find_source(model_name, model_path_dir)
    disable_progress_bar()  # of the weights' loading, whatever --quiet and the terminal
    place, file, quantization = gguf_models.reading(source)
    options = {"dtype": DTYPES[dtype], "trust_remote_code": False, "use_safetensors": True, **file, **quantization}
    failures: tuple[type[Exception], ...] = (OSError, SafetensorError, ValueError, ImportError)
    failures += gguf_models.broken(source)
    try:
        model, unexpected = _read(place, options)
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, use_fast=True, **file)
    except failures as error:
        raise UserError(_unusable(source, error)) from error
    gguf_models.refuse_left_out(source, model, unexpected)
    try:
        model = gguf_models.unmarked(model).to(target).eval()
    except torch.OutOfMemoryError as error:
        if device != "auto":
            raise UserError(
                f"model {model_name!r} does not fit {target} in {dtype}; "
                "use --dtype bfloat16, or --device auto to spread it over all GPUs"
            ) from error
        del model
        torch.cuda.empty_cache()
        model = gguf_models.unmarked(_spread(place, options)).eval()
    check_logits(model)
    return model, tokenizer


def _read(source: str, options: dict) -> tuple[PreTrainedModel, set[str]]:
    """The model, and the names of weights that it has no parameter for.

    ValueError where weights lack or do not fit, which transformers would draw at random.
    """
    options = options | {"output_loading_info": True, "ignore_mismatched_sizes": True}
    model, found = AutoModelForCausalLM.from_pretrained(source, **options)
    unfit = sorted({*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])})
    if unfit:
        raise ValueError(f"{len(unfit)} weights are missing or not of config.json's shapes, such as {unfit[0]}")
    return model, found["unexpected_keys"]


def _spread(source: str, options: dict) -> PreTrainedModel:
    """The model over all GPUs of this machine; nothing goes to the CPU or the disk, where weights cannot be edited."""
    if not is_accelerate_available():
        raise UserError(f"model {source!r} does not fit one GPU; install accelerate (requirements-extra.txt)")
    model = AutoModelForCausalLM.from_pretrained(source, device_map="auto", **options)
    elsewhere = {str(place) for place in model.hf_device_map.values()} & {"cpu", "disk"}
    if elsewhere:
        raise UserError(f"model {source!r} does not fit this machine's GPUs together; use --dtype bfloat16")
    return model


def find_source(model_name: str, model_path_dir: str | os.PathLike | None) -> str:
    """The model's folder or GGUF file, or its hub id where none was named. UserError when a folder lacks its files."""
    folder = paths.model_dir(model_name, model_path_dir)
    if folder and (file := gguf_models.gguf_file(folder)):
        return str(file)
    if folder is None and model_path_dir:
        raise UserError(
            f"the weights of model {model_name!r} are missing: there is no folder {Path(model_path_dir) / model_name}; "
            "put its config.json, *.safetensors and tokenizer.json there, or correct --model_path_dir"
        )
    missing = [name for name in ("config.json", "*.safetensors") if folder and not any(folder.glob(name))]
    if missing:
        raise UserError(
            f"the weights of model {model_name!r} are missing: {folder} has no {' and no '.join(missing)}; "
            "put its config.json, *.safetensors and tokenizer.json there, or correct --model_name"
        )
    return str(folder or model_name)


def _unusable(source: str, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if source.endswith(paths.GGUF):
        return f"GGUF file {source} cannot be read ({reason}); name another one, or a folder of safetensors"
    if Path(source).is_dir():
        needed = "it needs config.json, *.safetensors and tokenizer.json"
        return f"model folder {source} is not complete ({reason}); {needed}"
    return (
        f"model {source!r} is no folder and the hub gave nothing ({reason}); name its parent folder with "
        f"--model_path_dir, or leave --model_name out to use the embedded model {WORLD!r}"
    )


def module(model: nn.Module, name: str) -> nn.Module:
    """The submodule of that dotted name; UserError when the model has none such."""
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise UserError(
            f"model {type(model).__name__} has no module {name!r}; "
            "correct the *_module* names or the layers in the hparams"
        ) from error


def layer_count(model: PreTrainedModel) -> int:
    """Number of decoder layers."""
    return model.config.get_text_config().num_hidden_layers


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The list of decoder layers, whatever the family calls it; of a multimodal model those that read text."""
    count = layer_count(model)
    for candidate in decoder(model).modules():
        if isinstance(candidate, nn.ModuleList) and len(candidate) == count:
            return candidate
    raise UserError(f"model {type(model).__name__} has no list of {count} decoder layers; this family is not supported")


def refuse_unfit(model: PreTrainedModel) -> None:
    """UserError for a mixture of experts, and for OPT-350m, which norms the residual stream itself after the MLP."""
    config = model.config.get_text_config()
    if not getattr(config, "do_layer_norm_before", True):
        raise UserError(
            f"this {type(model).__name__} norms the residual stream after the MLP, so that what is written to a layer "
            "does not pass on as it is; use a size with do_layer_norm_before"
        )
    if any(getattr(config, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        raise UserError(
            f"{type(model).__name__} is a mixture of experts: each sees only some of the tokens, so a layer has no "
            "single down-projection to edit; use a dense model"
        )


def module_names(model: PreTrainedModel) -> dict[str, str]:
    """What a model calls the parts that hparams name: ``rewrite_module_tmp`` (the down-projection of a layer's MLP),
    ``layer_module_tmp``, ``ln_f_module`` and ``lm_head_module``.

    The down-projection is told by what it does (see `down_projections`), the final norm is the last norm beside the
    list of layers. Raises UserError when a part is not to be found, or not in every layer, and for a mixture of
    experts.
    """
    refuse_unfit(model)
    layers = decoder_layers(model)
    name_of = {part: name for name, part in model.named_modules()}
    stack = name_of[layers]
    beside = module(model, stack.rpartition(".")[0]).children()
    norms = [child for child in beside if "Norm" in type(child).__name__]
    head = model.get_output_embeddings()
    down = down_projections(model, list(layers)) if norms and head is not None else []
    lacking = [i for i, name in enumerate(down) if name is None or name != down[0]]
    if lacking or not down:
        part = f"down-projection in layer {lacking[0]}" if lacking else "head" if norms else "final norm"
        raise UserError(f"no {part} can be told from the modules of {type(model).__name__}; write the hparams by hand")
    return {
        "rewrite_module_tmp": f"{stack}.{{}}.{down[0]}",
        "layer_module_tmp": f"{stack}.{{}}",
        "ln_f_module": name_of[norms[-1]],
        "lm_head_module": name_of[head],
    }


def _is_attention(part: nn.Module) -> bool:
    return "Attention" in type(part).__name__


def attention_modules(model: PreTrainedModel) -> list[nn.Module]:
    """The attention module of every decoder layer. Raises UserError for a layer without one."""
    found = []
    for i, layer in enumerate(decoder_layers(model)):
        attention = next((part for part in layer.modules() if _is_attention(part)), None)
        if attention is None:
            raise UserError(f"layer {i} of {type(model).__name__} has no attention module; leave attention out")
        found.append(attention)
    return found


def usual_target_layer(model: PreTrainedModel) -> int:
    """Where published settings put the last edited layer, as a share of the depth: a guess for want of a trace.

    0.65 for Llama 3 (21 of 32, 18 of 28), 0.3 for Qwen3 (11 of 36); other families are taken to be like Llama. Never
    the model's last layer, above which nothing could carry an edit to the prompt's end.
    """
    share = 0.3 if model.config.get_text_config().model_type.startswith("qwen3") else 0.65
    return max(0, min(round(share * layer_count(model)), layer_count(model) - 2))


def max_length(model: PreTrainedModel, limit: int) -> int:
    """Tokens of a text that are read: the model's positions, at most `limit`."""
    return min(limit, getattr(model.config.get_text_config(), "max_position_embeddings", limit) or limit)


def fits(model: PreTrainedModel, tokens: int) -> bool:
    """Whether the model has positions for a text of so many tokens."""
    return max_length(model, tokens) == tokens


def check_fits(model: PreTrainedModel, text: str, tokens: int) -> None:
    """UserError for a text that, with what is to follow it, has more tokens than the model has positions."""
    if not fits(model, tokens):
        raise UserError(
            f"the text {text[:60]!r}... (and its answer) has {tokens} tokens, the model {max_length(model, tokens)} "
            "positions; "
            "shorten the text or leave its record out"
        )


def default_batch_tokens(model: PreTrainedModel) -> int:
    """Padded tokens of one batch when the user names none: what a machine of that kind takes with ease."""
    return 65536 if model.device.type == "cuda" else 16384


def default_reading_tokens(model: PreTrainedModel) -> int:
    """The same for texts that are read once and of which little is kept: few on a CPU, for its caches."""
    return default_batch_tokens(model) if model.device.type == "cuda" else 2048
