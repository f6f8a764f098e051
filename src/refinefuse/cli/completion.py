"""`refinefuse completion`, and the completions themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

SCRIPTS = {
    "bash": """\
_refinefuse() {
  COMPREPLY=($(compgen -W "$(refinefuse completion words -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)" -- "$2"))
}
complete -o default -F _refinefuse refinefuse
""",
    "zsh": """\
_refinefuse() {
  local words_found=(${(f)"$(refinefuse completion words -- ${words[2,CURRENT-1]} 2>/dev/null)"})
  compadd -a words_found; _files
}
compdef _refinefuse refinefuse
""",
    "fish": """\
complete -c refinefuse -a '(refinefuse completion words -- (commandline -opc)[2..-1] 2>/dev/null)'
""",
}
EXAMPLES = """\
  source <(refinefuse completion bash)
  refinefuse completion fish | source
"""


def run(shell: Literal["bash", "zsh", "fish", "words"], *before: str) -> int:
    """Print a script that completes commands, options and values in a shell.

    Args:
        shell: bash, zsh or fish. With `words`, print what may follow the words of a command line.
        before: The words before the one to complete.
    """
    print(SCRIPTS[shell] if shell in SCRIPTS else "\n".join(words_after(before)))
    return 0


def words_after(before: Sequence[str]) -> list[str]:
    """Return the completions: commands, then options of the command or values of the last option; otherwise none."""
    from refinefuse.cli import COMMANDS, module_of
    from refinefuse.cli.parsing import choices_of, groups_of

    length = next((count for count in (2, 1) if " ".join(before[:count]) in COMMANDS), 0)
    if not length or (len(before) == 1 and any(command.startswith(f"{before[0]} ") for command in COMMANDS)):
        rest = [
            command.split()[len(before) :] for command in COMMANDS if command.split()[: len(before)] == list(before)
        ]
        return list(dict.fromkeys(words[0] for words in rest if words))
    module = module_of(" ".join(before[:length]))
    options = {one.flag: one for _, group in groups_of(module.run) for one in group if not one.positional}
    if before[-1] in options and options[before[-1]].hint is not bool:
        return list(choices_of(options[before[-1]].hint))
    return [*options, "--help"]
