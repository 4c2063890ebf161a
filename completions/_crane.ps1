
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'crane' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'crane'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'crane' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('pull', 'pull', [CompletionResultType]::ParameterValue, 'Fetch a model''s files into the Hugging Face cache')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the models on this machine')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the models on this machine')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show what a model is, from its headers alone')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a model from the cache')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check a model''s files against their checksums')
            [CompletionResult]::new('run', 'run', [CompletionResultType]::ParameterValue, 'Answer one prompt, or a file of them')
            [CompletionResult]::new('replay', 'replay', [CompletionResultType]::ParameterValue, 'Run again what ''crane run --receipt'' wrote down, and say whether the same comes')
            [CompletionResult]::new('chat', 'chat', [CompletionResultType]::ParameterValue, 'Hold a conversation')
            [CompletionResult]::new('tts', 'tts', [CompletionResultType]::ParameterValue, 'Speak a text')
            [CompletionResult]::new('vision', 'vision', [CompletionResultType]::ParameterValue, 'Answer a question about images')
            [CompletionResult]::new('voices', 'voices', [CompletionResultType]::ParameterValue, 'List, show or remove the voices that ''crane tts --save-voice'' kept')
            [CompletionResult]::new('score', 'score', [CompletionResultType]::ParameterValue, 'Score a text: negative log-likelihood and perplexity')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure speed, beside the machine''s own limit')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'Say what this binary can compute on, and why not on the rest')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a shell''s completion script')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Print the manual page (roff)')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'crane;pull' {
            [CompletionResult]::new('--quant', '--quant', [CompletionResultType]::ParameterName, 'The quantisation to fetch, as MODEL:QUANT says it (q4_k_m, q8_0, bf16)')
            [CompletionResult]::new('--revision', '--revision', [CompletionResultType]::ParameterName, 'The branch, tag or commit to fetch [default: main]')
            [CompletionResult]::new('--include', '--include', [CompletionResultType]::ParameterName, 'Fetch the files that match instead of the ones the model needs (repeatable; * and ?)')
            [CompletionResult]::new('--exclude', '--exclude', [CompletionResultType]::ParameterName, 'Leave out the files that match (repeatable)')
            [CompletionResult]::new('--endpoint', '--endpoint', [CompletionResultType]::ParameterName, 'The hub or mirror to fetch from [default: HF_ENDPOINT or https://huggingface.co]')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'How to show progress on stderr')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Say what would be fetched, and whether disk and memory suffice')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Fetch files again that are there')
            [CompletionResult]::new('--no-verify', '--no-verify', [CompletionResultType]::ParameterName, 'Do not check the sha256 of what arrives')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'crane;list' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--catalogue', '--catalogue', [CompletionResultType]::ParameterName, 'List the models that have a short name instead, fetched or not')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;ls' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--catalogue', '--catalogue', [CompletionResultType]::ParameterName, 'List the models that have a short name instead, fetched or not')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;show' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--tensors', '--tensors', [CompletionResultType]::ParameterName, 'List every tensor: name, shape, type, bytes')
            [CompletionResult]::new('--template', '--template', [CompletionResultType]::ParameterName, 'Print the whole chat template')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;rm' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('-y', '-y', [CompletionResultType]::ParameterName, 'Do not ask')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Say what would be removed')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;verify' {
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'How to show progress on stderr')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--repair', '--repair', [CompletionResultType]::ParameterName, 'Fetch damaged files again')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'crane;run' {
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'The prompt, as one argument')
            [CompletionResult]::new('--prompt', '--prompt', [CompletionResultType]::ParameterName, 'The prompt, as one argument')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Read a file into the prompt (repeatable; ''-'' is stdin)')
            [CompletionResult]::new('--file', '--file', [CompletionResultType]::ParameterName, 'Read a file into the prompt (repeatable; ''-'' is stdin)')
            [CompletionResult]::new('--messages', '--messages', [CompletionResultType]::ParameterName, 'A conversation instead of a prompt: a JSON list of {"role": …, "content": …} (''-'' is stdin)')
            [CompletionResult]::new('--system', '--system', [CompletionResultType]::ParameterName, 'System message')
            [CompletionResult]::new('--prefill', '--prefill', [CompletionResultType]::ParameterName, 'Start of the answer, which the model continues; not repeated in the output')
            [CompletionResult]::new('--overflow', '--overflow', [CompletionResultType]::ParameterName, 'What to do with a prompt that is longer than the context')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'Shape of the output; --json alone is --format json')
            [CompletionResult]::new('--logprobs', '--logprobs', [CompletionResultType]::ParameterName, 'For each output token, its log-probability and those of the K likeliest (in JSON; at most the vocabulary)')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write to a file, which appears when it is complete, or grows line by line with --batch (''-'': stdout)')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Write to a file, which appears when it is complete, or grows line by line with --batch (''-'': stdout)')
            [CompletionResult]::new('--receipt', '--receipt', [CompletionResultType]::ParameterName, 'Write what determines the answer, for ''crane replay'' (''-'': stdout, where the answer goes to a file)')
            [CompletionResult]::new('--batch', '--batch', [CompletionResultType]::ParameterName, 'Answer a file of prompts, one JSON object a line: "prompt" or "messages", and if wanted "id", "system", "raw", "prefill", "schema", "regex" and the flags of generation ("max_tokens", "temperature", …); one line a line comes out, in the same order (''-'': stdin)')
            [CompletionResult]::new('--parallel', '--parallel', [CompletionResultType]::ParameterName, 'Answer so many prompts at the same time; the answers do not depend on it [default: 8, fewer where memory is short]')
            [CompletionResult]::new('--think', '--think', [CompletionResultType]::ParameterName, 'Whether a model that can think does so before it answers [default: as its template says; off where the answer has a structure]')
            [CompletionResult]::new('--quant', '--quant', [CompletionResultType]::ParameterName, 'Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp''s files of that name')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Tokens to generate at most [default: until the model stops or the context is full]')
            [CompletionResult]::new('--max-tokens', '--max-tokens', [CompletionResultType]::ParameterName, 'Tokens to generate at most [default: until the model stops or the context is full]')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Tokens the context holds [default: the model''s own length, at most 32768]')
            [CompletionResult]::new('--ctx-size', '--ctx-size', [CompletionResultType]::ParameterName, 'Tokens the context holds [default: the model''s own length, at most 32768]')
            [CompletionResult]::new('--temp', '--temp', [CompletionResultType]::ParameterName, 'Temperature; 0 always takes the likeliest token')
            [CompletionResult]::new('--temperature', '--temperature', [CompletionResultType]::ParameterName, 'Temperature; 0 always takes the likeliest token')
            [CompletionResult]::new('--top-k', '--top-k', [CompletionResultType]::ParameterName, 'Sample from the K likeliest tokens (0: from all)')
            [CompletionResult]::new('--top-p', '--top-p', [CompletionResultType]::ParameterName, 'Sample from the likeliest tokens that together reach probability P (1: from all)')
            [CompletionResult]::new('--min-p', '--min-p', [CompletionResultType]::ParameterName, 'Leave out tokens less likely than P times the likeliest (0: none)')
            [CompletionResult]::new('--repeat-penalty', '--repeat-penalty', [CompletionResultType]::ParameterName, 'Divide the logits of tokens seen before (1: off)')
            [CompletionResult]::new('--repeat-last-n', '--repeat-last-n', [CompletionResultType]::ParameterName, 'How many tokens back the repetition penalty looks (-1: all)')
            [CompletionResult]::new('--presence-penalty', '--presence-penalty', [CompletionResultType]::ParameterName, 'Subtract from the logits of tokens in the output (0: off)')
            [CompletionResult]::new('--frequency-penalty', '--frequency-penalty', [CompletionResultType]::ParameterName, 'Subtract from the logits of tokens in the output, once for each time (0: off)')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Seed; the same seed gives the same text [default: random]')
            [CompletionResult]::new('--seed', '--seed', [CompletionResultType]::ParameterName, 'Seed; the same seed gives the same text [default: random]')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Stop before this text (repeatable)')
            [CompletionResult]::new('--stop', '--stop', [CompletionResultType]::ParameterName, 'Stop before this text (repeatable)')
            [CompletionResult]::new('--schema', '--schema', [CompletionResultType]::ParameterName, 'Answer in JSON that is valid by this JSON Schema: a file, or the schema itself, {…} (without -n: at most 4096 tokens; an answer that is cut off ends with code 7)')
            [CompletionResult]::new('--regex', '--regex', [CompletionResultType]::ParameterName, 'Answer with a text that all of this regular expression matches (Rust''s syntax, no look-around)')
            [CompletionResult]::new('--grammar', '--grammar', [CompletionResultType]::ParameterName, 'Answer with a text of this grammar (Lark, as llguidance reads it)')
            [CompletionResult]::new('--choices', '--choices', [CompletionResultType]::ParameterName, 'Answer with the likeliest of these, each judged as a whole; nothing is sampled (''\,'' is a comma in a choice; spaces around one are dropped)')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--raw', '--raw', [CompletionResultType]::ParameterName, 'Send the prompt as it is, without the model''s chat template')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Times, speeds, memory and settings on stderr')
            [CompletionResult]::new('--resume', '--resume', [CompletionResultType]::ParameterName, 'Go on with the file of -o: what it has is kept, what is missing is added')
            [CompletionResult]::new('--show-thinking', '--show-thinking', [CompletionResultType]::ParameterName, 'Show the thinking, on stderr, also where stdout or stderr is not a terminal')
            [CompletionResult]::new('--ignore-eos', '--ignore-eos', [CompletionResultType]::ParameterName, 'Go on after the model''s end-of-text token')
            [CompletionResult]::new('--json-object', '--json-object', [CompletionResultType]::ParameterName, 'Answer with a JSON object, whatever is in it')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'crane;replay' {
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'Another place of the same model')
            [CompletionResult]::new('--model', '--model', [CompletionResultType]::ParameterName, 'Another place of the same model')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;chat' {
            [CompletionResult]::new('--system', '--system', [CompletionResultType]::ParameterName, 'System message')
            [CompletionResult]::new('--session', '--session', [CompletionResultType]::ParameterName, 'Keep the conversation under this name, and go on with what is there')
            [CompletionResult]::new('--cache-prompt', '--cache-prompt', [CompletionResultType]::ParameterName, 'Keep the state of the cache beside the session, so that it goes on without being computed again; all states together take MIB at most [default: 2048]')
            [CompletionResult]::new('--initial', '--initial', [CompletionResultType]::ParameterName, 'The first message (''-'': all of stdin, and then the terminal)')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'ndjson (also --json): each line of stdin is a JSON object, and each reply is one')
            [CompletionResult]::new('--quant', '--quant', [CompletionResultType]::ParameterName, 'Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp''s files of that name')
            [CompletionResult]::new('--think', '--think', [CompletionResultType]::ParameterName, 'Whether a model that can think does so before it answers [default: as its template says; off where the answer has a structure]')
            [CompletionResult]::new('--markdown', '--markdown', [CompletionResultType]::ParameterName, 'Colour Markdown on a terminal')
            [CompletionResult]::new('--overflow', '--overflow', [CompletionResultType]::ParameterName, 'What to do when the conversation no longer fits the context')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Tokens to generate at most [default: until the model stops or the context is full]')
            [CompletionResult]::new('--max-tokens', '--max-tokens', [CompletionResultType]::ParameterName, 'Tokens to generate at most [default: until the model stops or the context is full]')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Tokens the context holds [default: the model''s own length, at most 32768]')
            [CompletionResult]::new('--ctx-size', '--ctx-size', [CompletionResultType]::ParameterName, 'Tokens the context holds [default: the model''s own length, at most 32768]')
            [CompletionResult]::new('--temp', '--temp', [CompletionResultType]::ParameterName, 'Temperature; 0 always takes the likeliest token')
            [CompletionResult]::new('--temperature', '--temperature', [CompletionResultType]::ParameterName, 'Temperature; 0 always takes the likeliest token')
            [CompletionResult]::new('--top-k', '--top-k', [CompletionResultType]::ParameterName, 'Sample from the K likeliest tokens (0: from all)')
            [CompletionResult]::new('--top-p', '--top-p', [CompletionResultType]::ParameterName, 'Sample from the likeliest tokens that together reach probability P (1: from all)')
            [CompletionResult]::new('--min-p', '--min-p', [CompletionResultType]::ParameterName, 'Leave out tokens less likely than P times the likeliest (0: none)')
            [CompletionResult]::new('--repeat-penalty', '--repeat-penalty', [CompletionResultType]::ParameterName, 'Divide the logits of tokens seen before (1: off)')
            [CompletionResult]::new('--repeat-last-n', '--repeat-last-n', [CompletionResultType]::ParameterName, 'How many tokens back the repetition penalty looks (-1: all)')
            [CompletionResult]::new('--presence-penalty', '--presence-penalty', [CompletionResultType]::ParameterName, 'Subtract from the logits of tokens in the output (0: off)')
            [CompletionResult]::new('--frequency-penalty', '--frequency-penalty', [CompletionResultType]::ParameterName, 'Subtract from the logits of tokens in the output, once for each time (0: off)')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Seed; the same seed gives the same text [default: random]')
            [CompletionResult]::new('--seed', '--seed', [CompletionResultType]::ParameterName, 'Seed; the same seed gives the same text [default: random]')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Stop before this text (repeatable)')
            [CompletionResult]::new('--stop', '--stop', [CompletionResultType]::ParameterName, 'Stop before this text (repeatable)')
            [CompletionResult]::new('--schema', '--schema', [CompletionResultType]::ParameterName, 'Answer in JSON that is valid by this JSON Schema: a file, or the schema itself, {…} (without -n: at most 4096 tokens; an answer that is cut off ends with code 7)')
            [CompletionResult]::new('--regex', '--regex', [CompletionResultType]::ParameterName, 'Answer with a text that all of this regular expression matches (Rust''s syntax, no look-around)')
            [CompletionResult]::new('--grammar', '--grammar', [CompletionResultType]::ParameterName, 'Answer with a text of this grammar (Lark, as llguidance reads it)')
            [CompletionResult]::new('--choices', '--choices', [CompletionResultType]::ParameterName, 'Answer with the likeliest of these, each judged as a whole; nothing is sampled (''\,'' is a comma in a choice; spaces around one are dropped)')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('-C', '-C ', [CompletionResultType]::ParameterName, 'Go on with the session that was used last')
            [CompletionResult]::new('--continue', '--continue', [CompletionResultType]::ParameterName, 'Go on with the session that was used last')
            [CompletionResult]::new('--no-history', '--no-history', [CompletionResultType]::ParameterName, 'Do not remember the typed lines')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Times, speeds and memory on stderr after each reply')
            [CompletionResult]::new('--show-thinking', '--show-thinking', [CompletionResultType]::ParameterName, 'Show the thinking, on stderr, also where stdout or stderr is not a terminal')
            [CompletionResult]::new('--ignore-eos', '--ignore-eos', [CompletionResultType]::ParameterName, 'Go on after the model''s end-of-text token')
            [CompletionResult]::new('--json-object', '--json-object', [CompletionResultType]::ParameterName, 'Answer with a JSON object, whatever is in it')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'crane;tts' {
            [CompletionResult]::new('-m', '-m', [CompletionResultType]::ParameterName, 'The model: an alias, org/repo or a Spark-TTS folder')
            [CompletionResult]::new('--model', '--model', [CompletionResultType]::ParameterName, 'The model: an alias, org/repo or a Spark-TTS folder')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Read the text from a file (''-'' is stdin)')
            [CompletionResult]::new('--file', '--file', [CompletionResultType]::ParameterName, 'Read the text from a file (''-'' is stdin)')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Where the speech goes (''-'': stdout) [default: out.wav, or out.raw with --format raw]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Where the speech goes (''-'': stdout) [default: out.wav, or out.raw with --format raw]')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'WAV, or 16-bit little-endian samples without a header')
            [CompletionResult]::new('--gender', '--gender', [CompletionResultType]::ParameterName, 'A described voice: female or male [default: female]')
            [CompletionResult]::new('--pitch', '--pitch', [CompletionResultType]::ParameterName, 'How high: very_low, low, moderate, high, very_high [default: moderate]')
            [CompletionResult]::new('--speed', '--speed', [CompletionResultType]::ParameterName, 'How fast: very_low, low, moderate, high, very_high [default: moderate]')
            [CompletionResult]::new('--clone', '--clone', [CompletionResultType]::ParameterName, 'The voice of a recording (3 to 30 s of speech)')
            [CompletionResult]::new('--ref-text', '--ref-text', [CompletionResultType]::ParameterName, 'The words of the recording, which make the voice truer')
            [CompletionResult]::new('--voice', '--voice', [CompletionResultType]::ParameterName, 'A voice that --save-voice kept (''crane voices list'')')
            [CompletionResult]::new('--save-voice', '--save-voice', [CompletionResultType]::ParameterName, 'Keep the voice under this name')
            [CompletionResult]::new('--split', '--split', [CompletionResultType]::ParameterName, 'Where a text is cut: sentences, lines, or none')
            [CompletionResult]::new('--pause', '--pause', [CompletionResultType]::ParameterName, 'Seconds of silence between pieces; two and a half times as long between paragraphs')
            [CompletionResult]::new('--retries', '--retries', [CompletionResultType]::ParameterName, 'How often an answer that is no speech is tried again with another seed')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Tokens of a piece at most [default: 3000, and what the text can take]')
            [CompletionResult]::new('--max-tokens', '--max-tokens', [CompletionResultType]::ParameterName, 'Tokens of a piece at most [default: 3000, and what the text can take]')
            [CompletionResult]::new('--tokens-out', '--tokens-out', [CompletionResultType]::ParameterName, 'Write what was spoken as numbers, to be spoken again with --tokens (''-'': stdout)')
            [CompletionResult]::new('--tokens', '--tokens', [CompletionResultType]::ParameterName, 'Speak the tokens of such a file, without the language model')
            [CompletionResult]::new('--temp', '--temp', [CompletionResultType]::ParameterName, 'Temperature; 0 always takes the likeliest token')
            [CompletionResult]::new('--temperature', '--temperature', [CompletionResultType]::ParameterName, 'Temperature; 0 always takes the likeliest token')
            [CompletionResult]::new('--top-k', '--top-k', [CompletionResultType]::ParameterName, 'Sample from the K likeliest tokens (0: from all)')
            [CompletionResult]::new('--top-p', '--top-p', [CompletionResultType]::ParameterName, 'Sample from the likeliest tokens that together reach probability P (1: from all)')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Seed; the same seed gives the same samples [default: random]')
            [CompletionResult]::new('--seed', '--seed', [CompletionResultType]::ParameterName, 'Seed; the same seed gives the same samples [default: random]')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Tokens the context holds [default: the model''s own length]')
            [CompletionResult]::new('--ctx-size', '--ctx-size', [CompletionResultType]::ParameterName, 'Tokens the context holds [default: the model''s own length]')
            [CompletionResult]::new('--quant', '--quant', [CompletionResultType]::ParameterName, 'Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp''s files of that name')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--stream', '--stream', [CompletionResultType]::ParameterName, 'Hand samples on as soon as they are certain (to stdout, a pipe or a player)')
            [CompletionResult]::new('--play', '--play', [CompletionResultType]::ParameterName, 'Play the speech (through aplay, paplay, ffplay or play)')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Times, speeds and memory on stderr')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;vision' {
            [CompletionResult]::new('--image', '--image', [CompletionResultType]::ParameterName, 'An image, behind those above (repeatable)')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'What is asked about the images [default: stdin where it is a pipe, else "Describe this image."]')
            [CompletionResult]::new('--prompt', '--prompt', [CompletionResultType]::ParameterName, 'What is asked about the images [default: stdin where it is a pipe, else "Describe this image."]')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Read a file into the question, before that of --prompt (repeatable; ''-'' is stdin)')
            [CompletionResult]::new('--file', '--file', [CompletionResultType]::ParameterName, 'Read a file into the question, before that of --prompt (repeatable; ''-'' is stdin)')
            [CompletionResult]::new('--messages', '--messages', [CompletionResultType]::ParameterName, 'A conversation with image parts: a JSON list of {"role": …, "content": [{"type": "image", "image": PATH}, …]} (''-'' is stdin)')
            [CompletionResult]::new('--system', '--system', [CompletionResultType]::ParameterName, 'System message')
            [CompletionResult]::new('--each-prompt', '--each-prompt', [CompletionResultType]::ParameterName, 'Answer every line of a file, the images being encoded once: a line of JSON each (''-'' is stdin)')
            [CompletionResult]::new('--boxes', '--boxes', [CompletionResultType]::ParameterName, 'Print the boxes and points of the answer (Qwen2.5-VL), in pixels of the picture as it is shown')
            [CompletionResult]::new('--min-pixels', '--min-pixels', [CompletionResultType]::ParameterName, 'Enlarge pictures with fewer pixels than this [default: the model''s own]')
            [CompletionResult]::new('--max-pixels', '--max-pixels', [CompletionResultType]::ParameterName, 'Shrink pictures with more pixels than this [default: the model''s own, as far as the memory goes]')
            [CompletionResult]::new('--mmproj', '--mmproj', [CompletionResultType]::ParameterName, 'The file that reads the images of a GGUF model [default: mmproj-….gguf beside it]')
            [CompletionResult]::new('--prefill', '--prefill', [CompletionResultType]::ParameterName, 'Start of the answer, which the model continues; not repeated in the output')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'Shape of the output; --json alone is --format json')
            [CompletionResult]::new('--logprobs', '--logprobs', [CompletionResultType]::ParameterName, 'For each output token, its log-probability and those of the K likeliest (in JSON; at most the vocabulary)')
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Write to a file, which appears when it is complete (''-'': stdout)')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Write to a file, which appears when it is complete (''-'': stdout)')
            [CompletionResult]::new('--quant', '--quant', [CompletionResultType]::ParameterName, 'Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp''s files of that name')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Tokens to generate at most [default: until the model stops or the context is full]')
            [CompletionResult]::new('--max-tokens', '--max-tokens', [CompletionResultType]::ParameterName, 'Tokens to generate at most [default: until the model stops or the context is full]')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Tokens the context holds [default: the model''s own length, at most 32768]')
            [CompletionResult]::new('--ctx-size', '--ctx-size', [CompletionResultType]::ParameterName, 'Tokens the context holds [default: the model''s own length, at most 32768]')
            [CompletionResult]::new('--temp', '--temp', [CompletionResultType]::ParameterName, 'Temperature; 0 always takes the likeliest token')
            [CompletionResult]::new('--temperature', '--temperature', [CompletionResultType]::ParameterName, 'Temperature; 0 always takes the likeliest token')
            [CompletionResult]::new('--top-k', '--top-k', [CompletionResultType]::ParameterName, 'Sample from the K likeliest tokens (0: from all)')
            [CompletionResult]::new('--top-p', '--top-p', [CompletionResultType]::ParameterName, 'Sample from the likeliest tokens that together reach probability P (1: from all)')
            [CompletionResult]::new('--min-p', '--min-p', [CompletionResultType]::ParameterName, 'Leave out tokens less likely than P times the likeliest (0: none)')
            [CompletionResult]::new('--repeat-penalty', '--repeat-penalty', [CompletionResultType]::ParameterName, 'Divide the logits of tokens seen before (1: off)')
            [CompletionResult]::new('--repeat-last-n', '--repeat-last-n', [CompletionResultType]::ParameterName, 'How many tokens back the repetition penalty looks (-1: all)')
            [CompletionResult]::new('--presence-penalty', '--presence-penalty', [CompletionResultType]::ParameterName, 'Subtract from the logits of tokens in the output (0: off)')
            [CompletionResult]::new('--frequency-penalty', '--frequency-penalty', [CompletionResultType]::ParameterName, 'Subtract from the logits of tokens in the output, once for each time (0: off)')
            [CompletionResult]::new('-s', '-s', [CompletionResultType]::ParameterName, 'Seed; the same seed gives the same text [default: random]')
            [CompletionResult]::new('--seed', '--seed', [CompletionResultType]::ParameterName, 'Seed; the same seed gives the same text [default: random]')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Stop before this text (repeatable)')
            [CompletionResult]::new('--stop', '--stop', [CompletionResultType]::ParameterName, 'Stop before this text (repeatable)')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--each', '--each', [CompletionResultType]::ParameterName, 'Answer for every image by itself, from one load: a line of JSON each (--format text: the answers alone)')
            [CompletionResult]::new('--stats', '--stats', [CompletionResultType]::ParameterName, 'Times, speeds, memory and settings on stderr')
            [CompletionResult]::new('--ignore-eos', '--ignore-eos', [CompletionResultType]::ParameterName, 'Go on after the model''s end-of-text token')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'crane;voices' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the voices')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List the voices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a voice: its tokens, its words, where it came from')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a voice')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'crane;voices;list' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;voices;ls' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;voices;show' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;voices;rm' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;voices;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the voices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a voice: its tokens, its words, where it came from')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a voice')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'crane;voices;help;list' {
            break
        }
        'crane;voices;help;show' {
            break
        }
        'crane;voices;help;rm' {
            break
        }
        'crane;voices;help;help' {
            break
        }
        'crane;score' {
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'The text (''-'': stdin)')
            [CompletionResult]::new('--file', '--file', [CompletionResultType]::ParameterName, 'The text (''-'': stdin)')
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Tokens the context holds [default: the model''s own length, at most 32768]')
            [CompletionResult]::new('--ctx-size', '--ctx-size', [CompletionResultType]::ParameterName, 'Tokens the context holds [default: the model''s own length, at most 32768]')
            [CompletionResult]::new('--quant', '--quant', [CompletionResultType]::ParameterName, 'Quantise at load, tensor by tensor, where the width allows it; q4_k_m is the mix of llama.cpp''s files of that name')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--raw', '--raw', [CompletionResultType]::ParameterName, 'As in ''run''; a text is always scored as it is, so this changes nothing')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;bench' {
            [CompletionResult]::new('--task', '--task', [CompletionResultType]::ParameterName, 'What the models do. tts measures the language model, the codec, both, and what cloning a voice does first; vision the encoding of a picture, and the language model with it in the prompt')
            [CompletionResult]::new('--synthetic', '--synthetic', [CompletionResultType]::ParameterName, 'A model of the catalogue with seeded weights instead of its own: nothing is downloaded, and the speed is the same')
            [CompletionResult]::new('--image-size', '--image-size', [CompletionResultType]::ParameterName, 'With --task vision, width and height of the picture [default: 1024x768]')
            [CompletionResult]::new('-p', '-p', [CompletionResultType]::ParameterName, 'Tokens of a prompt, in one pass; 0 leaves the test out [default: 512]')
            [CompletionResult]::new('--n-prompt', '--n-prompt', [CompletionResultType]::ParameterName, 'Tokens of a prompt, in one pass; 0 leaves the test out [default: 512]')
            [CompletionResult]::new('-n', '-n', [CompletionResultType]::ParameterName, 'Tokens generated one by one; 0 leaves the test out [default: 128]')
            [CompletionResult]::new('--n-gen', '--n-gen', [CompletionResultType]::ParameterName, 'Tokens generated one by one; 0 leaves the test out [default: 128]')
            [CompletionResult]::new('--pg', '--pg', [CompletionResultType]::ParameterName, 'A prompt and what is generated after it, together (repeatable)')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'Tokens that are in the cache before each test [default: 0]')
            [CompletionResult]::new('--n-depth', '--n-depth', [CompletionResultType]::ParameterName, 'Tokens that are in the cache before each test [default: 0]')
            [CompletionResult]::new('--parallel', '--parallel', [CompletionResultType]::ParameterName, 'Sequences that are generated together, as the answers of ''crane run --batch''; speeds are those of all of them. Their prompts are read one after the other, so that a prompt alone is measured once [default: 1]')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Times that each test is repeated, in turn with the others, after one to warm up')
            [CompletionResult]::new('--repetitions', '--repetitions', [CompletionResultType]::ParameterName, 'Times that each test is repeated, in turn with the others, after one to warm up')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number types; auto keeps what the file stores. A quantised model is measured once, whatever stands here')
            [CompletionResult]::new('--quant', '--quant', [CompletionResultType]::ParameterName, 'Quantise at load; q4_k_m is the mix of llama.cpp''s files of that name')
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'Shape of the output; --json alone is --format json')
            [CompletionResult]::new('--save', '--save', [CompletionResultType]::ParameterName, 'Keep the result under a name, for --compare')
            [CompletionResult]::new('--compare', '--compare', [CompletionResultType]::ParameterName, 'Ratios to a saved result, or to a file of --format json')
            [CompletionResult]::new('--fail-if', '--fail-if', [CompletionResultType]::ParameterName, 'Exit with 7 if this is so: decode, prefill, ttft, load, memory, nll or kl; ''<'' or ''>''; a number or a change in percent against --compare, as in ''decode<-5%'' (repeatable)')
            [CompletionResult]::new('--quality', '--quality', [CompletionResultType]::ParameterName, 'Also say how likely the model finds this text, and how far it is from itself in f32')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--encoder-only', '--encoder-only', [CompletionResultType]::ParameterName, 'With --task vision, leave the language model out')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'crane;devices' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;completions' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;man' {
            [CompletionResult]::new('--device', '--device', [CompletionResultType]::ParameterName, 'Where to compute: auto, cpu, cuda, cuda:N or metal')
            [CompletionResult]::new('--dtype', '--dtype', [CompletionResultType]::ParameterName, 'Number type to compute in; auto keeps what the file stores where the device is fast at it')
            [CompletionResult]::new('-t', '-t', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Threads [default: the physical cores this process may use]')
            [CompletionResult]::new('--cache-type', '--cache-type', [CompletionResultType]::ParameterName, 'How keys and values are kept on a CPU: f16, f32 or q8_0 [default: f32 beside f32 weights, else f16]')
            [CompletionResult]::new('--simd', '--simd', [CompletionResultType]::ParameterName, 'The best instruction set that is used, for comparisons [default: the best of this CPU]')
            [CompletionResult]::new('--cache-dir', '--cache-dir', [CompletionResultType]::ParameterName, 'Where models are kept [default: the Hugging Face cache]')
            [CompletionResult]::new('--color', '--color', [CompletionResultType]::ParameterName, 'Colours: auto (terminals only; NO_COLOR and TERM=dumb are heeded), always, never')
            [CompletionResult]::new('--require-device', '--require-device', [CompletionResultType]::ParameterName, 'Fail (exit code 5) where --device auto would compute on the CPU, as no GPU can be used or the model does not fit')
            [CompletionResult]::new('--offline', '--offline', [CompletionResultType]::ParameterName, 'Use only what is on this machine (also HF_HUB_OFFLINE=1)')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Only errors on stderr')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Say more on stderr: what a name resolved to, which device was taken')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON on stdout')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'crane;help' {
            [CompletionResult]::new('pull', 'pull', [CompletionResultType]::ParameterValue, 'Fetch a model''s files into the Hugging Face cache')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the models on this machine')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show what a model is, from its headers alone')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a model from the cache')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check a model''s files against their checksums')
            [CompletionResult]::new('run', 'run', [CompletionResultType]::ParameterValue, 'Answer one prompt, or a file of them')
            [CompletionResult]::new('replay', 'replay', [CompletionResultType]::ParameterValue, 'Run again what ''crane run --receipt'' wrote down, and say whether the same comes')
            [CompletionResult]::new('chat', 'chat', [CompletionResultType]::ParameterValue, 'Hold a conversation')
            [CompletionResult]::new('tts', 'tts', [CompletionResultType]::ParameterValue, 'Speak a text')
            [CompletionResult]::new('vision', 'vision', [CompletionResultType]::ParameterValue, 'Answer a question about images')
            [CompletionResult]::new('voices', 'voices', [CompletionResultType]::ParameterValue, 'List, show or remove the voices that ''crane tts --save-voice'' kept')
            [CompletionResult]::new('score', 'score', [CompletionResultType]::ParameterValue, 'Score a text: negative log-likelihood and perplexity')
            [CompletionResult]::new('bench', 'bench', [CompletionResultType]::ParameterValue, 'Measure speed, beside the machine''s own limit')
            [CompletionResult]::new('devices', 'devices', [CompletionResultType]::ParameterValue, 'Say what this binary can compute on, and why not on the rest')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print a shell''s completion script')
            [CompletionResult]::new('man', 'man', [CompletionResultType]::ParameterValue, 'Print the manual page (roff)')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'crane;help;pull' {
            break
        }
        'crane;help;list' {
            break
        }
        'crane;help;show' {
            break
        }
        'crane;help;rm' {
            break
        }
        'crane;help;verify' {
            break
        }
        'crane;help;run' {
            break
        }
        'crane;help;replay' {
            break
        }
        'crane;help;chat' {
            break
        }
        'crane;help;tts' {
            break
        }
        'crane;help;vision' {
            break
        }
        'crane;help;voices' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the voices')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show a voice: its tokens, its words, where it came from')
            [CompletionResult]::new('rm', 'rm', [CompletionResultType]::ParameterValue, 'Remove a voice')
            break
        }
        'crane;help;voices;list' {
            break
        }
        'crane;help;voices;show' {
            break
        }
        'crane;help;voices;rm' {
            break
        }
        'crane;help;score' {
            break
        }
        'crane;help;bench' {
            break
        }
        'crane;help;devices' {
            break
        }
        'crane;help;completions' {
            break
        }
        'crane;help;man' {
            break
        }
        'crane;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
