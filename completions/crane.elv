
use builtin;
use str;

set edit:completion:arg-completer[crane] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'crane'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'crane'= {
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand pull 'Fetch a model''s files into the Hugging Face cache'
            cand list 'List the models on this machine'
            cand ls 'List the models on this machine'
            cand show 'Show what a model is, from its headers alone'
            cand rm 'Remove a model from the cache'
            cand verify 'Check a model''s files against their checksums'
            cand run 'Answer one prompt'
            cand chat 'Hold a conversation'
            cand score 'Score a text: negative log-likelihood and perplexity'
            cand devices 'Say what this binary can compute on, and why not on the rest'
            cand completions 'Print a shell''s completion script'
            cand man 'Print the manual page (roff)'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'crane;pull'= {
            cand --quant 'The quantisation to fetch, as MODEL:QUANT says it (q4_k_m, q8_0, bf16)'
            cand --revision 'The branch, tag or commit to fetch [default: main]'
            cand --include 'Fetch the files that match instead of the ones the model needs (repeatable; * and ?)'
            cand --exclude 'Leave out the files that match (repeatable)'
            cand --endpoint 'The hub or mirror to fetch from [default: HF_ENDPOINT or https://huggingface.co]'
            cand --progress 'How to show progress on stderr'
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --dry-run 'Say what would be fetched, and whether disk and memory suffice'
            cand --force 'Fetch files again that are there'
            cand --no-verify 'Do not check the sha256 of what arrives'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'crane;list'= {
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --catalogue 'List the models that have a short name instead, fetched or not'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'crane;ls'= {
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --catalogue 'List the models that have a short name instead, fetched or not'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'crane;show'= {
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --tensors 'List every tensor: name, shape, type, bytes'
            cand --template 'Print the whole chat template'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'crane;rm'= {
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand -y 'Do not ask'
            cand --yes 'Do not ask'
            cand --dry-run 'Say what would be removed'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'crane;verify'= {
            cand --progress 'How to show progress on stderr'
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --repair 'Fetch damaged files again'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'crane;run'= {
            cand -p 'The prompt, as one argument'
            cand --prompt 'The prompt, as one argument'
            cand -f 'Read a file into the prompt (repeatable; ''-'' is stdin)'
            cand --file 'Read a file into the prompt (repeatable; ''-'' is stdin)'
            cand --messages 'A conversation instead of a prompt: a JSON list of {"role": …, "content": …} (''-'' is stdin)'
            cand --system 'System message'
            cand --prefill 'Start of the answer, which the model continues; not repeated in the output'
            cand --overflow 'What to do with a prompt that is longer than the context'
            cand --format 'Shape of the output; --json alone is --format json'
            cand --logprobs 'For each output token, its log-probability and those of the K likeliest (in JSON; at most the vocabulary)'
            cand -o 'Write to a file, which appears when it is complete (''-'': stdout)'
            cand --output 'Write to a file, which appears when it is complete (''-'': stdout)'
            cand --quant 'Quantise at load, tensor by tensor, where the width allows it'
            cand -n 'Tokens to generate at most [default: until the model stops or the context is full]'
            cand --max-tokens 'Tokens to generate at most [default: until the model stops or the context is full]'
            cand -c 'Tokens the context holds [default: the model''s own length, at most 32768]'
            cand --ctx-size 'Tokens the context holds [default: the model''s own length, at most 32768]'
            cand --temp 'Temperature; 0 always takes the likeliest token'
            cand --temperature 'Temperature; 0 always takes the likeliest token'
            cand --top-k 'Sample from the K likeliest tokens (0: from all)'
            cand --top-p 'Sample from the likeliest tokens that together reach probability P (1: from all)'
            cand --min-p 'Leave out tokens less likely than P times the likeliest (0: none)'
            cand --repeat-penalty 'Divide the logits of tokens seen before (1: off)'
            cand --repeat-last-n 'How many tokens back the repetition penalty looks (-1: all)'
            cand --presence-penalty 'Subtract from the logits of tokens in the output (0: off)'
            cand --frequency-penalty 'Subtract from the logits of tokens in the output, once for each time (0: off)'
            cand -s 'Seed; the same seed gives the same text [default: random]'
            cand --seed 'Seed; the same seed gives the same text [default: random]'
            cand -r 'Stop before this text (repeatable)'
            cand --stop 'Stop before this text (repeatable)'
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --raw 'Send the prompt as it is, without the model''s chat template'
            cand --stats 'Times, speeds, memory and settings on stderr'
            cand --ignore-eos 'Go on after the model''s end-of-text token'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'crane;chat'= {
            cand --system 'System message'
            cand --quant 'Quantise at load, tensor by tensor, where the width allows it'
            cand -n 'Tokens to generate at most [default: until the model stops or the context is full]'
            cand --max-tokens 'Tokens to generate at most [default: until the model stops or the context is full]'
            cand -c 'Tokens the context holds [default: the model''s own length, at most 32768]'
            cand --ctx-size 'Tokens the context holds [default: the model''s own length, at most 32768]'
            cand --temp 'Temperature; 0 always takes the likeliest token'
            cand --temperature 'Temperature; 0 always takes the likeliest token'
            cand --top-k 'Sample from the K likeliest tokens (0: from all)'
            cand --top-p 'Sample from the likeliest tokens that together reach probability P (1: from all)'
            cand --min-p 'Leave out tokens less likely than P times the likeliest (0: none)'
            cand --repeat-penalty 'Divide the logits of tokens seen before (1: off)'
            cand --repeat-last-n 'How many tokens back the repetition penalty looks (-1: all)'
            cand --presence-penalty 'Subtract from the logits of tokens in the output (0: off)'
            cand --frequency-penalty 'Subtract from the logits of tokens in the output, once for each time (0: off)'
            cand -s 'Seed; the same seed gives the same text [default: random]'
            cand --seed 'Seed; the same seed gives the same text [default: random]'
            cand -r 'Stop before this text (repeatable)'
            cand --stop 'Stop before this text (repeatable)'
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --stats 'Times, speeds and memory on stderr after each reply'
            cand --ignore-eos 'Go on after the model''s end-of-text token'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'crane;score'= {
            cand -f 'The text (''-'': stdin)'
            cand --file 'The text (''-'': stdin)'
            cand -c 'Tokens the context holds [default: the model''s own length, at most 32768]'
            cand --ctx-size 'Tokens the context holds [default: the model''s own length, at most 32768]'
            cand --quant 'Quantise at load, tensor by tensor, where the width allows it'
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --raw 'As in ''run''; a text is always scored as it is, so this changes nothing'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'crane;devices'= {
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'crane;completions'= {
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'crane;man'= {
            cand --device 'Where to compute: auto, cpu, cuda, cuda:N or metal'
            cand --dtype 'Number type to compute in; auto keeps what the file stores where the device is fast at it'
            cand -t 'Threads [default: the physical cores this process may use]'
            cand --threads 'Threads [default: the physical cores this process may use]'
            cand --cache-dir 'Where models are kept [default: the Hugging Face cache]'
            cand --color 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never'
            cand --offline 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
            cand -q 'Only errors on stderr'
            cand --quiet 'Only errors on stderr'
            cand -v 'Say more on stderr: what a name resolved to, which device was taken'
            cand --verbose 'Say more on stderr: what a name resolved to, which device was taken'
            cand --json 'Print JSON on stdout'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'crane;help'= {
            cand pull 'Fetch a model''s files into the Hugging Face cache'
            cand list 'List the models on this machine'
            cand show 'Show what a model is, from its headers alone'
            cand rm 'Remove a model from the cache'
            cand verify 'Check a model''s files against their checksums'
            cand run 'Answer one prompt'
            cand chat 'Hold a conversation'
            cand score 'Score a text: negative log-likelihood and perplexity'
            cand devices 'Say what this binary can compute on, and why not on the rest'
            cand completions 'Print a shell''s completion script'
            cand man 'Print the manual page (roff)'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'crane;help;pull'= {
        }
        &'crane;help;list'= {
        }
        &'crane;help;show'= {
        }
        &'crane;help;rm'= {
        }
        &'crane;help;verify'= {
        }
        &'crane;help;run'= {
        }
        &'crane;help;chat'= {
        }
        &'crane;help;score'= {
        }
        &'crane;help;devices'= {
        }
        &'crane;help;completions'= {
        }
        &'crane;help;man'= {
        }
        &'crane;help;help'= {
        }
    ]
    $completions[$command]
}
