"""One question to a model: its prompt, its key, and what came back."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from ftspec.plan.synth import ANSWERS, QUESTIONS, SynthExample, SynthSettings
from ftspec.synth import tasks
from ftspec.synth.tasks import Inputs, JsonObject, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything about a question but its inputs. Asks of one recipe share a file of the cache."""

    task: Task
    system: str
    model: str
    temperature: float | None
    seed: int | None
    max_tokens: int
    count: int  # items that each reply should have

    def document(self) -> JsonObject:
        """What decides the reply, as the cache writes it down. The endpoint's address is no part of it."""
        return {
            "task": self.task.name,
            "version": self.task.version,
            "system": self.system,
            "schema": self.task.schema,
            "model": self.model,
            "temperature": self.temperature,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "count": self.count,
        }

    @property
    def digest(self) -> str:
        return _sha256(self.document())

    def ask(self, digest: str, inputs: Inputs) -> "Ask":
        """`digest` is the recipe's own, taken once for many asks."""
        user = self.task.user(inputs)
        return Ask(
            recipe=self,
            recipe_digest=digest,
            inputs={**inputs, "count": self.count},
            user=user,
            key=_sha256({"recipe": digest, "user": user}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    recipe: Recipe
    recipe_digest: str
    inputs: Inputs
    user: str
    key: str

    @property
    def messages(self) -> list[dict[str, str]]:
        return [
            {"role": "system", "content": self.recipe.system},
            {"role": "user", "content": self.user},
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the cache holds for one key: `value`, or the reason why no reply could be used."""

    value: JsonObject | None
    dropped: str | None = None
    attempts: int = 1
    input_tokens: int = 0  # over all attempts
    output_tokens: int = 0
    counted: bool = True  # False: the server told no numbers, and these are estimates
    served_by: str | None = None  # the model's name in the reply


def writing_recipe(settings: SynthSettings, task_name: str) -> Recipe:
    """Of `questions`, `queries` or `answers`."""
    task = tasks.TASKS[task_name]
    count = 1 if task_name == ANSWERS else settings.per_document
    system = task.system.format(count=count)
    if settings.instruction:
        system += f"\n\n{settings.instruction.strip()}"
    if settings.examples and task_name != ANSWERS:
        noun = "question" if task_name == QUESTIONS else "query"
        system += "".join(f"\n\n{_example(each, noun)}" for each in settings.examples)
    return Recipe(
        task=task,
        system=system,
        model=settings.model,
        temperature=settings.temperature,
        seed=settings.seed,
        max_tokens=settings.max_tokens,
        count=count,
    )


def judging_recipe(settings: SynthSettings) -> Recipe:
    """Grades are asked for at temperature 0, where a temperature is sent at all."""
    assert settings.judge is not None
    return Recipe(
        task=tasks.JUDGE,
        system=tasks.JUDGE.system.format(),
        model=settings.judge.model,
        temperature=None if settings.temperature is None else 0.0,
        seed=settings.seed,
        max_tokens=settings.max_tokens,
        count=1,
    )


def _example(example: SynthExample, noun: str) -> str:
    return f"Example document:\n<<<\n{example.document}\n>>>\nA good {noun} for it: {example.question}"


def _sha256(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
