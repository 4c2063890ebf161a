#!/bin/sh
# Builds crane and installs it for the current user. Safe to run again; --uninstall takes it away.
set -eu

usage() {
    cat <<'TEXT'
Usage: ./install.sh [--prefix DIR] [--features LIST] [--uninstall]

  --prefix DIR      install to DIR/bin and DIR/share/man  [default: $PREFIX, else ~/.local]
  --features LIST   cargo features: cuda (NVIDIA GPUs; a toolkit is not needed), metal, accelerate
  --uninstall       remove the binary, the manual page and the completions; models stay
TEXT
}

say() { printf '%s\n' "$*"; }

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

prefix=${PREFIX:-}
features=
uninstall=no
while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --features)
        [ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value" 2
        if [ "$1" = --prefix ]; then prefix=$2; else features=$2; fi
        shift
        ;;
    --prefix=*) prefix=${1#*=} ;;
    --features=*) features=${1#*=} ;;
    --uninstall) uninstall=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        fail "unknown argument '$1'" 2
        ;;
    esac
    shift
done

[ -n "${HOME:-}" ] || fail "HOME is not set"
prefix=${prefix:-$HOME/.local}
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac

bin=$prefix/bin/crane
man=$prefix/share/man/man1/crane.1
data=${XDG_DATA_HOME:-$HOME/.local/share}
config=${XDG_CONFIG_HOME:-$HOME/.config}

# Where each shell looks for a user's completions; PowerShell and elvish are told by a line in their profile.
completion_file() {
    case $1 in
    bash) printf '%s' "$data/bash-completion/completions/crane" ;;
    zsh) printf '%s' "$data/zsh/site-functions/_crane" ;;
    fish) printf '%s' "$config/fish/completions/crane.fish" ;;
    powershell) printf '%s' "$data/crane/_crane.ps1" ;;
    elvish) printf '%s' "$config/elvish/lib/crane.elv" ;;
    esac
}

if [ "$uninstall" = yes ]; then
    removed=no
    for file in "$bin" "$man" "$(completion_file bash)" "$(completion_file zsh)" "$(completion_file fish)" \
        "$(completion_file powershell)" "$(completion_file elvish)"; do
        if [ -e "$file" ]; then
            rm -f "$file" || fail "cannot remove $file"
            say "removed $file"
            removed=yes
        fi
    done
    rmdir "$data/crane" 2>/dev/null || :
    [ "$removed" = yes ] || say "crane is not installed under $prefix"
    say "Models stay where they are, in the Hugging Face cache."
    exit 0
fi

command -v cargo >/dev/null 2>&1 ||
    fail "cargo is missing; install Rust from https://rustup.rs and open a new shell"
command -v cc >/dev/null 2>&1 ||
    fail "a C compiler is missing; install one ('apt install build-essential', 'dnf install gcc', 'xcode-select --install')"

cd "$(dirname "$0")"
[ -f Cargo.toml ] || fail "run it from crane's source folder"
say "Building crane (the first time takes some minutes) ..."
# Named, as a configuration of cargo's may say another.
folder=${CARGO_TARGET_DIR:-target}
if [ -n "$features" ]; then
    cargo build --release --locked --target-dir "$folder" --features "$features" || fail "the build failed"
else
    cargo build --release --locked --target-dir "$folder" || fail "the build failed"
fi
built=$folder/release/crane
[ -x "$built" ] || fail "cargo left no binary at $built"

# Writes stdin to a file that is never seen half-written, also while an older crane is running.
put() {
    mkdir -p "$(dirname "$1")" || fail "cannot make the folder of $1"
    cat >"$1.new" || fail "cannot write $1"
    chmod "$2" "$1.new"
    mv -f "$1.new" "$1" || fail "cannot write $1"
    say "installed $1"
}

put "$bin" 755 <"$built"
"$bin" man | put "$man" 644

# A shell is the user's when it is the login shell or is installed.
has_shell() {
    case ${SHELL:-} in
    */"$1") return 0 ;;
    esac
    command -v "$1" >/dev/null 2>&1
}

for shell in bash zsh fish elvish; do
    if has_shell "$shell"; then
        "$bin" completions "$shell" | put "$(completion_file "$shell")" 644
    fi
done
if has_shell pwsh; then
    "$bin" completions powershell | put "$(completion_file powershell)" 644
    say "PowerShell: add '. $(completion_file powershell)' to \$PROFILE"
fi
if has_shell zsh; then
    say "zsh: if completion does not work, put 'fpath+=($data/zsh/site-functions)' before compinit in ~/.zshrc"
fi
if has_shell elvish; then
    say "elvish: add 'use crane' to rc.elv"
fi

case :${PATH:-}: in
*:"$prefix/bin":*) ;;
*) say "$prefix/bin is not on your PATH; add to your shell's profile: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
say "Try: crane run smollm2-135m \"Why is the sky blue?\""
