"""`ftspec init`"""

import os
import re
import shlex
from pathlib import Path

import click

from ftspec.cli.common import write_file
from ftspec.paths import shared_folder

TEMPLATES = {
    "code": "quickstart.yaml",
    "pairs": "pairs.yaml",
    "beir": "beir.yaml",
    "chat": "llm-chat.yaml",
    "completion": "llm-completion.yaml",
    "raft": "llm-raft.yaml",
}
# The examples of `kind: LLM` train a random model on data of theirs: what is set for these two goes.
_OF_THE_EXAMPLE = ("adapter", "model.max_seq_length", "train.learning_rate", "train.num_train_epochs")
LEFT_OUT = {
    "chat": (*_OF_THE_EXAMPLE, "data.train.0.roles", "data.split", "evaluation.slices"),
    "completion": (
        *_OF_THE_EXAMPLE,
        "data.train.0.roles",
        "data.split",
        "train.global_batch_size",
        "evaluation.max_new_tokens",
    ),
    "raft": (*_OF_THE_EXAMPLE, "evaluation.generate_rows", "evaluation.max_new_tokens"),
}


@click.command("init")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=Path("spec.yaml"))
@click.option(
    "--from",
    "template",
    type=click.Choice(sorted(TEMPLATES)),
    default="code",
    show_default=True,
    help="Where training data comes from. Embedding models: a code base, a file of pairs, a BEIR folder. LLMs: "
    "a file of chats or of completions, or documents with questions (raft).",
)
@click.option("--base", help="LLMs: the model to fine-tune, an id of the hub or a folder.")
@click.option("--questions", help="raft: the file of questions; --path names the documents.")
@click.option("--name", help="Name of the model; default: the file's name.")
@click.option(
    "--path", "data_path", help="Data: folder or file to learn from, seen from the working directory."
)
def init_command(
    file: Path,
    template: str,
    base: str | None,
    questions: str | None,
    name: str | None,
    data_path: str | None,
) -> None:
    """Write a first spec, ready to be read and changed.

    \b
    Examples:
      ftspec init specs/code.yaml --path src
      ftspec init specs/support.yaml --from pairs --path data/questions.jsonl
      ftspec init specs/answers.yaml --from chat --base Qwen/Qwen2.5-3B-Instruct --path data/chats.jsonl
    """
    from ftspec.source.edit import set_values
    from ftspec.source.format import format_text
    from ftspec.spec.metadata import NAME_PATTERN

    if file.exists():
        raise click.ClickException(f"{file} exists; it is not overwritten")
    if not file.parent.is_dir():
        raise click.UsageError(f"there is no folder {str(file.parent)!r}")
    for option, given in (("--base", base), ("--questions", questions), ("--path", data_path)):
        if given is not None and not given.strip():
            raise click.UsageError(f"{option} is empty")
    if data_path is None and template != "code":
        raise click.UsageError(f"--from {template} needs --path: the data to learn from")
    if (base is None) == (template in LEFT_OUT):
        raise click.UsageError(
            f"--from {template} needs --base: the model to fine-tune"
            if base is None
            else f"--base goes with --from {', '.join(sorted(LEFT_OUT))}"
        )
    if (questions is None) == (template == "raft"):
        raise click.UsageError(
            "--from raft needs --questions" if questions is None else "--questions goes with --from raft"
        )
    if name is not None and re.fullmatch(NAME_PATTERN, name) is None:
        raise click.UsageError(f"--name {name!r}: lower-case letters, digits, `.`, `_` and `-` only")
    text = (shared_folder("specs") / TEMPLATES[template]).read_text(encoding="utf-8")
    text = text.replace("$schema=../schemas/spec.schema.json", "$schema=spec.schema.json", 1)
    values: dict[str, str | None] = {"metadata.name": name or _name_from(file), "metadata.description": None}
    values |= dict.fromkeys(LEFT_OUT.get(template, ()))
    if base is not None:
        values["model.base"] = _from_spec(base, file) if Path(base).is_dir() else base
    if questions is not None and data_path is not None:
        values["data.train.0.documents.path"] = _from_spec(data_path, file)
        values["data.train.0.questions.path"] = _from_spec(questions, file)
    elif data_path is not None:
        values["data.train.0.path"] = _from_spec(data_path, file)
        if template == "beir":
            values["data.evaluation.0.path"] = _from_spec(data_path, file)
    write_file(file, format_text(set_values(text, values)))
    schema = shlex.quote(str(file.parent / "spec.schema.json"))
    click.echo(f"Wrote {file}. Next: ftspec plan {shlex.quote(str(file))}")
    click.echo(f"For completion in editors: ftspec schema > {schema}", err=True)
    for path in (data_path, questions):
        if path not in (None, "stdlib") and "${" not in path and not Path(path).expanduser().exists():
            click.echo(f"note: there is nothing at {path} yet", err=True)


def _from_spec(path: str, spec: Path) -> str:
    """A path as the spec has to write it: relative to its own folder. `stdlib`, references to variables
    and absolute paths stay as they are."""
    if (path == "stdlib" and not Path(path).exists()) or path.startswith(("/", "~", "${")):
        return path
    return Path(os.path.relpath(path, spec.parent)).as_posix()


def _name_from(file: Path) -> str:
    """A valid model name out of a file's name."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in file.stem.lower())
    return kept.strip("._-")[:63] or "model"
