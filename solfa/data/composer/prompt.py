"""Prompts: the short form in which people ask for music, with nearly all facts, in varied order and wording.

"lively waltz for solo piano in G major, 140 bpm"; "solo flute, 6/8, D minor, 90 bpm, calm folk tune".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solfa.data.composer.facts import Facts
from solfa.data.composer.theory import MINOR_MODES
from solfa.data.composer.words import GENRE_NOUNS, instrument_names, listed, tonic_name

_NOUNS = ("piece", "tune", "music", "melody", "instrumental")
_ASKED = ("mood", "genre", "instruments", "tonic", "mode", "metre", "tempo")


def prompt(facts: Facts) -> str:
    """One prompt, as it is typed."""
    text = _running(facts) if facts.chance(0.6) else _list(facts)
    style = facts.rng.random()
    if style < 0.4:
        text = text.lower()
    elif style < 0.6:
        text = text[:1].upper() + text[1:]
    return text + "." if facts.chance(0.1) else text


def plain_prompt(attributes: Mapping[str, Any]) -> str | None:
    """ "playful waltz for violin and piano in G major, 3/4, 140 bpm": the same wording for every piece, so that models can be compared.

    It has the first name of the first two instruments, and of modes whether they are minor. None where one of these facts is not known, or
    not said as `solfa synth` says it.
    """
    a = attributes
    if any(a.get(name) in (None, "", (), []) for name in _ASKED) or not isinstance(a["tempo"], int | float):
        return None
    try:
        names = list(dict.fromkeys(instrument_names(voice["program"])[0] for voice in a["instruments"]))
        players = f"solo {names[0]}" if len(names) == 1 else f"{names[0]} and {names[1]}"
        key = f"{tonic_name(a['tonic'], a['mode'])} {'minor' if a['mode'] in MINOR_MODES else 'major'}"
        beats, unit = a["metre"]
        return f"{a['mood']} {GENRE_NOUNS[a['genre']][0]} for {players} in {key}, {beats}/{unit}, {a['tempo']} bpm"
    except (TypeError, KeyError, IndexError, ValueError):  # of another's manifest
        return None


def _running(facts: Facts) -> str:
    """A noun phrase, who plays, and the rest behind: "slow ballad for violin and piano in E-flat major at 72 bpm, 4/4"."""
    head, players = _head(facts), _players(facts)
    bare = facts.chance(0.25) and players is not None and "," not in players
    if bare:  # "solo piano waltz", "flute and guitar duo, folk tune"
        words = [f"{players}, {head}" if " and " in str(players) else f"{head}, {players}"]
    else:
        joint = facts.pick(("for ", "for ", "on ", "with ", "played by "))
        words = [head, *([joint + players] if players else [])]
    tail = _facts_left(facts)
    facts.rng.shuffle(tail)
    for name, text in tail:
        glued = {"key": "in ", "tempo": "at ", "metre": "in "}[name]
        plain = text.startswith(("tempo", "key"))
        words.append(f"{'' if plain else glued}{text}" if facts.chance(0.55) and not plain else f", {text}")
    return " ".join(words).replace(" ,", ",")


def _list(facts: Facts) -> str:
    """Facts between commas in any order."""
    items = [text for _, text in _facts_left(facts)]
    players = _players(facts)
    items += [_head(facts), *([players] if players else [])]
    facts.rng.shuffle(items)
    return facts.pick((", ", ", ", ", ", "; ", " - ")).join(items)


def _facts_left(facts: Facts) -> list[tuple[str, str]]:
    """Key, tempo and metre: each mostly said."""
    found = []
    for name, share, say in (("key", 0.94, _key), ("tempo", 0.88, _tempo), ("metre", 0.65, _metre)):
        text = say(facts) if facts.chance(share) else None
        if text:
            found.append((name, text))
    return found


def _head(facts: Facts) -> str:
    """Mood, pace and genre: "slow, wistful waltz"."""
    noun = (facts.genre() if facts.chance(0.88) else None) or facts.pick(_NOUNS)
    words = [facts.mood() if facts.chance(0.7) else None, facts.pace() if facts.chance(0.45) else None]
    kept = [word for word in words if word and word not in noun]
    facts.rng.shuffle(kept)
    return f"{facts.pick((', ', ' ', ' '))}".join(kept) + f" {noun}" if kept else noun


def _players(facts: Facts) -> str | None:
    """Who plays; whoever plays alone is called so."""
    names = facts.instruments()
    kit = facts.kit()
    if not names:
        return kit
    if len(facts.voices) == 1 and not kit:
        name = names[0]
        return facts.pick((f"solo {name}", f"solo {name}", f"solo {name}", f"{name} solo", f"{name} alone", name))
    names += [kit] if kit else []
    if len(names) == 2 and facts.complete(names):
        lead, other = names
        joined = f"{lead} and {other}"
        return facts.pick(
            (joined, joined, joined, f"{joined} duo", f"{lead} with {other}", f"{lead} accompanied by {other}")
        )
    return listed(names)


def _key(facts: Facts) -> str | None:
    key = facts.key()
    if key is None:
        return None
    if facts.chance(0.5):
        key = key.replace(" flat", "-flat").replace(" sharp", "-sharp")
    return f"key of {key}" if facts.chance(0.1) and "mode" not in key else key


def _tempo(facts: Facts) -> str | None:
    """The tempo as a number, five times in six exact."""
    tempo = facts.data["tempo"]
    if tempo is None:
        return None
    unit = facts.pick(("bpm", "bpm", "bpm", "BPM", "beats per minute"))
    if facts.chance(1 / 6):
        return f"{facts.pick(('about', 'around'))} {5 * round(tempo / 5)} {unit}"
    return f"tempo {tempo}" if facts.chance(0.1) else f"{tempo} {unit}"


def _metre(facts: Facts) -> str | None:
    metre = facts.data["metre"]
    if not metre:
        return None
    plain = f"{metre[0]}/{metre[1]}"
    return facts.pick((plain, plain, plain, f"{plain} time")) if facts.chance(0.85) else facts.metre()
