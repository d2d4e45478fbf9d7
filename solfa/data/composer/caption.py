"""Captions: what a listener might write about a piece, built from its attributes by a grammar.

Nothing is said that the attributes do not hold; much may be left unsaid. Half of the captions are single sentences, the rest tags
or short paragraphs, in the registers that people write prompts in.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from solfa.data.composer.attributes import Attributes
from solfa.data.composer.facts import Facts
from solfa.data.composer.prompt import prompt
from solfa.data.composer.words import listed, with_article

FORMS = ("tags", "sentence", "long", "prompt")
_PLAIN_NOUNS = ("piece", "piece of music", "tune", "instrumental", "composition", "track")
_OPENINGS = ("this is", "here is", "we hear", "the recording is", "you can hear", "it is", "listen to", "imagine", "create",
             "compose", "play", "generate", "I want", "please write", "there is", "make")  # fmt: skip
_ABOUT_PLAYERS = ("for ", "with ", "featuring ", "played ", "on ", "as ")


def caption(attributes: Attributes | Mapping[str, Any], rng: random.Random, form: str | None = None) -> str:
    """One caption. `attributes` may be a mapping with the same keys (as `describe` gives), in which what is unknown is None.

    `form` is "tags", "sentence", "long" or "prompt"; by default one of the first three is drawn. The mapping may hold "steady": true
    for a piece that is played without the genre's rubato. Raises ValueError for another form.
    """
    if form is not None and form not in FORMS:
        raise ValueError(f"caption form {form!r}: legal are {', '.join(FORMS)}")
    data = attributes.to_dict() if isinstance(attributes, Attributes) else attributes
    chosen = form or rng.choice(("tags", "sentence", "sentence", "long"))
    facts = Facts(data, rng)
    if chosen == "prompt":
        return prompt(facts)
    text = _tags(facts) if chosen == "tags" else _sentence(facts) if chosen == "sentence" else _paragraph(facts)
    return _typed(text, rng, chosen)


def further_captions(attributes: Mapping[str, Any], count: int, rng: random.Random) -> list[str]:
    """`count` more captions of a piece, three in four of them prompts."""
    return [caption(attributes, rng, "prompt" if rng.random() < 0.75 else None) for _ in range(count)]


def _typed(text: str, rng: random.Random, form: str) -> str:
    """People's typing: a capital and a full stop, or neither."""
    style = rng.random()
    if form == "tags":
        return text.lower() if style < 0.5 else text
    if form == "sentence" and style < 0.3:
        return (
            text.rstrip(".") if text[:2].isupper() or text.startswith("I ") else text[:1].lower() + text[1:].rstrip(".")
        )
    return text[:1].upper() + text[1:]


def _tags(facts: Facts) -> str:
    metre = facts.data["metre"]
    found = [
        facts.genre(),
        facts.mood(),
        facts.key(),
        facts.bpm() if facts.chance(0.5) else facts.pace(),
        facts.density(),
        facts.kit(),
    ]
    found += facts.instruments(4)
    found += [
        f"{metre[0]}/{metre[1]}" if metre else None,
        facts.no_drums() if facts.chance(0.4) else None,
        facts.left_hand(),
        facts.feel(),
    ]
    if not facts.accompanied and facts.texture == "solo":
        found.append("solo")
    found.append({"chorale": "four-part harmony", "counterpoint": "counterpoint"}.get(facts.texture))
    present = list(dict.fromkeys(fact for fact in found if fact))
    kept = [fact for fact in present if facts.chance(0.65)] or present[:3] or ["instrumental"]
    if facts.chance(0.7):
        facts.rng.shuffle(kept)
    return facts.pick((", ", ", ", ", ", " / ", "; ", " | ", " - ")).join(kept)


# Phrases --------------------------------------------------------------------------------------------------------------


def _noun(facts: Facts) -> str:
    """A noun phrase without its article: "slow, wistful waltz"."""
    noun = facts.genre() or facts.pick(_PLAIN_NOUNS)
    words = [facts.mood() if facts.chance(0.75) else None, facts.pace() if facts.chance(0.4) else None]
    words.append(facts.density() if facts.chance(0.3) else None)
    kept = [word for word in words if word and word not in noun]
    facts.rng.shuffle(kept)
    return f"{facts.pick((', ', ', ', ' and ')).join(kept)} {noun}" if kept else noun


def _scoring(facts: Facts) -> str | None:
    """Who plays: "for flute and harp", "with piano, bass and drums"."""
    names = facts.instruments(facts.rng.choice((1, 2, 3, 4, 8)))
    everyone = facts.complete(names)
    kit = facts.kit() if facts.chance(0.7) else None
    if kit:
        names.append(kit)
    if not names:
        return None
    if not facts.accompanied and facts.texture == "solo":
        return facts.pick((f"for solo {names[0]}", f"on {names[0]} alone", f"played on solo {names[0]}"))
    if everyone and len(facts.voices) == 2 == len(names) and not facts.data["drums"] and facts.chance(0.5):
        return facts.pick((f"as a duet of {listed(names)}", f"for a duo of {listed(names)}", f"for {listed(names)}"))
    return facts.pick(("for ", "with ", "featuring ", "played by ", "on ")) + listed(names)


