"""Causal tracing (Meng et al. 2022, ROME, section 2.1): which hidden states carry a known fact.

The subject's token embeddings are blurred by noise, so that the answer's probability falls. Then one piece of the
clean run is put back: a layer's output at one token, or what a window of layers adds to the residual stream there
(their MLPs, their attention). What the probability gains is that piece's indirect effect.

Same numbers as full forward passes, with less work: a restored run equals the blurred one below the window and, because
attention is causal, before the token where something is put back, so it starts there (`util.editing.restarts`); models
that keep other states than keys and values run all tokens. Tokens before the subject have no effect at all.

Shape letters: F facts, S noise samples, C = F · S blurred rows, R restored rows, T tokens, O hidden size, P positions,
L layers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from experiments.tracing.pieces import ATTENTION, STATE
from experiments.tracing.traced_facts import KnownFact
from util.batching import counted_once, in_batches
from util.editing.restarts import Restarts, goes_on, record
from util.hooks import by_row, capture, frozen, noting_tuples, patch, replaced
from util.likelihood import LOGITS_AT_ONCE, answer_log_likelihoods, answers_in
from util.modeling import attention_modules, decoder_layers, layer_count, module, module_names
from util.progress import progress_bar
from util.tokens import pad


@dataclass(frozen=True, kw_only=True)
class TraceSettings:
    """noise: standard deviation of the blur, in standard deviations of the subjects' embeddings. samples: blurs a fact.
    window: layers whose MLP or attention is put back together. batch_tokens: padded tokens of a batch."""

    noise: float = 3.0
    samples: int = 10
    window: int = 1
    seed: int = 0
    batch_tokens: int = 8192


@dataclass(frozen=True)
class Traced:
    """One fact's probabilities. restored_PL: kind → mean over the samples, per position (rows) and middle layer."""

    fact: KnownFact
    clean: float
    corrupted: float
    restored_PL: Mapping[str, torch.Tensor]
    positions: Sequence[int]


def default_window(model: PreTrainedModel) -> int:
    """A fifth of the depth, as the paper's 10 of GPT-2 XL's 48 layers; at least 1."""
    return max(1, round(layer_count(model) * 10 / 48))


def window(layer: int, size: int, layers: int) -> range:
    """The layers put back together: `size` of them around the middle one, fewer at the ends of the model.

    An even size has one more below the middle than above it, as in ROME's released code.
    """
    start = layer - size // 2
    return range(max(0, start), min(layers, start + size))


def trace(
    model: PreTrainedModel,
    facts: Sequence[KnownFact],
    kinds: Sequence[str],
    settings: TraceSettings,
    *,
    positions: Callable[[KnownFact], Sequence[int]] = KnownFact.traced,
    progress: bool = False,
) -> list[Traced]:
    """Trace each fact at the `positions` asked for. The same facts and seed give the same numbers in any batches.

    Running out of GPU memory halves the batches and goes on.
    """
    layers = layer_count(model)
    total = sum(len(positions(fact)) for fact in facts) * settings.samples * layers * len(kinds)
    # a group's states are kept for all layers at once, so a group takes fewer tokens than a batch
    costs = [len(fact.row.ids) * settings.samples * layers for fact in facts]
    results: dict[int, Traced] = {}
    with (
        torch.no_grad(),
        frozen(model),
        progress_bar(total=total, desc="tracing", unit="run", progress=progress) as bar,
    ):
        tracer = _Tracer(model, facts, kinds, settings, bar)

        def work(group: list[int]) -> list[Traced]:
            with counted_once(bar):
                return tracer.group(group, positions)

        for group, found in in_batches(costs, settings.batch_tokens, work):
            results |= zip(group, found, strict=True)
    return [results[i] for i in range(len(facts))]


@dataclass(frozen=True)
class _Blurred:
    """The blurred runs of a group of facts, S rows each: noise (C, T, E), the states that enter each layer but the
    first (C, T, O), the answer's probability (C,), whether decoder layers return tuples, and what runs can go on from,
    if this model's can."""

    noise: torch.Tensor
    entering: Mapping[int, torch.Tensor]
    probability: torch.Tensor
    as_tuple: bool
    restarts: Restarts | None = None


