"""Recipes are found, called and overridden by name; values take the annotated type."""

import json
from dataclasses import dataclass, field
from enum import Enum
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solfa.checkpoint import from_plain
from solfa.cli.app import run
from solfa.lm.conditioners.text import T5TextConfig
from solfa.lm.patterns import parallel
from solfa.train.override import leaves, override
from solfa.train.recipe import Recipe, bundled_recipes, load_recipe
from solfa.train.record import plain

TOY = str(Path(__file__).with_name("toy.py"))


class Kind(Enum):
    RVQ = "rvq"
    FSQ = "fsq"


@dataclass(frozen=True)
class Leaf:
    rates: tuple[int, ...] = (1,)
    pair: tuple[float, str] = (1.0, "a")
    seed: int = 0
    kind: Kind = Kind.RVQ
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Tree:
    left: Leaf = field(default_factory=Leaf)
    right: Any = field(default_factory=Leaf)
    width: int = 1
    scale: float = 1.0
    causal: bool = False
    name: str | None = None
    limit: int | None = None
    rate: float | tuple[float, ...] = 0.1
    mode: Literal["same", "valid"] = "same"
    folder: Path = Path("x")


@pytest.mark.parametrize(
    ("words", "path", "value"),
    [
        (["--width", "7"], "width", 7),
        (["--width=-7"], "width", -7),
        (["--width", "-7"], "width", -7),
        (["--width", "2e5"], "width", 200_000),
        (["--scale", "3"], "scale", 3.0),
        (["--causal"], "causal", True),
        (["--causal", "--width", "2"], "causal", True),
        (["--causal", "off"], "causal", False),
        (["--name", "none"], "name", None),
        (["--name", "a b"], "name", "a b"),
        (["--name="], "name", ""),
        (["--limit", "3"], "limit", 3),
        (["--limit", "none"], "limit", None),
        (["--rate", "0.5"], "rate", 0.5),
        (["--rate", "0.5,1e-3"], "rate", (0.5, 0.001)),
        (["--mode", "valid"], "mode", "valid"),
        (["--folder", "/data/in"], "folder", Path("/data/in")),
        (["--left.rates", "8,5,4"], "left.rates", (8, 5, 4)),
        (["--left.rates", "[8, 5]"], "left.rates", (8, 5)),
        (["--left.rates", ""], "left.rates", ()),
        (["--left.pair", "2,b"], "left.pair", (2.0, "b")),
        (["--right.kind", "fsq"], "right.kind", Kind.FSQ),
        (["--left.spans", "[[1, 2], [3, 4]]"], "left.spans", ((1, 2), (3, 4))),
        (["--width", "1", "--width", "2"], "width", 2),
    ],
)
def test_values(words: list[str], path: str, value: Any) -> None:
    found: Any = override(Tree(), words)
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--widht", "3"], r"no such field; did you mean --width\?"),
        (["--left.sed", "3"], r"did you mean --left\.seed"),
        (["--pear", "1,a"], "did you mean --right.pair|did you mean --left.pair"),
        (["--zzz", "3"], "no such field; there are --left.rates, "),
        (["--seed", "3"], r"could be any of --left\.seed, --right\.seed"),
        (["--width"], "a value is missing"),
        (["--width", "3.5"], "width: '3.5'"),
        (["--width", "1.5e0"], "width: '1.5e0': must be a whole number"),
        (["--width", "1e999"], "width"),
        (["--width", "true"], "width: 'true'"),
        (["--scale", "nan"], "scale: 'nan'"),
        (["--causal", "maybe"], "causal: 'maybe': must be true or false"),
        (["--mode", "full"], "mode: 'full': must be one of same, valid"),
        (["--left.pair", "1"], r"left\.pair: '1': 1 items where 2 are needed"),
        (["--left.rates", "1,x"], r"left\.rates: '1,x'"),
        (["--left.rates", '["a"]'], r"left\.rates\[0\]: 'a' is not int"),
        (["--left.kind", "lfq"], r"left\.kind: 'lfq'"),
        (["--limit", "__import__('os')"], "limit"),
        (["width", "3"], "'width': expected --field value"),
    ],
)
def test_mistakes_are_named(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(Tree(), words)


@dataclass(frozen=True)
class Span:
    """Neither end goes with the other one's default alone."""

    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.high != self.low + 1:
            raise ValueError(f"{self.low} to {self.high}")


@dataclass(frozen=True)
class Spans:
    inner: Span = Span()
    outer: Span = Span()


def test_fields_that_hang_on_each_other_come_in_any_order() -> None:
    words = [("--inner.low", "7"), ("--outer.low", "2"), ("--inner.high", "8"), ("--outer.high", "3")]
    for order in permutations(words):
        assert override(Spans(), [word for pair in order for word in pair]) == Spans(Span(7, 8), Span(2, 3))
    with pytest.raises(ValueError, match="7 to 1"):
        override(Spans(), ["--inner.low", "7"])


@dataclass(frozen=True)
class Named:
    name: str
    width: int = 768


@dataclass(frozen=True)
class Shape:
    text: Span | Named | None = Span()
    span: Span = Span()
    words: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.text, Named) and self.words != self.text.width:
            raise ValueError(f"{self.words} words of {self.text.width}")