def _in_key(facts: Facts) -> str | None:
    key = facts.key()
    return None if key is None else f"in the key of {key}" if "mode" not in key and facts.chance(0.3) else f"in {key}"


def _in_metre(facts: Facts) -> str | None:
    metre = facts.metre()
    return f"in {metre}" if metre else None


def _at_tempo(facts: Facts) -> str | None:
    if facts.chance(0.3) and "bpm" not in facts.said:
        pace = facts.pace()
        return f"at {with_article(pace)} tempo" if pace and "tempo" not in pace else None
    bpm = facts.bpm()
    return f"at {bpm}" if bpm else None


def _with_texture(facts: Facts) -> str | None:
    hand = facts.left_hand()
    if hand:
        return f"with {hand}"
    two = len(facts.voices) == 2
    options = {
        "chorale": ("in four-part harmony", "harmonised in four parts", "with smooth voice-leading"),
        "counterpoint": (
            "with independent melodic lines",
            "in two-part counterpoint" if two else "in three-part counterpoint",
        ),
    }.get(facts.texture)
    return facts.pick(options) if options else None


def _with_register(facts: Facts) -> str | None:
    word = facts.register()
    if word is None:
        return None
    return facts.pick((f"with {with_article(word)} melody", f"in the {facts.data['register']} register"))


def _with_feel(facts: Facts) -> str | None:
    feel = facts.feel()
    return f"with {feel}" if feel else None


def _without_drums(facts: Facts) -> str | None:
    words = facts.no_drums() if facts.chance(0.15) and facts.accompanied else None
    return f"with {words}" if words and words.startswith("no") else words


def _details(facts: Facts, most: int, players: bool = True) -> list[str]:
    """Up to `most` prepositional phrases, in an order that varies."""
    makers = [_in_key, _in_metre, _at_tempo, _with_texture, _with_register, _with_feel, _without_drums]
    facts.rng.shuffle(makers)
    if players and facts.chance(0.85):
        makers.insert(0 if facts.chance(0.6) else facts.rng.randrange(len(makers)), _scoring)
    phrases: list[str] = []
    for maker in makers:
        phrase = maker(facts) if len(phrases) < most else None
        # One "with ... with ..." is enough.
        if phrase and not (phrase.startswith("with ") and any(p.startswith("with ") for p in phrases)):
            phrases.append(phrase)
    return phrases


# Sentences ------------------------------------------------------------------------------------------------------------


def _sentence(facts: Facts) -> str:
    frames = [_plain, _plain, _plain, _opened, _commas, _mood_last]
    if facts.voices:
        frames += [_players_first, _led]
    return facts.rng.choice(frames)(facts)


def _count(facts: Facts) -> int:
    return facts.rng.choice((1, 2, 2, 3, 4))


def _plain(facts: Facts) -> str:
    noun = _noun(facts)
    head = noun if facts.chance(0.35) else with_article(noun)
    return " ".join([head, *_details(facts, _count(facts))]) + "."


def _opened(facts: Facts) -> str:
    return " ".join([facts.pick(_OPENINGS), with_article(_noun(facts)), *_details(facts, _count(facts))]) + "."


def _commas(facts: Facts) -> str:
    return ", ".join([with_article(_noun(facts)), *_details(facts, _count(facts))]) + "."


def _players_first(facts: Facts) -> str:
    names = facts.instruments(facts.rng.choice((2, 3, 8)))
    plural = len(names) > 1 or names[0].endswith(("strings", "horns", "bells", "voices", "pipes"))
    verb = facts.pick(("play", "perform") if plural else ("plays", "performs"))
    return (
        " ".join([listed(names), verb, with_article(_noun(facts)), *_details(facts, _count(facts), players=False)])
        + "."
    )


def _led(facts: Facts) -> str:
    lead = facts.player_of("melody") or facts.instruments()[0]
    noun = _noun(facts)
    heads = [with_article(f"{lead}-led {noun}")] if " " not in lead and "," not in noun else []
    heads += [f"{with_article(noun)} led by {lead}", f"{with_article(noun)} with {lead} in the lead"]
    return " ".join([facts.pick(heads), *_details(facts, _count(facts), players=False)]) + "."