class _Tracer:
    """A model, its modules of each kind, and how it is traced."""

    def __init__(
        self, model: PreTrainedModel, facts: Sequence[KnownFact], kinds: Sequence[str], settings: TraceSettings, bar
    ):
        self.model, self.facts, self.settings, self.bar = model, facts, settings, bar
        self.layers = decoder_layers(model)
        self.embeddings = model.get_input_embeddings()
        self.modules = {kind: _modules(model, kind) for kind in kinds}
        self.scale = settings.noise * self._subject_deviation()

    def _subject_deviation(self) -> float:
        """Standard deviation of all entries of the embeddings of all subjects' tokens."""
        ids = [token for fact in self.facts for token in fact.row.ids[fact.first : fact.last + 1]]
        return self.embeddings(torch.tensor(ids, device=self.model.device)).float().std().item()

    def group(self, numbers: list[int], positions: Callable[[KnownFact], Sequence[int]]) -> list[Traced]:
        """Clean runs, blurred runs, then the restored runs, kind by kind and layer by layer."""
        facts, samples = [self.facts[i] for i in numbers], self.settings.samples
        clean_F, outputs = self._clean(facts)
        blurred = self._blur(facts, numbers)
        rows = [(f * samples + s, p) for f, fact in enumerate(facts) for s in range(samples) for p in positions(fact)]
        restored_RL = {
            kind: torch.stack(
                [self._restore(facts, outputs, blurred, rows, kind, i) for i in range(len(self.layers))], 1
            )
            for kind in self.modules
        }
        sizes = [samples * len(positions(fact)) for fact in facts]
        by_fact = {kind: found.split(sizes) for kind, found in restored_RL.items()}
        return [
            Traced(
                fact,
                clean_F[f].item(),
                blurred.probability[f * samples : (f + 1) * samples].mean().item(),
                {k: found[f].view(samples, -1, len(self.layers)).mean(0) for k, found in by_fact.items()},
                tuple(positions(fact)),
            )
            for f, fact in enumerate(facts)
        ]

    def _clean(self, facts: list[KnownFact]) -> tuple[torch.Tensor, dict[tuple[str, int], torch.Tensor]]:
        """The answers' probabilities (F,), and every module's output by (kind, layer), (F, T, O)."""
        named = {(kind, i): part for kind, parts in self.modules.items() for i, part in enumerate(parts)}
        with capture(named) as seen:
            probability = self._probability(facts)
        return probability, {name: by_row(output, len(facts)) for name, output in seen.items()}

    def _blur(self, facts: list[KnownFact], numbers: list[int]) -> _Blurred:
        repeated = [fact for fact in facts for _ in range(self.settings.samples)]
        noise = self._noise(facts, numbers)
        with patch(self.embeddings, noise.add):
            restarts = record(self.model, pad([fact.row.ids for fact in repeated], device=self.model.device))
        if restarts is not None and goes_on(self.model, restarts):
            rows = [fact.row for fact in repeated]
            probability = answers_in(self.model, restarts.final_CTO, rows, [0] * len(rows)).exp()
            return _Blurred(noise, restarts.entering, probability, restarts.as_tuple, restarts)
        with (
            noting_tuples(self.layers[0]) as tuples,
            capture(dict(enumerate(self.layers, start=1))) as entering,
            patch(self.embeddings, noise.add),
        ):
            probability = self._probability(repeated)
        return _Blurred(noise, entering, probability, tuples[0])

    def _noise(self, facts: list[KnownFact], numbers: list[int]) -> torch.Tensor:
        """(C, T, E), zero outside the subjects; each fact's own seed, so that batches do not matter."""
        width = max(len(fact.row.ids) for fact in facts)
        weight = self.embeddings.weight
        noise = torch.zeros(len(facts), self.settings.samples, width, weight.shape[1])
        for f, (fact, number) in enumerate(zip(facts, numbers, strict=True)):
            generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + number)
            shape = (self.settings.samples, fact.last + 1 - fact.first, weight.shape[1])
            noise[f, :, fact.first : fact.last + 1] = self.scale * torch.randn(shape, generator=generator)
        return noise.flatten(0, 1).to(weight.device, weight.dtype)

    def _restore(
        self,
        facts: list[KnownFact],
        outputs: Mapping[tuple[str, int], torch.Tensor],
        blurred: _Blurred,
        rows: list[tuple[int, int]],
        kind: str,
        layer: int,
    ) -> torch.Tensor:
        """The answers' probabilities (R,) of the rows (blurred row, position), with one piece put back in each."""
        among = window(layer, 1 if kind == STATE else self.settings.window, len(self.layers))
        owner = [facts[c // self.settings.samples] for c, _ in rows]
        found = torch.zeros(len(rows))

        def work(group: list[int]) -> torch.Tensor:
            width = max(len(owner[i].row.ids) for i in group)
            c, position = torch.tensor([rows[i] for i in group], device=self.model.device).T
            there = torch.zeros_like(position) if blurred.restarts else position
            with ExitStack() as stack:
                if blurred.restarts is None:
                    stack.enter_context(self._blurred_below(among[0], blurred, c, width))
                for i in among:
                    clean = _pick(outputs[kind, i], c // self.settings.samples, position)
                    stack.enter_context(patch(self.modules[kind][i], _put(clean, there)))
                if blurred.restarts is None:
                    return self._probability([owner[i] for i in group]).cpu()
                final = blurred.restarts.suffixes(c, position, among[0]).final(self.model)
            return answers_in(self.model, final, [owner[i].row for i in group], position.tolist()).exp().cpu()

        cuts = [position if blurred.restarts else 0 for _, position in rows]
        costs = [self._cost(fact, cut) for fact, cut in zip(owner, cuts, strict=True)]
        for group, probability in in_batches(costs, self.settings.batch_tokens, work):
            found[group] = probability
            self.bar.update(len(group))
        return found

    def _cost(self, fact: KnownFact, cut: int) -> int:
        """Tokens that a restored run counts for: more than it has where its logits take more room than its states. Of
        the first `cut`, which are not run, there are keys and values."""
        most_rows = max(1, LOGITS_AT_ONCE // self.model.config.get_text_config().vocab_size)
        return max(len(fact.row.ids) - cut + cut // 4, self.settings.batch_tokens // most_rows)

    @contextmanager
    def _blurred_below(self, layer: int, blurred: _Blurred, c: torch.Tensor, width: int) -> Iterator[None]:
        """A forward pass that starts at `layer` with what entered it in the blurred runs `c`."""
        if layer == 0:
            with patch(self.embeddings, _pick(blurred.noise, c)[:, :width].add):
                yield
        else:
            with replaced(self.layers[:layer], _pick(blurred.entering[layer], c)[:, :width], blurred.as_tuple):
                yield

    def _probability(self, facts: Sequence[KnownFact]) -> torch.Tensor:
        return answer_log_likelihoods(self.model, [fact.row for fact in facts]).exp()


def _modules(model: PreTrainedModel, kind: str) -> Sequence[nn.Module]:
    """Per layer, the module whose output is put back; an MLP's is its down-projection's."""
    if kind == STATE:
        return list(decoder_layers(model))
    if kind == ATTENTION:
        return attention_modules(model)
    template = module_names(model)["rewrite_module_tmp"]
    return [module(model, template.format(i)) for i in range(layer_count(model))]


def _pick(states: torch.Tensor, *index: torch.Tensor) -> torch.Tensor:
    """states[index], wherever the states lie."""
    return states[tuple(one.to(states.device) for one in index)]


def _put(clean_RO: torch.Tensor, position_R: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Replaces each row's vector at its position."""

    def change(hidden: torch.Tensor) -> torch.Tensor:
        changed = by_row(hidden, len(clean_RO)).clone()
        rows = torch.arange(len(clean_RO), device=hidden.device)
        changed[rows, position_R.to(hidden.device)] = clean_RO.to(hidden.device)
        return changed.view(hidden.shape)

    return change