@dataclass(frozen=True)
class Task:
    model: Shape | None = Shape()


@pytest.mark.parametrize(
    ("words", "model"),
    [
        (["--task.model.text", '{"name": "t5"}', "--words", "768"], Shape(Named("t5"), words=768)),
        (["--words", "9", "--text.width", "9", "--text", '{"name": "t5"}'], Shape(Named("t5", 9), words=9)),
        (["--text", '{"low": 7, "high": 8}'], Shape(Span(7, 8))),
        (["--text", '{"low": 7, "high": 8}', "--text", '{"low": 2, "high": 3}'], Shape(Span(2, 3))),
        (["--text", "none"], Shape(None)),
        (["--text={}", "--text.low", "4", "--text.high", "5"], Shape(Span(4, 5))),
        (["--span", '{"low": 1, "high": 2}'], Shape(span=Span(1, 2))),
        (["--model", "none"], None),
        (["--model", '{"span": {"low": 1, "high": 2}}', "--span.low", "2", "--span.high", "3"], Shape(span=Span(2, 3))),
    ],
)
def test_a_field_that_holds_a_configuration_takes_json_or_none(words: list[str], model: Shape | None) -> None:
    assert override(Recipe(Task()), words).task.model == model
    if model is not None:
        assert override(Recipe(Task(None)), ["--model", json.dumps(plain(model))]).task.model == model


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text", "t5"], r"'t5': must be none; or must be JSON of Span \(low, high\); or .* Named \(name, width\)"),
        (
            ["--text", '{"nam": 1}'],
            r"unknown keys \['nam'\]; the keys are \['low', 'high'\]; .* are \['name', 'width'\]",
        ),
        (
            ["--text.name", "t5"],
            r"--text.name: no such field; --task.model.text is, as JSON, Span .* or Named \(name, wi",
        ),
        (["--text", "none", "--text.low", "3"], "--text.low: no such field; --task.model.text is, as JSON"),
        (["--span", "none"], r"task.model.span: 'none': must be JSON of Span \(low, high\)"),
        (["--span", '{"low": '], "task.model.span: .*Expecting value"),
        (["--text"], "--text: a value is missing"),
        (["--text", '{"name": "t5"}'], "0 words of 768"),
    ],
)
def test_a_configuration_that_cannot_be_is_named(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(Recipe(Task()), words)


def test_the_text_of_a_recipe_is_another() -> None:
    t5 = '{"name": "google/flan-t5-base", "width": 768}'
    words = ["--task.model.text", t5, "--task.model.pattern", json.dumps(plain(parallel(4)))]
    model = load_recipe("lm", [*words, "--task.model.summary", "off"]).task.model  # type: ignore[attr-defined]
    assert model.text == T5TextConfig("google/flan-t5-base", 768) and model.pattern == parallel(4)
    assert load_recipe("lm_tiny", ["--task.model.text", "none"]).task.model.text is None  # type: ignore[attr-defined]


@given(
    st.builds(
        Tree,
        width=st.integers(),
        scale=st.floats(allow_nan=False, allow_infinity=False),
        causal=st.booleans(),
        limit=st.none() | st.integers(),
        rate=st.floats(0, 1) | st.lists(st.floats(0, 1), min_size=2, max_size=4).map(tuple),
    )
)
def test_every_value_can_be_written_and_read(tree: Tree) -> None:
    words: list[str] = []
    for path in ("width", "scale", "causal", "limit", "rate"):
        value = getattr(tree, path)
        text = ",".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
        words.append(f"--{path}={text}")
    assert override(Tree(), words) == Tree(
        width=tree.width, scale=tree.scale, causal=tree.causal, limit=tree.limit, rate=tree.rate
    )


def test_every_leaf_of_a_recipe_is_listed() -> None:
    paths = leaves(load_recipe(TOY))
    assert {"task.width", "task.weights", "train.steps", "train.learning_rate"} <= set(paths)


def test_the_first_function_is_the_default(tmp_path: Path) -> None:
    text = Path(TOY).read_text().replace("def recipe()", "def small()").replace("recipe().train", "small().train")
    (tmp_path / "toy.py").write_text(text)
    assert load_recipe(str(tmp_path / "toy.py")).task.width == 8  # type: ignore[attr-defined]


def test_functions_of_a_recipe_file() -> None:
    assert load_recipe(TOY).task.width == 8  # type: ignore[attr-defined]
    recipe = load_recipe(f"{TOY}:wide", ["--steps", "3", "--task.width", "5"])
    assert (recipe.task.width, recipe.train.steps) == (5, 3)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="no function 'narrow'; there are recipe, wide"):
        load_recipe(f"{TOY}:narrow")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def one(): ...\ndef two(): ...", "returned a NoneType"),
        ("x = 1", "there are none"),
        ("def recipe(): return 3", "returned a int, not a Recipe"),
        ("\n\nimport nothing_of_that_name", r"r\.py:3: ModuleNotFoundError"),
        ("def recipe():\n    return 1 / 0", r"r\.py:2: ZeroDivisionError"),
        ("def recipe(:", "SyntaxError"),
    ],
)
def test_faulty_recipe_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_recipe(str(tmp_path / "r.py"))


