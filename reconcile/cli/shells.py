"""The command completion: prints the script for a shell, which asks this program for completions; and their answer.

The script passes the words of the line in the environment. Each line of the answer is a word in the form that the shell
expects: bash and PowerShell insert it as it is, so it is quoted here; zsh and fish quote what they insert.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import typer

from reconcile.core.errors import ExitCode

VARIABLE = "_RECONCILE_COMPLETE"
"""The variable that has the name of the shell."""
WORDS = "_RECONCILE_WORDS"
"""The variable that has the words up to the one that is being typed, one on each line, without quotes."""
Shell = Literal["bash", "zsh", "fish", "powershell"]

_BASH = """\
_reconcile_completion() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(_RECONCILE_COMPLETE=bash _RECONCILE_LINE="${COMP_LINE:0:COMP_POINT}" \\
             _RECONCILE_BREAKS="$COMP_WORDBREAKS" "$1" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o default -F _reconcile_completion reconcile
"""
_ZSH = """\
#compdef reconcile

_reconcile() {
    local line
    local -a values shown folders shown_folders
    while IFS= read -r line; do
        if [[ ${line%%$'\\t'*} == */ ]]; then
            folders+=("${line%%$'\\t'*}"); shown_folders+=("${line/$'\\t'/  -- }")
        else
            values+=("${line%%$'\\t'*}"); shown+=("${line/$'\\t'/  -- }")
        fi
    done < <(_RECONCILE_COMPLETE=zsh _RECONCILE_WORDS="${(@pj:\\n:)${(@Q)words[1,CURRENT-1]}}"$'\\n'"${(Q)PREFIX}" \\
             "$words[1]" 2>/dev/null)
    if (( $#values + $#folders == 0 )); then
        _files
        return
    fi
    [[ $PREFIX == --*=* ]] && compset -P '*='
    compadd -l -d shown -a values
    compadd -l -S '' -d shown_folders -a folders
}

if [[ $funcstack[1] == _reconcile ]]; then
    _reconcile "$@"
else
    compdef _reconcile reconcile
fi
"""
_FISH = """\
function __reconcile_complete
    set -l typed (commandline -ct)
    set -l word (string unescape -- $typed; or string unescape -- $typed"'"; or string unescape -- $typed'"')
    set -l words (commandline -opc) "$word"
    set -l found (env _RECONCILE_COMPLETE=fish _RECONCILE_WORDS=(string join \\n -- $words | string collect) \\
        $words[1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete --command reconcile --no-files --keep-order --arguments '(__reconcile_complete)'
"""
_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName reconcile -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $begun = $commandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursorPosition }
    $words = @($begun | ForEach-Object { if ($_.Value -is [string]) { $_.Value } else { $_.Extent.Text } })
    if ($wordToComplete -eq '') { $words += '' }
    $encoding = [Console]::OutputEncoding
    try {
        [Console]::OutputEncoding = [System.Text.UTF8Encoding]::new()
        $env:_RECONCILE_COMPLETE = 'powershell'
        $env:_RECONCILE_WORDS = $words -join "`n"
        reconcile 2>$null | ForEach-Object {
            $text, $shown, $help = $_ -split "`t"
            [System.Management.Automation.CompletionResult]::new($text, $shown, 'ParameterValue', $help)
        }
    } finally {
        [Console]::OutputEncoding = $encoding
        Remove-Item Env:_RECONCILE_COMPLETE, Env:_RECONCILE_WORDS -ErrorAction SilentlyContinue
    }
}
"""
SCRIPTS: dict[str, str] = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH, "powershell": _POWERSHELL}


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell")],
) -> ExitCode:
    typer.echo(SCRIPTS[shell], nl=False)
    return ExitCode.OK


class Word(NamedTuple):
    """A word that can be inserted. ``begun`` is the part that is already before it: the name of an option and "=", or
    nothing."""

    begun: str
    value: str
    help: str


def answer(cli: Any, environment: Mapping[str, str]) -> bytes:
    """Returns what the script of the shell reads. It is empty if anything fails, because a person is typing, and for
    the script of an earlier version, which asks in another way."""
    shell = environment[VARIABLE]
    try:
        if shell == "bash":
            line = _Line(environment["_RECONCILE_LINE"], environment["_RECONCILE_BREAKS"])
            lines = [line.completed(each) for each in _found(cli, line.words)]
        else:
            lines = [_WRITTEN[shell](each) for each in _found(cli, environment[WORDS].split("\n"))]
        return "".join(f"{each}\n" for each in lines).encode("utf-8")
    except (Exception, SystemExit):  # noqa: BLE001 a key press must not print an error
        return b""


def _found(cli: Any, words: list[str]) -> list[Word]:
    """Returns what the last of the words could become."""
    from typer._completion_classes import BashComplete

    *before, incomplete = words[1:]
    option, sign, rest = incomplete.partition("=")
    begun = f"{option}=" if sign and option.startswith("--") else ""
    if begun:
        before, incomplete = [*before, option], rest
    items = BashComplete(cli, {}, "reconcile", VARIABLE).get_completions(before, incomplete)
    found = (Word(begun, str(item.value), " ".join(_harmless(item.help or "").split())) for item in items)
    # A name with control characters cannot be inserted, and the terminal would interpret them.
    return [each for each in found if each.value and each.value.isprintable()]


def _harmless(text: str) -> str:
    """Reduces a description to what is harmless on a command line: letters, digits and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "-_.,+/:'()" else " " for sign in text)


class _Line:
    """A line in bash up to the cursor: its words without quotes, and the part of the last one that bash replaces, which
    begins after the last of its ``breaks``, or after an open quote."""

    def __init__(self, line: str, breaks: str) -> None:
        self.words: list[str] = []
        self._quote = ""
        self._kept = 0
        word: list[str] = []
        begun = is_escaped = False
        for sign in line:
            if is_escaped:
                if self._quote == '"' and sign not in '"\\$`':
                    word.append("\\")
                word.append(sign)
                is_escaped = False
            elif sign == "\\" and self._quote != "'":
                begun = is_escaped = True
            elif self._quote:
                if sign == self._quote:
                    self._quote = ""
                else:
                    word.append(sign)
            elif sign in "'\"":
                self._quote, begun, self._kept = sign, True, len(word)
            elif sign.isspace():
                if begun:
                    self.words.append("".join(word))
                word, begun, self._kept = [], False, 0
            else:
                word.append(sign)
                begun = True
                if sign in breaks:
                    self._kept = len(word)
        self.words.append("".join(word))

    def completed(self, word: Word) -> str:
        """Returns the part of the word that bash inserts, quoted to fit there."""
        rest = (word.begun + word.value)[self._kept :]
        if self._quote == "'":
            return rest.replace("'", "'\\''")
        if self._quote == '"':
            return "".join(f"\\{sign}" if sign in '"\\$`' else sign for sign in rest)
        return "".join(sign if sign.isalnum() or sign in "_-./:=@%+," else f"\\{sign}" for sign in rest)


def _for_powershell(word: Word) -> str:
    whole = word.begun + word.value
    is_plain = all(sign.isalnum() or sign in "_-./:=+" for sign in whole)
    # PowerShell treats curly quotes like straight ones.
    quoted = "".join(sign * 2 if sign in "'‘’‚‛" else sign for sign in whole)
    text = whole if is_plain else f"'{quoted}'"
    return f"{text}\t{word.value}\t{word.help or word.value}"


_WRITTEN: dict[str, Callable[[Word], str]] = {
    "zsh": lambda word: f"{word.value}\t{word.help}" if word.help else word.value,
    "fish": lambda word: f"{word.begun}{word.value}" + (f"\t{word.help}" if word.help else ""),
    "powershell": _for_powershell,
}


def tell(cli: Any) -> ExitCode:
    """Writes the answer to the script."""
    sys.stdout.buffer.write(answer(cli, os.environ))
    return ExitCode.OK
