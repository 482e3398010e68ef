"""Everything that a model says of a subject: facts of a data set about it, and its own answers in built-in forms."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Record
from dsets.real.wordings import read_wordings
from dsets.record import relation
from dsets.world.relations import RELATIONS
from experiments.measuring.generation import generate_texts
from experiments.requests.asking.wanted import Wanted
from util.invented import invented_names
from util.standing import standings

INVENTED = tuple(invented_names(6))
"""Subjects that do not exist: what is said of them too, or said of somebody no more surely than something else of them,
is no knowledge of a subject."""
LEAST_PROBABILITY = 0.2
"""Of an answer in a built-in form: below it the model guesses."""
NEW_TOKENS, MOST_WORDS = 12, 5
ENDS = '.,;:!?\n()"“”'
"""What an answer ends before."""
UNFINISHED = frozenset("a an the of in on at to for from with by as and or that which who is was are were be".split())
"""Words that no answer ends with: the model goes on to something else than a name."""
MORE_WORDINGS = 4


@dataclass(frozen=True)
class Form:
    """A relation's sentences with ``{}``: the first is asked, the others are its paraphrases."""

    relation: str
    templates: tuple[str, ...]


def forms(world: bool) -> list[Form]:
    """The built-in prompt forms: of the embedded world's relations, or of the shipped real facts'."""
    if world:
        return [Form(one.name, one.templates) for one in RELATIONS]
    return [Form(one.name, tuple(text.replace("a(n)", "a") for text in one.templates)) for one in read_wordings()]


@dataclass(frozen=True, kw_only=True)
class Asker:
    """A model that is asked what it says. facts: of the named data set. batch_tokens: of a generated batch."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    facts: Sequence[Record]
    world: bool
    batch_tokens: int
    progress: bool = False

    def facts_wanted(self, wanted: Sequence[Wanted]) -> dict[int, tuple[Record, ...]]:
        """Place in `wanted` → the facts it is about; () where the model says nothing of its own about the subject."""
        asked = {place: self._forms(one) for place, one in enumerate(wanted) if not _told(one)}
        answers = self._said({(form, wanted[place].subject) for place, some in asked.items() for form in some})
        found: dict[int, tuple[Record, ...]] = {}
        for place, one in enumerate(wanted):
            if told := _told(one):
                found[place] = told
                continue
            listed = [] if one.prompt else self._listed(one.subject)
            own = [
                _record(form, one, answers[form, one.subject])
                for form in asked[place]
                if answers.get((form, one.subject))
            ]
            records = [*listed, *own]
            named = [replace(record, case_id=f"{one.id}/{number}") for number, record in enumerate(records, 1)]
            found[place] = tuple(named if not one.prompt else records)
        return found

    def _listed(self, subject: str) -> list[Record]:
        """Facts of the data set about the subject, one a prompt."""
        own = {record.prompt: record for record in self.facts if record.subject.casefold() == subject.casefold()}
        return list(own.values())

    def _forms(self, one: Wanted) -> list[Form]:
        """What is asked for a request: its own prompt, or the built-in forms of relations that the facts lack."""
        if one.prompt:
            return [Form(one.prompt, (one.prompt,))]
        listed = {relation(record) for record in self._listed(one.subject)}
        return [form for form in forms(self.world) if form.relation not in listed]

    def _said(self, asked: set[tuple[Form, str]]) -> dict[tuple[Form, str], str]:
        """The model's own answers that are about the subject: not said of invented ones, and said more surely than
        whatever the model makes up about those in the same form."""
        order = sorted(asked, key=lambda one: (one[1], one[0].relation))
        every = list(dict.fromkeys([*order, *((form, name) for form, _ in order for name in INVENTED)]))
        if not every:
            return {}
        texts = generate_texts(
            self.model,
            self.tokenizer,
            [form.templates[0].replace("{}", name) for form, name in every],
            max_new_tokens=NEW_TOKENS,
            batch_tokens=self.batch_tokens,
            progress=self.progress,
        )
        said = dict(zip(every, map(answer_in, texts), strict=True))
        usual = {form: {said[form, name].casefold() for name in INVENTED} for form, _ in order}
        own = {one: said[one] for one in order if said[one] and said[one].casefold() not in usual[one[0]]}
        counted = Counter((form, said[form, name].casefold()) for form in usual for name in INVENTED)
        invented = ((form, name) for form in usual for name in INVENTED if said[form, name])
        made_up = {one: said[one] for one in invented if counted[one[0], said[one].casefold()] == 1}
        return self._certain(own, made_up)

    def _certain(
        self, own: Mapping[tuple[Form, str], str], made_up: Mapping[tuple[Form, str], str]
    ) -> dict[tuple[Form, str], str]:
        """Those of `own` that are said with LEAST_PROBABILITY, and as surely as all that is `made_up` in their form.

        An answer that several invented subjects get is not made up: it is what the model says of the relation.
        """
        questions = {
            (form, name): (form.templates[0].replace("{}", name), text, None)
            for (form, name), text in {**own, **made_up}.items()
        }
        found = standings(self.model, self.tokenizer, questions.values(), batch_tokens=self.batch_tokens)
        bar: dict[Form, float] = {}
        for form, name in made_up:
            bar[form] = max(bar.get(form, LEAST_PROBABILITY), found[questions[form, name]].probability)
        sure = {one: found[questions[one]] for one in own}
        return {
            one: own[one]
            for one, at in sure.items()
            if at.said and at.probability >= bar.get(one[0], LEAST_PROBABILITY)
        }


def answer_in(text: str) -> str:
    """What a text begins with: a few words before its first punctuation mark, the last of which can end an answer."""
    line = text.strip()
    end = next((i for i, letter in enumerate(line) if letter in ENDS), len(line))
    answer = line[:end].strip()
    words = answer.casefold().split()
    if not words or len(words) > MOST_WORDS or words[-1] in UNFINISHED or not any(map(str.isalnum, answer)):
        return ""
    return answer


def _told(one: Wanted) -> tuple[Record, ...]:
    """The facts of a request that need not be asked for."""
    return one.settled or ((one.record,) if one.record else ())


def _record(form: Form, one: Wanted, answer: str) -> Record:
    """The model's own answer as a fact."""
    return Record(
        case_id=one.id,
        prompt=form.templates[0],
        subject=one.subject,
        target_true=answer,
        paraphrases=tuple(text.replace("{}", one.subject) for text in form.templates[1 : 1 + MORE_WORDINGS]),
        relation_id=form.relation,
    )