def _mood_last(facts: Facts) -> str:
    noun = facts.genre() or facts.pick(_PLAIN_NOUNS)
    words = [word for word in (facts.mood(), facts.pace() if facts.chance(0.5) else facts.density()) if word]
    head = " ".join([with_article(noun), *_details(facts, min(2, _count(facts)))])
    if not words:
        return head + "."
    return head + facts.pick((", ", ": ", " that sounds ", " that feels ", ", quite ")) + " and ".join(words) + "."


# Paragraphs -----------------------------------------------------------------------------------------------------------


def _paragraph(facts: Facts) -> str:
    first = facts.rng.choice((_plain, _opened, _commas))(facts)
    makers = [_about_melody, _about_accompaniment, _about_bass, _about_rhythm, _about_key, _about_mood, _about_texture]
    facts.rng.shuffle(makers)
    wanted = facts.rng.choice((1, 2, 2, 3, 4))
    sentences = [first]
    for maker in makers:
        sentence = maker(facts) if len(sentences) <= wanted else None
        if sentence:
            sentences.append(sentence)
    return " ".join(sentence[:1].upper() + sentence[1:] for sentence in sentences)


def _about_melody(facts: Facts) -> str | None:
    lead = facts.player_of("melody")
    if lead is None:
        return None
    where = {"high": " in the high register", "low": " in the low register"}.get(facts.data["register"] or "", "")
    where = where if where and facts.register() else ""
    forms = ("the {} carries the melody{}.", "the melody is played by the {}{}.", "{} takes the lead{}.", "the tune is on {}{}.",
             "a melody on {} is heard{}.")  # fmt: skip
    return facts.pick(forms).format(lead, where)


def _about_accompaniment(facts: Facts) -> str | None:
    if facts.texture in ("chorale", "counterpoint"):
        return None
    forms = {
        "chords": (
            "{} plays the chords.",
            "chords come from {}.",
            "{} accompanies with chords.",
            "the chords are on {}.",
        ),
        "pad": (
            "{} holds sustained chords in the background.",
            "sustained {} fills the background.",
            "long chords on {} lie beneath.",
        ),
        "arpeggio": ("{} plays broken chords.", "figures on {} run through the chords.", "broken chords come from {}."),
        "counter": (
            "{} adds a second melodic line.",
            "a second line is played by {}.",
            "there is a second part for {}.",
        ),
    }
    options = [facts.pick(texts).format(name) for role, texts in forms.items() if (name := facts.player_of(role))]
    return facts.pick(options) if options else None


def _about_bass(facts: Facts) -> str | None:
    name = facts.player_of("bass")
    forms = (
        "the bass line is played on {}.",
        "{} provides the bass.",
        "underneath, {} plays the bass.",
        "the bass is {}.",
    )
    return facts.pick(forms).format(name) if name else None


def _about_rhythm(facts: Facts) -> str | None:
    topic = facts.rng.choice(("tempo", "metre", "drums"))
    kit = facts.kit()
    if topic == "drums" and kit:
        return facts.pick(
            (f"the rhythm is kept by {kit}.", f"the beat is played on {kit}.", f"{kit} in the rhythm section.")
        )
    if topic == "drums" and facts.data["drums"] is False and facts.accompanied:
        return facts.pick(("there are no drums.", "no drums are used.", "it does without drums."))
    metre = facts.metre() if topic == "metre" else None
    if metre:
        name = metre.removeprefix("a ").removeprefix("an ")
        return facts.pick(
            (f"the metre is {name}.", f"it moves in {metre}.", f"the time signature is {name.removesuffix(' time')}.")
        )
    bpm = facts.bpm()
    return facts.pick((f"it runs at {bpm}.", f"the tempo is {bpm}.", f"the beat goes at {bpm}.")) if bpm else None


def _about_key(facts: Facts) -> str | None:
    key = facts.key()
    if key is None:
        return None
    return facts.pick(
        (f"it is in {key}.", f"the music is in {key}.", f"it is in {key}." if "mode" in key else f"the key is {key}.")
    )


def _about_mood(facts: Facts) -> str | None:
    first = facts.mood()
    if first is None:
        return None
    second = facts.density() if facts.chance(0.4) else None
    if second:
        return facts.pick(
            (f"the mood is {first} and the texture {second}.", f"it sounds {first}, and the writing is {second}.")
        )
    return facts.pick(
        (f"the mood is {first}.", f"it feels {first}.", f"the overall atmosphere is {first}.", f"it sounds {first}.")
    )


def _about_texture(facts: Facts) -> str | None:
    hand = facts.left_hand()
    if hand:
        return facts.pick(
            (f"the keyboard part has {hand}.", f"there is {hand}." if not hand.endswith("s") else f"there are {hand}.")
        )
    feel = facts.feel()
    if feel:
        return f"it is played with {feel}."
    return {
        "chorale": "four voices move together in harmony.",
        "counterpoint": "the lines move independently of each other.",
    }.get(facts.texture)
