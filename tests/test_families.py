"""Every model family: statistics, batched targets against the plain loop, edit, undo."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from baselines import memit
from experiments.auditing.states import said_by_head, states_after_layers
from experiments.benchmarking.plain import find_target
from tests.families import COMMON, FAMILIES, LLAMA_LIKE, OPT, PER_LAYER, SLIDING, build
from tests.tiny import REQUESTS, TARGET_SETTINGS, TEMPLATES, moments_for, tokenizer
from tests.util.editing.test_statistics import Corpus, one_by_one
from tests.zerounlearn.test_edit import OWN
from util.editing.keys import ModuleSite, average_keys, plain
from util.editing.layers import check_layers
from util.editing.passage import measure
from util.editing.statistics import CorpusMoments
from util.editing.suffixes import Entry, FactText, WholeTexts, cut
from util.editing.targets import find_targets
from util.errors import UserError
from util.forward import final_hidden, project
from util.hooks import capture, patch
from util.modeling import attention_modules, decoder_layers, module_names
from util.tokens import encode, pad
from util.weights import model_hash, weights_hash
from zerounlearn import HParams, apply_to_model

pytestmark = pytest.mark.untraced


@pytest.fixture(params=sorted(FAMILIES))
def setting(request):
    """(model, tokenizer, hparams) of each family."""
    model, names = build(request.param)
    settings = TARGET_SETTINGS | {"v_num_grad_steps": 3} | names | OWN
    return model, tokenizer(bos=request.param != "gpt2", pad=False), HParams(**settings)


@pytest.mark.parametrize("site", ["layer", "module"])
def test_targets_equal_the_plain_loop(setting, site):
    model, tok, hparams = setting
    answers = [request.target_true for request in REQUESTS]
    found = find_targets(model, tok, REQUESTS, answers, 1, site, hparams, TEMPLATES, batch_tokens=10_000)
    for i, (request, answer) in enumerate(zip(REQUESTS, answers, strict=True)):
        value, _, _ = find_target(model, tok, request, answer, 1, site, hparams, TEMPLATES)
        assert (found.values_ON[:, i] - value).norm() / value.norm() < 1e-4


def test_an_edit_makes_the_residual_also_through_a_norm(setting):
    """Least squares with next to no corpus: two layers bring the hidden states to z, or near it behind a norm."""
    model, tok, hparams = setting
    passage = measure(model, 1, hparams.rewrite_module(1))
    normed = passage is not None and passage.norm is not None
    if normed:
        for layer in decoder_layers(model):  # so that R as it stands is little of what the norm is given
            layer.mlp.down_proj.weight.data *= 10
    own = {key: value for key, value in hparams.model_dump().items() if key in memit.HParams.model_fields}
    hparams, plain_only = memit.HParams(**own | {"mom2_update_weight": 1e-6}), [["{}"]]
    at_target = ModuleSite(hparams.layer_module_tmp.format(2))
    before = plain(model, tok, REQUESTS, at_target, 10_000)
    neutral = [request.target_new for request in REQUESTS]
    z = find_targets(model, tok, REQUESTS, neutral, 2, "layer", hparams, plain_only, batch_tokens=10_000).values_ON
    moments = moments_for(model, hparams.rewrite_modules())
    memit.apply_to_model(model, tok, REQUESTS, hparams, moments=moments, context_templates=plain_only)
    left = (z - plain(model, tok, REQUESTS, at_target, 10_000)).norm() / (z - before).norm()
    assert left < (0.7 if normed else 1e-2)


def test_keys_are_the_rows_own(setting):
    """A batch of facts gives each fact the key it has alone."""
    model, tok, hparams = setting
    name = hparams.rewrite_module(2)
    together = average_keys(model, tok, REQUESTS, name, TEMPLATES, 10_000)
    alone = [
        average_keys(model, tok, [request], name, [["{}"], [t]], 10_000) for request in REQUESTS for t in TEMPLATES[1]
    ]
    means = torch.stack([torch.cat(alone[2 * i : 2 * i + 2], 1).mean(1) for i in range(3)], 1)
    torch.testing.assert_close(together, means, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rivals", [4, 1024], ids=["few-rivals", "all-tokens"])
def test_states_are_read_by_the_head_alone(setting, rivals, monkeypatch):
    """The logit lens says at every layer what a pass with that layer's states at its end says, and no more."""
    monkeypatch.setattr("experiments.auditing.states.RIVALS", rivals)
    model, tok, _ = setting
    ids = tuple(encode(tok, REQUESTS[0].text))
    (states_LPO,) = states_after_layers(model, [ids], [range(len(ids))], 2048)
    said = []
    for states_PO in states_LPO:
        blank = pad([[0]] * len(ids))
        with (
            torch.no_grad(),
            patch(decoder_layers(model)[-1], lambda hidden, some=states_PO: some.to(hidden).view_as(hidden)),
        ):
            said.append(project(model, final_hidden(model, blank))[:, 0].argmax(-1))
    with torch.no_grad():
        own = model(input_ids=torch.tensor([ids])).logits[0].argmax(-1)
    said_LN = torch.stack(said)
    assert torch.equal(said_LN[-1], own)
    for token in said_LN.unique().tolist():
        assert torch.equal(said_by_head(model, states_LPO, [token] * len(ids)), said_LN == token)


