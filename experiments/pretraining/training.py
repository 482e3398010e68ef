"""The training loop of the embedded model: loss, optimisers, and a state file to go on from."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from dsets import world
from experiments.pretraining.batches import Sequence, epoch_batches, subject_masks
from experiments.pretraining.model import PAD_ID, new_model
from experiments.pretraining.pretrain_settings import PretrainSettings
from util.errors import UserError
from util.files import atomically
from util.runs import stages


def loss_of(model: LlamaForCausalLM, batch: list[Sequence], border: int, device: torch.device) -> Tensor:
    """Mean next-token negative log-likelihood, in nats, with the subject mask where the sequence asks for it."""
    length = max(len(sequence.ids) for sequence in batch)
    ids = torch.full((len(batch), length), PAD_ID)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
    ids = ids.to(device)
    below, above = subject_masks(batch, length, device)
    with torch.autocast(device.type, torch.bfloat16):
        hidden = model.model.embed_tokens(ids)
        rope = model.model.rotary_emb(hidden, position_ids=torch.arange(length, device=device).unsqueeze(0))
        for index, layer in enumerate(model.model.layers):
            mask = below if index < border else above
            hidden = layer(hidden, attention_mask=mask, position_embeddings=rope)
        target = ids[:, 1:]
        real = target != PAD_ID
        logits = model.lm_head(model.model.norm(hidden[:, :-1][real]))
    return functional.cross_entropy(logits.float(), target[real])


def optimizers(model: LlamaForCausalLM, settings: PretrainSettings) -> dict[str, torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings and norms."""
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    others = [weight for weight in model.parameters() if not any(weight is matrix for matrix in matrices)]
    return {
        "muon": torch.optim.Muon(matrices, lr=settings.matrix_lr, weight_decay=settings.weight_decay),
        "adamw": torch.optim.AdamW(others, lr=settings.other_lr, betas=(0.9, 0.95), weight_decay=0.0),
    }


def rate(step: int, settings: PretrainSettings) -> float:
    """Factor on the learning rates: 1, then linearly towards 0 at the last step."""
    start = settings.constant * settings.steps
    return min(1.0, (settings.steps - step) / (settings.steps - start)) if start < settings.steps else 1.0


@dataclass(kw_only=True)
class Progress:
    """Steps done, and the seconds they took in all."""

    step: int = 0
    seconds: float = 0.0


def save_state(path: Path, model: LlamaForCausalLM, parts: dict, run: dict[str, str], progress: Progress) -> None:
    """Weights, optimiser state, what determines the run, and how far it is in one safetensors file, atomically."""
    tensors = {f"model/{name}": weight.detach().clone() for name, weight in model.named_parameters()}
    for part, optimizer in parts.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{part}/{index}/{key}": value.clone() for key, value in state.items()}
    with atomically(path) as temporary:
        save_file(tensors, temporary, metadata=run | {"progress": json.dumps(asdict(progress))})


def load_state(path: Path, model: LlamaForCausalLM, parts: dict, run: dict[str, str]) -> Progress:
    """Puts everything back and says how far it is. Raises UserError if the file is from another run."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        if {name: metadata.get(name) for name in run} != run:
            raise UserError(f"{path} is from a run with other settings; use the same settings, or delete the file")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(tensors[f"model/{name}"])
    for part, optimizer in parts.items():
        content = optimizer.state_dict()
        content["state"] = _state_of(part, tensors)
        optimizer.load_state_dict(content)
    return Progress(**json.loads(metadata["progress"]))


def _state_of(part: str, tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        owner, *rest = name.split("/")
        if owner == part:
            state.setdefault(int(rest[0]), {})[rest[1]] = value
    return state


def train(
    settings: PretrainSettings,
    tokenizer: PreTrainedTokenizerFast,
    known: world.World,
    state_path: Path,
    device: torch.device,
    *,
    save_every: int = 200,
    stop_after: int | None = None,
) -> tuple[LlamaForCausalLM, float]:
    """The trained model (float32, on `device`) and the seconds that it took, going on from `state_path` if it is there.

    stop_after: leave off at this step, with the state saved.
    """
    model = new_model(settings, len(tokenizer)).to(device)
    parts = optimizers(model, settings)
    run = {"settings": json.dumps(asdict(settings)), "world": known.digest()}
    progress = load_state(state_path, model, parts, run) if state_path.exists() else Progress()
    started = time.perf_counter() - progress.seconds
    last = settings.steps if stop_after is None else min(stop_after, settings.steps)
    with tqdm(
        total=settings.steps, initial=progress.step, desc="training", unit="step", mininterval=2.0, disable=None
    ) as bar:
        for step, batch in _steps(settings, tokenizer, known, progress.step, last):
            loss = loss_of(model, batch, settings.border, device)
            loss.backward()
            for name, optimizer in parts.items():
                full = settings.matrix_lr if name == "muon" else settings.other_lr
                for group in optimizer.param_groups:
                    group["lr"] = full * rate(step, settings)
                optimizer.step()
                optimizer.zero_grad()
            bar.update()
            if step % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
            if (step + 1) % save_every == 0 or step + 1 == last:
                progress = Progress(step=step + 1, seconds=time.perf_counter() - started)
                save_state(state_path, model, parts, run, progress)
                _tell(progress, settings.steps)
    return model, progress.seconds


def _tell(progress: Progress, steps: int) -> None:
    """A plain line for each saved state, since a bar is for a terminal only."""
    left = progress.seconds / progress.step * (steps - progress.step)
    stages.info("training: step %d of %d saved, about %.0f min left", progress.step, steps, left / 60)


def _steps(
    settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast, known: world.World, done: int, last: int
) -> Iterator[tuple[int, list[Sequence]]]:
    """(step, batch) for the steps done … last - 1; an epoch's batches depend on the seed and its number only."""
    step = epoch = 0
    while done < last and step < last:
        batches = epoch_batches(settings, tokenizer, known, epoch)
        for batch in batches[: last - step]:
            if step >= done:
                yield step, batch
            step += 1
        epoch += 1
