"""Download a base model from the hub: only configs, tokenizer and safetensors, into the hub's own cache."""

from pathlib import Path

from ftspec.diagnostics import codes
from ftspec.diagnostics.model import Diagnostics
from ftspec.models.cache import cache_folder, hub_ids, is_hub_id, is_revision
from ftspec.models.facts import MODULE_FILES, TOKENIZER_FILES

# No pickles, no code, no other formats. Folders of modules are `1_Pooling`, `2_Dense`, …
_PATTERNS = (
    *MODULE_FILES,
    *TOKENIZER_FILES,
    "sentence_*_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "[0-9]_*/*.json",
    "[0-9]_*/*.txt",
    "[0-9]_*/*.model",
    "[0-9]_*/*.safetensors",
)


def pull(id: str, revision: str | None) -> tuple[Path | None, Diagnostics]:
    """Folder of the snapshot. Absent packages, unknown ids and an unreachable hub are FTS301."""
    found = Diagnostics()
    if not is_hub_id(id) or (revision is not None and not is_revision(revision)):
        found.add(
            codes.MODEL_NOT_FOUND, f"{id!r:.120} is no id of the form organisation/name with a revision"
        )
        return None, found
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError:
        found.add(
            codes.MODEL_NOT_FOUND,
            f"{id} is not on this machine, and huggingface_hub, which downloads it, is not installed",
            help="pip install huggingface_hub",
        )
        return None, found
    transport_error: type[Exception] = getattr(errors, "HTTPError", OSError)
    reasons = []
    for candidate in hub_ids(id):
        try:
            place = snapshot_download(
                candidate, revision=revision, allow_patterns=list(_PATTERNS), cache_dir=cache_folder()
            )
        except errors.RevisionNotFoundError:
            reasons.append(f"{candidate} has no revision {revision}")
        except errors.RepositoryNotFoundError:
            reasons.append(f"the hub has no {candidate}, or it is not public")
        except (transport_error, OSError, ValueError) as error:
            reasons.append(f"{candidate}: {_first_line(error)}")
            break  # the next id would meet the same fault
        else:
            return Path(place), found
    found.add(
        codes.MODEL_NOT_FOUND,
        "; ".join(reasons),
        help="check the id and the connection; a folder that holds the model can be named in `model.base`",
    )
    return None, found


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