def test_states_of_a_layer_are_put_back_from_a_position_on(setting):
    """Other texts' states in place of a layer's output: the cut texts and the whole ones say the same."""
    model, tok, _ = setting
    rows = [tuple(encode(tok, one.text)) for one in REQUESTS]
    cuts = [FactText(list(ids), len(ids) - 2) for ids in rows]
    given = [states_LPO[1] for states_LPO in states_after_layers(model, rows[::-1], [range(1, 3)] * len(rows), 2048)]
    texts = cut(model, cuts, Entry(1))

    def put(hidden):
        changed = hidden.clone().view(len(rows), -1, hidden.shape[-1])
        for row, states in enumerate(given):
            changed[row, len(rows[row]) - 2 : len(rows[row])] = states
        return changed.view(hidden.shape)

    with torch.no_grad():
        found = texts.final_with(model, given)
        with patch(decoder_layers(model)[1], put):
            whole = final_hidden(model, pad(rows))
        own = final_hidden(model, pad(rows))
    for row, ids in enumerate(rows):
        torch.testing.assert_close(found[row, :2], whole[row, len(ids) - 2 : len(ids)], atol=1e-4, rtol=1e-3)
        assert not torch.allclose(found[row, :2], own[row, len(ids) - 2 : len(ids)], atol=1e-3)


def test_statistics_edit_and_undo(setting):
    model, tok, hparams = setting
    before = weights_hash(model)
    moments = CorpusMoments(model, tok, hparams.rewrite_modules(), Corpus(), dtype="float64", progress=False)
    name = hparams.rewrite_module(1)
    torch.testing.assert_close(moments[name], one_by_one(model, tok, name, Corpus().documents), atol=1e-5, rtol=1e-4)
    edits = apply_to_model(model, tok, REQUESTS, hparams, moments=moments, context_templates=TEMPLATES)
    assert weights_hash(model) != before
    assert set(edits.original) == {f"{name}.weight" for name in hparams.rewrite_modules()}
    edits.undo(model)
    assert weights_hash(model) == before


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_model_is_the_same_function_once_it_is_saved_and_loaded(family, tmp_path):
    """Also of what is stored beside its parameters, as Gemma 4's factor of each layer is."""
    model, _ = build(family)
    for place in ("one", "other"):
        model.save_pretrained(tmp_path / place)
        assert model_hash(AutoModelForCausalLM.from_pretrained(tmp_path / place)) == model_hash(model)
    stored = [buffer for name, buffer in model.named_buffers() if name in model.state_dict()]
    assert bool(stored) == (family == "gemma4")
    for buffer in stored:
        before = model_hash(model)
        buffer.mul_(2)
        assert model_hash(model) != before


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_names_are_found_in_the_module_tree(family):
    model, names = build(family)
    assert module_names(model) == names


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_layer_has_its_attention_or_is_named(family):
    model, _ = build(family)
    if family in ("lfm2", "qwen3_5", "recurrent_gemma"):
        with pytest.raises(UserError, match="layer 0 of .* has no attention module"):
            attention_modules(model)
        return
    found = attention_modules(model)
    assert all(part in layer.children() for part, layer in zip(found, decoder_layers(model), strict=True))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_logits_are_the_models_own(family):
    """Scales, caps and multipliers included, of rows that are padded."""
    model, _ = build(family)
    rows = [[7, 30, 31, 90, 12, 44], [50, 9, 200]]
    with torch.no_grad():
        ours = project(model, final_hidden(model, pad(rows)))
        for row, found in zip(rows, ours, strict=True):
            torch.testing.assert_close(found[: len(row)], model(input_ids=torch.tensor([row])).logits[0].float())


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_texts_from_the_fact_on_give_what_whole_texts_give(family):
    """Cut where keys and values are all that is kept of the positions before, else run whole; also from layer 0 on."""
    model, _ = build(family)
    texts = [FactText([7, 30, 31, 90, 12, 44, 8], 4), FactText([50, 9, 200], 1), FactText([5, 6, 7, 8], 0)]
    for layer in (0, 2):
        with torch.no_grad():
            kept = cut(model, texts, Entry(layer))
            found = kept.outputs(model, torch.zeros(3, 24), [3])[3]
            with capture({"last": decoder_layers(model)[3]}) as seen:
                model(input_ids=torch.tensor([texts[0].ids]))
        torch.testing.assert_close(found[0, :3], seen["last"][0, 4:], atol=1e-4, rtol=1e-4)
        assert isinstance(kept, WholeTexts) == (family in ("falcon_h1", "lfm2", "qwen3_5", "recurrent_gemma"))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_an_edited_module_gives_reaches_the_stream_as_measured(family):
    model, names = build(family)
    passage = measure(model, 1, names["rewrite_module_tmp"].format(1))
    scale = {"granite": 0.22, "minicpm3": 1.4 / 4**0.5, "falcon_h1": 0.3}.get(family)
    normed = family in ("gemma2", "gemma3", "gemma4", "glm4", "olmo2")
    assert (passage is None) == (scale is None and not normed)
    assert passage is None or (passage.norm is not None) == normed
    if scale:
        torch.testing.assert_close(passage.gain_O, torch.tensor(scale), rtol=1e-4, atol=0)