def test_unknown_recipes_are_not_fetched() -> None:
    for name in ("no_such_recipe", "https://example.org/recipe.py", "/no/such/file.py", "pyproject.toml"):
        with pytest.raises(ValueError, match="no recipe"):
            load_recipe(name)


def test_bundled_recipes_load() -> None:
    bundled = bundled_recipes()
    assert {"lm", "music", "musicgen", "notes", "transcriber", "codec_tiny", "encodec_24khz", "dac_44khz"} <= set(
        bundled
    )
    for name in bundled:
        recipe = load_recipe(name)
        assert from_plain(type(recipe.task), json.loads(json.dumps(plain(recipe.task))), name) == recipe.task


def test_what_a_run_says_of_itself_is_read_again() -> None:
    tree = Tree(right=None, folder=Path("a/b"), left=Leaf(kind=Kind.FSQ))
    assert from_plain(Tree, json.loads(json.dumps(plain(tree))), "it") == tree
    for hint, value in ((Path, 3), (Kind, "vq"), (Kind, 1)):
        with pytest.raises(ValueError, match=f"it: {value!r} is not {hint.__name__}"):
            from_plain(hint, value, "it")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", TOY, "-o", str(tmp_path / "run"), "--steps", "3", "--task.rows=4", "--quiet"]
    assert run([*words, "--dry-run"]) == 0
    assert '"steps": 3' in capsys.readouterr().out and not (tmp_path / "run").exists()
    assert run(words) == 0
    assert (tmp_path / "run/model/model.safetensors").is_file()
    assert run(words) == 1, "a run is there already"
    assert "holds a run already" in capsys.readouterr().err
    assert run([*words, "--resume"]) == 0
    assert run([*words, "--setps", "4"]) == 2
    assert "did you mean --train.steps" in capsys.readouterr().err


def test_a_resumed_run_keeps_what_it_was_begun_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", TOY, "-o", str(tmp_path / "run")]
    assert run([*words, "--steps", "3", "--task.rows=4", "--task.rest_until", "2"]) == 0
    capsys.readouterr()
    assert run([*words, "--resume", "--steps", "5"]) == 0
    said = capsys.readouterr().err
    assert "not as the recipe is: task.rows: 8 -> 4" in said and "train.steps" not in said
    document = json.loads((tmp_path / "run/config.json").read_text())
    assert document["train"]["steps"] == 5 and document["task"]["rows"] == 4
    assert run([*words, "--resume", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["train"]["steps"] == 5
    assert run([*words, "--resume", "--task.rows=2"]) == 1
    assert (
        "cannot resume with another configuration: task.rows: 4 -> 2 (free to change: steps" in capsys.readouterr().err
    )
    (tmp_path / "run/config.json").write_text("{")
    assert run([*words, "--resume"]) == 1
    assert "config.json" in capsys.readouterr().err
