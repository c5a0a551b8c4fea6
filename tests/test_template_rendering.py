"""Compares rendered chat templates with transformers' rendering."""

from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from evalsuite.smolvlm.chat_template import TemplateError, render
from tests.builders.chat_templates import IDEFICS3

TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": [{"type": "text", "text": "<Be> brief.\n"}]},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "¿Qué?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "Nada"}]},
]
EVERYTHING = """
  {%- set ns = namespace(count=0) %}
  {% for message in messages %}
    {% if loop.index > 2 %}{% break %}{% endif %}
    {% set ns.count = ns.count + 1 %}
    {{ message | tojson }} {{ message.content | tojson(indent=2, sort_keys=true) }}
    {% generation %}{{ message.role }}{% endgeneration %}
  {% endfor %}
  {{ ns.count }} {{ dict(a=1)['a'] }} {{ dict.fromkeys(['b'], 2) }} {{ strftime_now('%Y') }}
  {{ tools is none }} {{ documents is none }} {{ enable_thinking is defined }}
  {% if add_generation_prompt %}
  Assistant:
  {%- endif %}
"""


@pytest.mark.parametrize("template", [IDEFICS3, EVERYTHING], ids=["idefics3", "everything"])
@pytest.mark.parametrize("generation_prompt", [True, False])
def test_rendering_equals_transformers(template: str, generation_prompt: bool) -> None:
    (expected,), _ = render_jinja_template(
        conversations=[TURNS], chat_template=template, add_generation_prompt=generation_prompt
    )
    assert render(template, TURNS, generation_prompt=generation_prompt) == expected


def test_rendering_of_smolvlm() -> None:
    assert render(IDEFICS3, TURNS[:2], generation_prompt=True) == (
        "<|im_start|>System: <Be> brief.\n<end_of_utterance>\n"
        "User:<image>¿Qué?<end_of_utterance>\nAssistant:"
    )


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("\n{% for %}", "line 2: "),
        ("{{ messages[0]['content'][7]['text'] }}", "list object has no element 7"),
        ("{{ raise_exception('only one turn,\nplease') }}", "^only one turn,$"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 'a' + 1 }}", "can only concatenate str"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "'append' of 'list' object is unsafe"),
        ("{% set ns = namespace(_a=1) %}", "namespace, .*'_a'"),
        ("{% set ns = namespace() %}{% set ns._b = 1 %}", "namespace, .*'_b'"),
        ("{{ bos_token }}{{ eos_token }}", "bos_token, eos_token"),
    ],
)
def test_invalid_templates_are_errors(template: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint) as caught:
        render(template, TURNS, generation_prompt=True)
    assert "\n" not in str(caught.value)


def test_html_is_not_escaped() -> None:
    assert render("{{ '<' | tojson }}{{ messages[0].role }}", [{"role": "<a>"}],
                  generation_prompt=False) == '"<"<a>'  # fmt: skip