@pytest.mark.parametrize("family", ["gemma3n_text", "gemma4_text"])
def test_per_layer_inputs_are_refused_for_edits_and_the_down_projection_is_still_told(family):
    """What follows the MLP there gates its output, so that no change of it arrives as it is."""
    few = {"num_kv_shared_layers": 1, "laurel_rank": 4, "altup_num_inputs": 2} if family == "gemma3n_text" else {}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **COMMON | SLIDING | PER_LAYER | few)).eval()
    names = module_names(model)
    assert names["rewrite_module_tmp"] == LLAMA_LIKE["rewrite_module_tmp"]
    hparams = HParams(**TARGET_SETTINGS | names | OWN)
    with pytest.raises(UserError, match=r"mlp\.down_proj' gives does not enter the residual stream"):
        check_layers(model, hparams)


@pytest.mark.parametrize("part", ["self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj"])
def test_modules_that_do_not_add_to_the_stream_are_refused(part):
    model, _ = build("llama")
    with pytest.raises(UserError, match="does not enter the residual stream"):
        measure(model, 1, f"model.layers.1.{part}")


def test_parts_that_hparams_name_wrongly_are_refused():
    model, names = build("llama")
    for key, value, words in (
        ("layer_module_tmp", "model.layers.{}.mlp", "names no decoder layer"),
        ("lm_head_module", "model.norm", "is not the head"),
        ("ln_f_module", "model.layers.0.input_layernorm", "do not give the model's own logits"),
    ):
        model.model.layers[0].input_layernorm.weight.data[:] = torch.linspace(0.1, 2, 24)
        with pytest.raises(UserError, match=words):
            check_layers(model, HParams(**TARGET_SETTINGS | names | OWN | {key: value}))


def test_of_a_multimodal_model_the_layers_that_read_text_are_found():
    """Its vision tower has layers of its own: here as many, and with a list that comes first."""
    text = COMMON | {"sliding_window": 64, "query_pre_attn_scalar": 6, "model_type": "gemma3_text"}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    for depth in (3, text["num_hidden_layers"]):
        sizes = vision | {"num_hidden_layers": depth}
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gemma3", text_config=text, vision_config=sizes))
        assert next(part for part in model.modules() if isinstance(part, torch.nn.ModuleList)) is not decoder_layers(
            model
        )
        assert decoder_layers(model) is model.model.language_model.layers
        names = {key: name.replace("model.", "model.language_model.") for key, name in LLAMA_LIKE.items()}
        assert module_names(model) == names
        assert len(attention_modules(model)) == text["num_hidden_layers"]


def test_a_mixture_of_experts_is_refused_with_a_reason():
    config = AutoConfig.for_model("mixtral", **COMMON, num_local_experts=2)
    model = AutoModelForCausalLM.from_config(config)
    hparams = HParams(**TARGET_SETTINGS | LLAMA_LIKE | OWN)
    with pytest.raises(UserError, match="mixture of experts"):
        apply_to_model(
            model, tokenizer(bos=True, pad=False), REQUESTS, hparams, moments={}, context_templates=TEMPLATES
        )


def test_a_stream_that_is_normed_after_the_mlp_is_refused_with_a_reason():
    """OPT-350m alone is made so."""
    settings = COMMON | {"ffn_dim": 44, "word_embed_proj_dim": 16, "do_layer_norm_before": False}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("opt", **settings))
    names = OPT | {"ln_f_module": "model.decoder.project_out"}
    hparams = HParams(**TARGET_SETTINGS | names | OWN)
    with pytest.raises(UserError, match="do_layer_norm_before"):
        module_names(model)
    with pytest.raises(UserError, match="do_layer_norm_before"):
        apply_to_model(model, tokenizer(bos=True, pad=False), REQUESTS, hparams, context_templates=TEMPLATES)
