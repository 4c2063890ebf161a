# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_crane_global_optspecs
    string join \n device= require-device dtype= t/threads= cache-type= simd= offline cache-dir= q/quiet v/verbose json color= h/help V/version
end

function __fish_crane_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_crane_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_crane_using_subcommand
    set -l cmd (__fish_crane_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c crane -n "__fish_crane_needs_command" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_needs_command" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_needs_command" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_needs_command" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_needs_command" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_needs_command" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_needs_command" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_needs_command" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_needs_command" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_needs_command" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_needs_command" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_needs_command" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crane -n "__fish_crane_needs_command" -s V -l version -d 'Print version'
complete -c crane -n "__fish_crane_needs_command" -f -a "pull" -d 'Fetch a model\'s files into the Hugging Face cache'
complete -c crane -n "__fish_crane_needs_command" -f -a "list" -d 'List the models on this machine'
complete -c crane -n "__fish_crane_needs_command" -f -a "ls" -d 'List the models on this machine'
complete -c crane -n "__fish_crane_needs_command" -f -a "show" -d 'Show what a model is, from its headers alone'
complete -c crane -n "__fish_crane_needs_command" -f -a "rm" -d 'Remove a model from the cache'
complete -c crane -n "__fish_crane_needs_command" -f -a "verify" -d 'Check a model\'s files against their checksums'
complete -c crane -n "__fish_crane_needs_command" -f -a "run" -d 'Answer one prompt, or a file of them'
complete -c crane -n "__fish_crane_needs_command" -f -a "replay" -d 'Run again what \'crane run --receipt\' wrote down, and say whether the same comes'
complete -c crane -n "__fish_crane_needs_command" -f -a "chat" -d 'Hold a conversation'
complete -c crane -n "__fish_crane_needs_command" -f -a "tts" -d 'Speak a text'
complete -c crane -n "__fish_crane_needs_command" -f -a "vision" -d 'Answer a question about images'
complete -c crane -n "__fish_crane_needs_command" -f -a "voices" -d 'List, show or remove the voices that \'crane tts --save-voice\' kept'
complete -c crane -n "__fish_crane_needs_command" -f -a "score" -d 'Score a text: negative log-likelihood and perplexity'
complete -c crane -n "__fish_crane_needs_command" -f -a "bench" -d 'Measure speed, beside the machine\'s own limit'
complete -c crane -n "__fish_crane_needs_command" -f -a "devices" -d 'Say what this binary can compute on, and why not on the rest'
complete -c crane -n "__fish_crane_needs_command" -f -a "completions" -d 'Print a shell\'s completion script'
complete -c crane -n "__fish_crane_needs_command" -f -a "man" -d 'Print the manual page (roff)'
complete -c crane -n "__fish_crane_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crane -n "__fish_crane_using_subcommand pull" -l quant -d 'The quantisation to fetch, as MODEL:QUANT says it (q4_k_m, q8_0, bf16)' -r
complete -c crane -n "__fish_crane_using_subcommand pull" -l revision -d 'The branch, tag or commit to fetch [default: main]' -r
complete -c crane -n "__fish_crane_using_subcommand pull" -l include -d 'Fetch the files that match instead of the ones the model needs (repeatable; * and ?)' -r
complete -c crane -n "__fish_crane_using_subcommand pull" -l exclude -d 'Leave out the files that match (repeatable)' -r
complete -c crane -n "__fish_crane_using_subcommand pull" -l endpoint -d 'The hub or mirror to fetch from [default: HF_ENDPOINT or https://huggingface.co]' -r
complete -c crane -n "__fish_crane_using_subcommand pull" -l progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, else plain lines'
plain\t'One line when a file starts and one when it is there'
json\t'One JSON object a line on stderr'
none\t'Nothing but notices'"
complete -c crane -n "__fish_crane_using_subcommand pull" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand pull" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand pull" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand pull" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand pull" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand pull" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand pull" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand pull" -l dry-run -d 'Say what would be fetched, and whether disk and memory suffice'
complete -c crane -n "__fish_crane_using_subcommand pull" -l force -d 'Fetch files again that are there'
complete -c crane -n "__fish_crane_using_subcommand pull" -l no-verify -d 'Do not check the sha256 of what arrives'
complete -c crane -n "__fish_crane_using_subcommand pull" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand pull" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand pull" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand pull" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand pull" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crane -n "__fish_crane_using_subcommand list" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand list" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand list" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand list" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand list" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand list" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand list" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand list" -l catalogue -d 'List the models that have a short name instead, fetched or not'
complete -c crane -n "__fish_crane_using_subcommand list" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand list" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand list" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand list" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand list" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand list" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand ls" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand ls" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand ls" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand ls" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand ls" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand ls" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand ls" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand ls" -l catalogue -d 'List the models that have a short name instead, fetched or not'
complete -c crane -n "__fish_crane_using_subcommand ls" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand ls" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand ls" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand ls" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand ls" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand ls" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand show" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand show" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand show" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand show" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand show" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand show" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand show" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand show" -l tensors -d 'List every tensor: name, shape, type, bytes'
complete -c crane -n "__fish_crane_using_subcommand show" -l template -d 'Print the whole chat template'
complete -c crane -n "__fish_crane_using_subcommand show" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand show" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand show" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand show" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand show" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand show" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand rm" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand rm" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand rm" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand rm" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand rm" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand rm" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand rm" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand rm" -s y -l yes -d 'Do not ask'
complete -c crane -n "__fish_crane_using_subcommand rm" -l dry-run -d 'Say what would be removed'
complete -c crane -n "__fish_crane_using_subcommand rm" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand rm" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand rm" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand rm" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand rm" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand rm" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand verify" -l progress -d 'How to show progress on stderr' -r -f -a "auto\t'Bars on a terminal, else plain lines'
plain\t'One line when a file starts and one when it is there'
json\t'One JSON object a line on stderr'
none\t'Nothing but notices'"
complete -c crane -n "__fish_crane_using_subcommand verify" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand verify" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand verify" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand verify" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand verify" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand verify" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand verify" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand verify" -l repair -d 'Fetch damaged files again'
complete -c crane -n "__fish_crane_using_subcommand verify" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand verify" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand verify" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand verify" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand verify" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crane -n "__fish_crane_using_subcommand run" -s p -l prompt -d 'The prompt, as one argument' -r
complete -c crane -n "__fish_crane_using_subcommand run" -s f -l file -d 'Read a file into the prompt (repeatable; \'-\' is stdin)' -r -F
complete -c crane -n "__fish_crane_using_subcommand run" -l messages -d 'A conversation instead of a prompt: a JSON list of {"role": …, "content": …} (\'-\' is stdin)' -r -F
complete -c crane -n "__fish_crane_using_subcommand run" -l system -d 'System message' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l prefill -d 'Start of the answer, which the model continues; not repeated in the output' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l overflow -d 'What to do with a prompt that is longer than the context' -r -f -a "error\t'Refuse the prompt'
middle\t'Leave out tokens in the middle'"
complete -c crane -n "__fish_crane_using_subcommand run" -l format -d 'Shape of the output; --json alone is --format json' -r -f -a "text\t'The answer as it is made'
json\t'One object on one line'
ndjson\t'One object a token, and the whole object last'"
complete -c crane -n "__fish_crane_using_subcommand run" -l logprobs -d 'For each output token, its log-probability and those of the K likeliest (in JSON; at most the vocabulary)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -s o -l output -d 'Write to a file, which appears when it is complete, or grows line by line with --batch (\'-\': stdout)' -r -F
complete -c crane -n "__fish_crane_using_subcommand run" -l receipt -d 'Write what determines the answer, for \'crane replay\' (\'-\': stdout, where the answer goes to a file)' -r -F
complete -c crane -n "__fish_crane_using_subcommand run" -l batch -d 'Answer a file of prompts, one JSON object a line: "prompt" or "messages", and if wanted "id", "system", "raw", "prefill", "schema", "regex" and the flags of generation ("max_tokens", "temperature", …); one line a line comes out, in the same order (\'-\': stdin)' -r -F
complete -c crane -n "__fish_crane_using_subcommand run" -l parallel -d 'Answer so many prompts at the same time; the answers do not depend on it [default: 8, fewer where memory is short]' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l think -d 'Whether a model that can think does so before it answers [default: as its template says; off where the answer has a structure]' -r -f -a "on\t''
off\t''"
complete -c crane -n "__fish_crane_using_subcommand run" -l quant -d 'Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp\'s files of that name' -r -f -a "none\t''
q8_0\t''
q4_0\t''
q4k\t''
q4_k_m\t''
q6k\t''"
complete -c crane -n "__fish_crane_using_subcommand run" -s n -l max-tokens -d 'Tokens to generate at most [default: until the model stops or the context is full]' -r
complete -c crane -n "__fish_crane_using_subcommand run" -s c -l ctx-size -d 'Tokens the context holds [default: the model\'s own length, at most 32768]' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l temp -l temperature -d 'Temperature; 0 always takes the likeliest token' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l top-k -d 'Sample from the K likeliest tokens (0: from all)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l top-p -d 'Sample from the likeliest tokens that together reach probability P (1: from all)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l min-p -d 'Leave out tokens less likely than P times the likeliest (0: none)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l repeat-penalty -d 'Divide the logits of tokens seen before (1: off)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l repeat-last-n -d 'How many tokens back the repetition penalty looks (-1: all)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l presence-penalty -d 'Subtract from the logits of tokens in the output (0: off)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l frequency-penalty -d 'Subtract from the logits of tokens in the output, once for each time (0: off)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -s s -l seed -d 'Seed; the same seed gives the same text [default: random]' -r
complete -c crane -n "__fish_crane_using_subcommand run" -s r -l stop -d 'Stop before this text (repeatable)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l schema -d 'Answer in JSON that is valid by this JSON Schema: a file, or the schema itself, {…} (without -n: at most 4096 tokens; an answer that is cut off ends with code 7)' -r -F
complete -c crane -n "__fish_crane_using_subcommand run" -l regex -d 'Answer with a text that all of this regular expression matches (Rust\'s syntax, no look-around)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l grammar -d 'Answer with a text of this grammar (Lark, as llguidance reads it)' -r -F
complete -c crane -n "__fish_crane_using_subcommand run" -l choices -d 'Answer with the likeliest of these, each judged as a whole; nothing is sampled (\'\\,\' is a comma in a choice; spaces around one are dropped)' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand run" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand run" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand run" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand run" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand run" -l raw -d 'Send the prompt as it is, without the model\'s chat template'
complete -c crane -n "__fish_crane_using_subcommand run" -l stats -d 'Times, speeds, memory and settings on stderr'
complete -c crane -n "__fish_crane_using_subcommand run" -l resume -d 'Go on with the file of -o: what it has is kept, what is missing is added'
complete -c crane -n "__fish_crane_using_subcommand run" -l show-thinking -d 'Show the thinking, on stderr, also where stdout or stderr is not a terminal'
complete -c crane -n "__fish_crane_using_subcommand run" -l ignore-eos -d 'Go on after the model\'s end-of-text token'
complete -c crane -n "__fish_crane_using_subcommand run" -l json-object -d 'Answer with a JSON object, whatever is in it'
complete -c crane -n "__fish_crane_using_subcommand run" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand run" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand run" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand run" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand run" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crane -n "__fish_crane_using_subcommand replay" -s m -l model -d 'Another place of the same model' -r
complete -c crane -n "__fish_crane_using_subcommand replay" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand replay" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand replay" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand replay" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand replay" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand replay" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand replay" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand replay" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand replay" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand replay" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand replay" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand replay" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand replay" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand chat" -l system -d 'System message' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l session -d 'Keep the conversation under this name, and go on with what is there' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l cache-prompt -d 'Keep the state of the cache beside the session, so that it goes on without being computed again; all states together take MIB at most [default: 2048]' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l initial -d 'The first message (\'-\': all of stdin, and then the terminal)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l format -d 'ndjson (also --json): each line of stdin is a JSON object, and each reply is one' -r -f -a "text\t''
ndjson\t''"
complete -c crane -n "__fish_crane_using_subcommand chat" -l quant -d 'Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp\'s files of that name' -r -f -a "none\t''
q8_0\t''
q4_0\t''
q4k\t''
q4_k_m\t''
q6k\t''"
complete -c crane -n "__fish_crane_using_subcommand chat" -l think -d 'Whether a model that can think does so before it answers [default: as its template says; off where the answer has a structure]' -r -f -a "on\t''
off\t''"
complete -c crane -n "__fish_crane_using_subcommand chat" -l markdown -d 'Colour Markdown on a terminal' -r -f -a "on\t''
off\t''"
complete -c crane -n "__fish_crane_using_subcommand chat" -l overflow -d 'What to do when the conversation no longer fits the context' -r -f -a "error\t'Refuse the message'
oldest\t'Leave out the oldest turns, and say which'
summarise\t'Put a summary in the place of the older turns'"
complete -c crane -n "__fish_crane_using_subcommand chat" -s n -l max-tokens -d 'Tokens to generate at most [default: until the model stops or the context is full]' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -s c -l ctx-size -d 'Tokens the context holds [default: the model\'s own length, at most 32768]' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l temp -l temperature -d 'Temperature; 0 always takes the likeliest token' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l top-k -d 'Sample from the K likeliest tokens (0: from all)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l top-p -d 'Sample from the likeliest tokens that together reach probability P (1: from all)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l min-p -d 'Leave out tokens less likely than P times the likeliest (0: none)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l repeat-penalty -d 'Divide the logits of tokens seen before (1: off)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l repeat-last-n -d 'How many tokens back the repetition penalty looks (-1: all)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l presence-penalty -d 'Subtract from the logits of tokens in the output (0: off)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l frequency-penalty -d 'Subtract from the logits of tokens in the output, once for each time (0: off)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -s s -l seed -d 'Seed; the same seed gives the same text [default: random]' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -s r -l stop -d 'Stop before this text (repeatable)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l schema -d 'Answer in JSON that is valid by this JSON Schema: a file, or the schema itself, {…} (without -n: at most 4096 tokens; an answer that is cut off ends with code 7)' -r -F
complete -c crane -n "__fish_crane_using_subcommand chat" -l regex -d 'Answer with a text that all of this regular expression matches (Rust\'s syntax, no look-around)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l grammar -d 'Answer with a text of this grammar (Lark, as llguidance reads it)' -r -F
complete -c crane -n "__fish_crane_using_subcommand chat" -l choices -d 'Answer with the likeliest of these, each judged as a whole; nothing is sampled (\'\\,\' is a comma in a choice; spaces around one are dropped)' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand chat" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand chat" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand chat" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand chat" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand chat" -s C -l continue -d 'Go on with the session that was used last'
complete -c crane -n "__fish_crane_using_subcommand chat" -l no-history -d 'Do not remember the typed lines'
complete -c crane -n "__fish_crane_using_subcommand chat" -l stats -d 'Times, speeds and memory on stderr after each reply'
complete -c crane -n "__fish_crane_using_subcommand chat" -l show-thinking -d 'Show the thinking, on stderr, also where stdout or stderr is not a terminal'
complete -c crane -n "__fish_crane_using_subcommand chat" -l ignore-eos -d 'Go on after the model\'s end-of-text token'
complete -c crane -n "__fish_crane_using_subcommand chat" -l json-object -d 'Answer with a JSON object, whatever is in it'
complete -c crane -n "__fish_crane_using_subcommand chat" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand chat" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand chat" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand chat" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand chat" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand chat" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crane -n "__fish_crane_using_subcommand tts" -s m -l model -d 'The model: an alias, org/repo or a Spark-TTS folder' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -s f -l file -d 'Read the text from a file (\'-\' is stdin)' -r -F
complete -c crane -n "__fish_crane_using_subcommand tts" -s o -l output -d 'Where the speech goes (\'-\': stdout) [default: out.wav, or out.raw with --format raw]' -r -F
complete -c crane -n "__fish_crane_using_subcommand tts" -l format -d 'WAV, or 16-bit little-endian samples without a header' -r -f -a "wav\t''
raw\t''"
complete -c crane -n "__fish_crane_using_subcommand tts" -l gender -d 'A described voice: female or male [default: female]' -r -f -a "female\t''
male\t''"
complete -c crane -n "__fish_crane_using_subcommand tts" -l pitch -d 'How high: very_low, low, moderate, high, very_high [default: moderate]' -r -f -a "very_low\t''
low\t''
moderate\t''
high\t''
very_high\t''"
complete -c crane -n "__fish_crane_using_subcommand tts" -l speed -d 'How fast: very_low, low, moderate, high, very_high [default: moderate]' -r -f -a "very_low\t''
low\t''
moderate\t''
high\t''
very_high\t''"
complete -c crane -n "__fish_crane_using_subcommand tts" -l clone -d 'The voice of a recording (3 to 30 s of speech)' -r -F
complete -c crane -n "__fish_crane_using_subcommand tts" -l ref-text -d 'The words of the recording, which make the voice truer' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l voice -d 'A voice that --save-voice kept (\'crane voices list\')' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l save-voice -d 'Keep the voice under this name' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l split -d 'Where a text is cut: sentences, lines, or none' -r -f -a "sentences\t''
lines\t''
none\t''"
complete -c crane -n "__fish_crane_using_subcommand tts" -l pause -d 'Seconds of silence between pieces; two and a half times as long between paragraphs' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l retries -d 'How often an answer that is no speech is tried again with another seed' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -s n -l max-tokens -d 'Tokens of a piece at most [default: 3000, and what the text can take]' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l tokens-out -d 'Write what was spoken as numbers, to be spoken again with --tokens (\'-\': stdout)' -r -F
complete -c crane -n "__fish_crane_using_subcommand tts" -l tokens -d 'Speak the tokens of such a file, without the language model' -r -F
complete -c crane -n "__fish_crane_using_subcommand tts" -l temp -l temperature -d 'Temperature; 0 always takes the likeliest token' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l top-k -d 'Sample from the K likeliest tokens (0: from all)' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l top-p -d 'Sample from the likeliest tokens that together reach probability P (1: from all)' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -s s -l seed -d 'Seed; the same seed gives the same samples [default: random]' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -s c -l ctx-size -d 'Tokens the context holds [default: the model\'s own length]' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l quant -d 'Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp\'s files of that name' -r -f -a "none\t''
q8_0\t''
q4_0\t''
q4k\t''
q4_k_m\t''
q6k\t''"
complete -c crane -n "__fish_crane_using_subcommand tts" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand tts" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand tts" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand tts" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand tts" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand tts" -l stream -d 'Hand samples on as soon as they are certain (to stdout, a pipe or a player)'
complete -c crane -n "__fish_crane_using_subcommand tts" -l play -d 'Play the speech (through aplay, paplay, ffplay or play)'
complete -c crane -n "__fish_crane_using_subcommand tts" -l stats -d 'Times, speeds and memory on stderr'
complete -c crane -n "__fish_crane_using_subcommand tts" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand tts" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand tts" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand tts" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand tts" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand tts" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand vision" -l image -d 'An image, behind those above (repeatable)' -r -F
complete -c crane -n "__fish_crane_using_subcommand vision" -s p -l prompt -d 'What is asked about the images [default: stdin where it is a pipe, else "Describe this image."]' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -s f -l file -d 'Read a file into the question, before that of --prompt (repeatable; \'-\' is stdin)' -r -F
complete -c crane -n "__fish_crane_using_subcommand vision" -l messages -d 'A conversation with image parts: a JSON list of {"role": …, "content": [{"type": "image", "image": PATH}, …]} (\'-\' is stdin)' -r -F
complete -c crane -n "__fish_crane_using_subcommand vision" -l system -d 'System message' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l each-prompt -d 'Answer every line of a file, the images being encoded once: a line of JSON each (\'-\' is stdin)' -r -F
complete -c crane -n "__fish_crane_using_subcommand vision" -l boxes -d 'Print the boxes and points of the answer (Qwen2.5-VL), in pixels of the picture as it is shown' -r -f -a "json\t'A JSON list'"
complete -c crane -n "__fish_crane_using_subcommand vision" -l min-pixels -d 'Enlarge pictures with fewer pixels than this [default: the model\'s own]' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l max-pixels -d 'Shrink pictures with more pixels than this [default: the model\'s own, as far as the memory goes]' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l mmproj -d 'The file that reads the images of a GGUF model [default: mmproj-….gguf beside it]' -r -F
complete -c crane -n "__fish_crane_using_subcommand vision" -l prefill -d 'Start of the answer, which the model continues; not repeated in the output' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l format -d 'Shape of the output; --json alone is --format json' -r -f -a "text\t'The answer as it is made'
json\t'One object on one line'
ndjson\t'One object a token, and the whole object last'"
complete -c crane -n "__fish_crane_using_subcommand vision" -l logprobs -d 'For each output token, its log-probability and those of the K likeliest (in JSON; at most the vocabulary)' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -s o -l output -d 'Write to a file, which appears when it is complete (\'-\': stdout)' -r -F
complete -c crane -n "__fish_crane_using_subcommand vision" -l quant -d 'Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp\'s files of that name' -r -f -a "none\t''
q8_0\t''
q4_0\t''
q4k\t''
q4_k_m\t''
q6k\t''"
complete -c crane -n "__fish_crane_using_subcommand vision" -s n -l max-tokens -d 'Tokens to generate at most [default: until the model stops or the context is full]' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -s c -l ctx-size -d 'Tokens the context holds [default: the model\'s own length, at most 32768]' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l temp -l temperature -d 'Temperature; 0 always takes the likeliest token' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l top-k -d 'Sample from the K likeliest tokens (0: from all)' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l top-p -d 'Sample from the likeliest tokens that together reach probability P (1: from all)' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l min-p -d 'Leave out tokens less likely than P times the likeliest (0: none)' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l repeat-penalty -d 'Divide the logits of tokens seen before (1: off)' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l repeat-last-n -d 'How many tokens back the repetition penalty looks (-1: all)' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l presence-penalty -d 'Subtract from the logits of tokens in the output (0: off)' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l frequency-penalty -d 'Subtract from the logits of tokens in the output, once for each time (0: off)' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -s s -l seed -d 'Seed; the same seed gives the same text [default: random]' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -s r -l stop -d 'Stop before this text (repeatable)' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand vision" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand vision" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand vision" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand vision" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand vision" -l each -d 'Answer for every image by itself, from one load: a line of JSON each (--format text: the answers alone)'
complete -c crane -n "__fish_crane_using_subcommand vision" -l stats -d 'Times, speeds, memory and settings on stderr'
complete -c crane -n "__fish_crane_using_subcommand vision" -l ignore-eos -d 'Go on after the model\'s end-of-text token'
complete -c crane -n "__fish_crane_using_subcommand vision" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand vision" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand vision" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand vision" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand vision" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand vision" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -f -a "list" -d 'List the voices'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -f -a "ls" -d 'List the voices'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -f -a "show" -d 'Show a voice: its tokens, its words, where it came from'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -f -a "rm" -d 'Remove a voice'
complete -c crane -n "__fish_crane_using_subcommand voices; and not __fish_seen_subcommand_from list ls show rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the voices'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show a voice: its tokens, its words, where it came from'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Remove a voice'
complete -c crane -n "__fish_crane_using_subcommand voices; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crane -n "__fish_crane_using_subcommand score" -s f -l file -d 'The text (\'-\': stdin)' -r -F
complete -c crane -n "__fish_crane_using_subcommand score" -s c -l ctx-size -d 'Tokens the context holds [default: the model\'s own length, at most 32768]' -r
complete -c crane -n "__fish_crane_using_subcommand score" -l quant -d 'Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp\'s files of that name' -r -f -a "none\t''
q8_0\t''
q4_0\t''
q4k\t''
q4_k_m\t''
q6k\t''"
complete -c crane -n "__fish_crane_using_subcommand score" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand score" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand score" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand score" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand score" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand score" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand score" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand score" -l raw -d 'As in \'run\'; a text is always scored as it is, so this changes nothing'
complete -c crane -n "__fish_crane_using_subcommand score" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand score" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand score" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand score" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand score" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand score" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand bench" -l task -d 'What the models do. tts measures the language model, the codec, both, and what cloning a voice does first; vision the encoding of a picture, and the language model with it in the prompt' -r -f -a "text\t'Language models'
tts\t'Models that speak'
vision\t'Models that read images'"
complete -c crane -n "__fish_crane_using_subcommand bench" -l synthetic -d 'A model of the catalogue with seeded weights instead of its own: nothing is downloaded, and the speed is the same' -r -f -a "smollm2-135m\t''
smollm2-360m\t''
smollm2-1.7b\t''
qwen2.5-0.5b\t''
qwen2.5-1.5b\t''
qwen2.5-3b\t''
qwen2.5-7b\t''
qwen2.5-coder-0.5b\t''
qwen2.5-coder-1.5b\t''
qwen2.5-coder-7b\t''
qwen3-0.6b\t''
qwen3-1.7b\t''
qwen3-4b\t''
qwen3-8b\t''
llama3.2-1b\t''
llama3.2-3b\t''
tinyllama-1.1b\t''
namo-500m\t''
qwen2.5-vl-3b\t''"
complete -c crane -n "__fish_crane_using_subcommand bench" -l image-size -d 'With --task vision, width and height of the picture [default: 1024x768]' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -s p -l n-prompt -d 'Tokens of a prompt, in one pass; 0 leaves the test out [default: 512]' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -s n -l n-gen -d 'Tokens generated one by one; 0 leaves the test out [default: 128]' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -l pg -d 'A prompt and what is generated after it, together (repeatable)' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -s d -l n-depth -d 'Tokens that are in the cache before each test [default: 0]' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -l parallel -d 'Sequences that are generated together, as the answers of \'crane run --batch\'; speeds are those of all of them. Their prompts are read one after the other, so that a prompt alone is measured once [default: 1]' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -s r -l repetitions -d 'Times that each test is repeated, in turn with the others, after one to warm up' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -l dtype -d 'Number types; auto keeps what the file stores. A quantised model is measured once, whatever stands here' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand bench" -l quant -d 'Quantise at load; q4_k_m is the mix of llama.cpp\'s files of that name' -r -f -a "none\t''
q8_0\t''
q4_0\t''
q4k\t''
q4_k_m\t''
q6k\t''"
complete -c crane -n "__fish_crane_using_subcommand bench" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -l format -d 'Shape of the output; --json alone is --format json' -r -f -a "md\t'A Markdown table'
csv\t'Comma-separated values'
json\t'An array of objects, one on each line'"
complete -c crane -n "__fish_crane_using_subcommand bench" -l save -d 'Keep the result under a name, for --compare' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -l compare -d 'Ratios to a saved result, or to a file of --format json' -r -F
complete -c crane -n "__fish_crane_using_subcommand bench" -l fail-if -d 'Exit with 7 if this is so: decode, prefill, ttft, load, memory, nll or kl; \'<\' or \'>\'; a number or a change in percent against --compare, as in \'decode<-5%\' (repeatable)' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -l quality -d 'Also say how likely the model finds this text, and how far it is from itself in f32' -r -F
complete -c crane -n "__fish_crane_using_subcommand bench" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand bench" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand bench" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand bench" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand bench" -l encoder-only -d 'With --task vision, leave the language model out'
complete -c crane -n "__fish_crane_using_subcommand bench" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand bench" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand bench" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand bench" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand bench" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crane -n "__fish_crane_using_subcommand devices" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand devices" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand devices" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand devices" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand devices" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand devices" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand devices" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand devices" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand devices" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand devices" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand devices" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand devices" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand devices" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand completions" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand completions" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand completions" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand completions" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand completions" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand completions" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand completions" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand completions" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand completions" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand completions" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand completions" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand completions" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand completions" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand man" -l device -d 'Where to compute: auto, cpu, cuda, cuda:N or metal' -r
complete -c crane -n "__fish_crane_using_subcommand man" -l dtype -d 'Number type to compute in; auto keeps what the file stores where the device is fast at it' -r -f -a "auto\t''
f32\t''
f16\t''
bf16\t''"
complete -c crane -n "__fish_crane_using_subcommand man" -s t -l threads -d 'Threads [default: the physical cores this process may use]' -r
complete -c crane -n "__fish_crane_using_subcommand man" -l cache-type -d 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]' -r
complete -c crane -n "__fish_crane_using_subcommand man" -l simd -d 'The best instruction set that is used, for comparisons [default: the best of this CPU]' -r -f -a "portable\t''
avx2\t''
avx512\t''
avx512bf16\t''
amx\t''"
complete -c crane -n "__fish_crane_using_subcommand man" -l cache-dir -d 'Where models are kept [default: the Hugging Face cache]' -r -f -a "(__fish_complete_directories)"
complete -c crane -n "__fish_crane_using_subcommand man" -l color -d 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c crane -n "__fish_crane_using_subcommand man" -l require-device -d 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit'
complete -c crane -n "__fish_crane_using_subcommand man" -l offline -d 'Use only what is on this machine (also HF_HUB_OFFLINE=1)'
complete -c crane -n "__fish_crane_using_subcommand man" -s q -l quiet -d 'Only errors on stderr'
complete -c crane -n "__fish_crane_using_subcommand man" -s v -l verbose -d 'Say more on stderr: what a name resolved to, which device was taken'
complete -c crane -n "__fish_crane_using_subcommand man" -l json -d 'Print JSON on stdout'
complete -c crane -n "__fish_crane_using_subcommand man" -s h -l help -d 'Print help'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "pull" -d 'Fetch a model\'s files into the Hugging Face cache'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "list" -d 'List the models on this machine'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "show" -d 'Show what a model is, from its headers alone'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "rm" -d 'Remove a model from the cache'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "verify" -d 'Check a model\'s files against their checksums'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "run" -d 'Answer one prompt, or a file of them'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "replay" -d 'Run again what \'crane run --receipt\' wrote down, and say whether the same comes'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "chat" -d 'Hold a conversation'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "tts" -d 'Speak a text'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "vision" -d 'Answer a question about images'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "voices" -d 'List, show or remove the voices that \'crane tts --save-voice\' kept'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "score" -d 'Score a text: negative log-likelihood and perplexity'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "bench" -d 'Measure speed, beside the machine\'s own limit'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "devices" -d 'Say what this binary can compute on, and why not on the rest'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "completions" -d 'Print a shell\'s completion script'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "man" -d 'Print the manual page (roff)'
complete -c crane -n "__fish_crane_using_subcommand help; and not __fish_seen_subcommand_from pull list show rm verify run replay chat tts vision voices score bench devices completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crane -n "__fish_crane_using_subcommand help; and __fish_seen_subcommand_from voices" -f -a "list" -d 'List the voices'
complete -c crane -n "__fish_crane_using_subcommand help; and __fish_seen_subcommand_from voices" -f -a "show" -d 'Show a voice: its tokens, its words, where it came from'
complete -c crane -n "__fish_crane_using_subcommand help; and __fish_seen_subcommand_from voices" -f -a "rm" -d 'Remove a voice'
