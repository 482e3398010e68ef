"""The facts of a data set that a model knows: looked for once per model, and kept under everything that decides it."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Dataset, Record
from experiments.measuring.knowledge import KNOWLEDGE_VERSION, Verdict, at_most_per_relation, judge, known_records
from experiments.running.identity import key
from experiments.running.settings import ModelSettings
from experiments.running.versions import scoring_versions
from experiments.tracing import suggesting
from experiments.tracing.traced_facts import KnownFact, as_fact, known_facts
from util import paths
from util.files import locked
from util.modeling import default_reading_tokens
from util.request import Frame
from util.runs import Stopwatch, check_writable, stages, write_json
from util.tokens import tokenizer_hash
from util.weights import model_hash

PLAIN = Frame()

log = logging.getLogger("zerounlearn")


@dataclass(frozen=True)
class Knower:
    """An unedited model with its fingerprints. batch_tokens: of a batch that is only scored. frame: what stands around
    the records' texts. told: whether a search is a line of the log, where no bar shows how far it is."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    model_hash: str
    tokenizer_hash: str
    batch_tokens: int
    frame: Frame = Frame()
    told: bool = False

    def chosen(
        self, dataset: Dataset, level: str, max_per_relation: int | None, data_dir: str | None, *, progress: bool
    ) -> Dataset:
        """The data set with the facts of that level alone, and of each relation the first so many of them.

        At another level than "any" neighbours are known ones, too, and the order is drawn (see `known_records`). Raises
        UserError where no fact is left.
        """
        records: list[Record] = dataset.records
        if level != "any":
            verdict = self.verdict(dataset, level, data_dir, progress=progress)
            records = known_records(records, verdict, level)
            log.info("%s: %d of %d facts are known (%s)", dataset.name, len(records), len(dataset.records), level)
        if max_per_relation is not None:
            records = at_most_per_relation(records, max_per_relation)
        chosen = {record.case_id for record in records}  # known ones are copies, with other neighbours
        spare = tuple(one for one in dataset.records if one.case_id not in chosen)
        return replace(dataset, records=records, spare=spare)

    def verdict(self, dataset: Dataset, level: str, data_dir: str | None, *, progress: bool) -> Verdict:
        """Which facts are known, read from ``<data_dir>/known`` where an earlier process found out.

        A strict verdict holds the other, too, and serves for both. Raises UserError where nothing can be written there.
        """
        kept = [self._path(dataset, one, data_dir) for one in dict.fromkeys((level, "strict"))]
        for path in kept:
            if path.is_file():
                return _read(path)
        check_writable(kept[0].parent, "--data_dir")
        with locked(kept[0]):
            if kept[0].is_file():  # another process may have found out while this one waited
                return _read(kept[0])
            model, tokens, watch = self.model, self.batch_tokens, Stopwatch(told=self.told)
            if self.told:
                stages.info("%s: looking for what the model knows of %d facts", dataset.name, len(dataset.records))
            with watch.stage("known facts"):
                verdict = judge(model, self.tokenizer, dataset.records, level, batch_tokens=tokens, progress=progress)
            write_json(kept[0], {"decided_by": self._decides(dataset, level), **verdict.to_json()})
        return verdict

    def to_trace(
        self,
        dataset: Dataset,
        drawn: Sequence[Record],
        limit: int,
        data_dir: str | None,
        *,
        whole_answer: bool = False,
        progress: bool,
    ) -> tuple[list[KnownFact], int]:
        """`known_facts` among these records of the data set, kept as verdicts are.

        Raises UserError where nothing can be written there.
        """
        what = {"limit": limit, "whole_answer": whole_answer, "drawn": [record.case_id for record in drawn]}
        decides = self._decides(dataset, "traced") | what
        path = self._kept(dataset, decides, data_dir)
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            wanted = set(found["case_ids"])
            records = [record for record in drawn[: found["tried"]] if record.case_id in wanted]
            return [as_fact(self.tokenizer, record, whole_answer) for record in records], found["tried"]
        check_writable(path.parent, "--data_dir")
        facts, tried = known_facts(
            self.model,
            self.tokenizer,
            drawn,
            limit,
            whole_answer=whole_answer,
            batch_tokens=self.batch_tokens,
            progress=progress,
        )
        case_ids = [fact.case_id for fact in facts]
        write_json(path, {"decided_by": decides, "case_ids": case_ids, "tried": tried})
        return facts, tried

    def layers(
        self, dataset: Dataset, seed: int, data_dir: str | None, *, batch_tokens: int | None, progress: bool
    ) -> tuple[list[int], str]:
        """`suggesting.traced_layers` of the model on facts of the data set; which of them it knows is kept.

        batch_tokens: of the trace's runs.
        """
        among = suggesting.drawn(dataset.records, seed)
        facts, tried = self.to_trace(dataset, among, suggesting.TRACED, data_dir, progress=progress)
        return suggesting.traced_layers(
            self.model,
            self.tokenizer,
            among,
            facts,
            tried,
            seed=seed,
            batch_tokens=batch_tokens,
            progress=progress,
        )

    def _path(self, dataset: Dataset, level: str, data_dir: str | None) -> Path:
        return self._kept(dataset, self._decides(dataset, level), data_dir)

    def _kept(self, dataset: Dataset, decides: dict[str, object], data_dir: str | None) -> Path:
        name = f"{dataset.name}-{decides['level']}-{key(decides)[:16]}.json"
        return paths.data_dir(data_dir) / "known" / name

    def _decides(self, dataset: Dataset, level: str) -> dict[str, object]:
        """dtype and device are left out where the model's hash does not tell them: they round, as everywhere."""
        return {
            "level": level,
            "model": self.model_hash,
            "tokenizer": self.tokenizer_hash,
            "data": dataset.digest,
            "metric": dataset.metric,
            "records": len(dataset.records),
            "frame": asdict(self.frame),
            "code": scoring_versions() | {"knowledge": KNOWLEDGE_VERSION},
        }


def known_by(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: ModelSettings, frame: Frame = PLAIN
) -> Knower:
    """The Knower of a script's model."""
    batch_tokens = settings.batch_tokens or default_reading_tokens(model)
    told = not settings.quiet and not settings.progress
    return Knower(model, tokenizer, model_hash(model), tokenizer_hash(tokenizer), batch_tokens, frame, told)


def _read(path: Path) -> Verdict:
    return Verdict.from_json(json.loads(path.read_text(encoding="utf-8")))
