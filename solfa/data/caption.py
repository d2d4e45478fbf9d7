"""Captions: what a listener might write about a piece, built from its attributes by a grammar.

Nothing is said that the attributes do not hold; much may be left unsaid. Half of the captions are single sentences, the rest tags
or short paragraphs, in the registers that people write prompts in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from solfa.data import words
from solfa.data.attributes import Attributes
from solfa.data.genres import GENRES
from solfa.data.theory import MINOR_MODES, SCALES

FORMS = ("tags", "sentence", "long")
_PIANO = {
    "piano arpeggios": ("rippling arpeggios in the left hand", "arpeggiated accompaniment", "flowing arpeggios"),
    "alberti piano": ("an Alberti bass", "broken chords in the left hand", "an Alberti-bass accompaniment"),
    "block-chord piano": ("full block chords", "chordal writing", "block chords and bass octaves"),
    "nocturne piano": ("a wide, nocturne-like left hand", "rolling left-hand figures", "broad left-hand arpeggios"),
    "stride piano": ("stride left hand", "a stride bass", "leaping stride accompaniment"),
}


def caption(attributes: Attributes | Mapping[str, Any], rng: random.Random, form: str | None = None) -> str:
    """One caption. `attributes` may be a mapping with the same keys (as `describe` gives), in which what is unknown is None.

    `form` is "tags", "sentence" or "long"; by default it is drawn. Raises ValueError for another form.
    """
    if form is not None and form not in FORMS:
        raise ValueError(f"caption form {form!r}: legal are {', '.join(FORMS)}")
    data = attributes.to_dict() if isinstance(attributes, Attributes) else dict(attributes)
    speaker = _Speaker(data, rng)
    chosen = form or rng.choice(("tags", "sentence", "sentence", "long"))
    text = {"tags": speaker.tags, "sentence": speaker.sentence, "long": speaker.paragraph}[chosen]()
    return _typed(text, rng, chosen)


def _typed(text: str, rng: random.Random, form: str) -> str:
    """People's typing: a capital and a full stop, or neither."""
    style = rng.random()
    if form == "tags":
        return text.lower() if style < 0.5 else text
    if form == "sentence" and style < 0.3:
        return text[:1].lower() + text[1:].rstrip(".") if not text[:2].isupper() else text.rstrip(".")
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


class _Speaker:
    """Says one fact at a time about one piece. A method gives None where there is nothing (true) to say."""

    def __init__(self, data: dict[str, Any], rng: random.Random) -> None:
        self.rng = rng
        self.data = {key: data.get(key) for key in Attributes.__dataclass_fields__}
        self.pick: Callable[[Any], Any] = rng.choice
        self.voices = self.data["instruments"] or []
        self.percussion = not self.voices
        self.names: dict[int, str] = {}

    # Facts -----------------------------------------------------------------------------------------------------------

    def genre(self) -> str | None:
        return self.pick(words.GENRE_NOUNS[self.data["genre"]]) if self.data["genre"] else None

    def mood(self) -> str | None:
        return self.pick(words.MOOD_WORDS[self.data["mood"]]) if self.data["mood"] else None

    def density(self) -> str | None:
        options = words.DENSITY_WORDS.get(self.data["density"] or "", ())
        return self.pick(options) if options else None

    def pace(self) -> str | None:
        tempo = self.data["tempo"]
        return None if tempo is None else self.pick(next(names for limit, names in words.TEMPO_WORDS if tempo < limit))

    def bpm(self) -> str | None:
        tempo = self.data["tempo"]
        if tempo is None:
            return None
        near = 5 * round(tempo / 5)
        unit = self.pick(("BPM", "bpm", "beats per minute"))
        return self.pick((f"{tempo} {unit}", f"about {near} {unit}", f"around {near} {unit}", f"{tempo} {unit}"))

    def metre(self) -> str | None:
        metre = self.data["metre"]
        options = words.METRE_WORDS.get(tuple(metre), (f"{metre[0]}/{metre[1]}",)) if metre else ()
        return self.pick(options) if options else None

    def key(self) -> str | None:
        tonic, mode = self.data["tonic"], self.data["mode"]
        if self.percussion or tonic is None or mode not in SCALES:
            return None
        sharp = tonic in (words.SHARP_MINOR if mode in MINOR_MODES else words.SHARP_MAJOR)
        note = (words.SHARPS if sharp else words.FLATS)[tonic]
        if self.rng.random() < 0.4:
            note = note.replace(" sharp", "#").replace(" flat", "b")
        return f"{note} {self.pick(words.MODE_NAMES[mode])}".strip()

    def name(self, program: int) -> str:
        """One name for a program, the same throughout a caption."""
        if program not in self.names:
            taken = set(self.names.values())
            options = [name for name in words.instrument_names(program) if name not in taken]
            self.names[program] = self.pick(options) if options else words.instrument_names(program)[0]
        return self.names[program]

    def instruments(self, most: int = 8) -> list[str]:
        """The names of different instruments, the melody's first."""
        programs = list(dict.fromkeys(voice["program"] for voice in self.voices if voice["role"] != "effect"))
        return [self.name(program) for program in programs[:most]]

    def kit(self) -> str | None:
        if not self.data["drums"]:
            return None
        return self.pick(words.KIT_WORDS.get(self.data["kit"] or 0, words.KIT_WORDS[0]))

    def by_role(self, role: str) -> str | None:
        programs = [voice["program"] for voice in self.voices if voice["role"] == role]
        return self.name(self.pick(programs)) if programs else None

    # Tags ------------------------------------------------------------------------------------------------------------

    def tags(self) -> str:
        metre = self.data["metre"]
        facts = [self.genre(), self.mood(), self.key(), self.pick((self.bpm(), self.pace())), self.density(), self.kit()]
        facts += self.instruments(4) + ([f"{metre[0]}/{metre[1]}"] if metre else []) + [self.no_drums(), self.solo()]
        present = list(dict.fromkeys(fact for fact in facts if fact))
        kept = [fact for fact in present if self.rng.random() < 0.7] or present[:3] or ["instrumental"]
        if self.rng.random() < 0.7:
            self.rng.shuffle(kept)
        return self.pick((", ", ", ", ", ", " / ", "; ", " | ")).join(kept)

    def no_drums(self) -> str | None:
        return self.pick(("no drums", "no percussion", "without drums")) if self.data["drums"] is False and self.rng.random() < 0.4 else None

    def solo(self) -> str | None:
        texture = self.data["texture"]
        if texture == "solo" and not self.data["drums"]:
            return f"solo {self.instruments()[0]}"
        if texture in _PIANO:
            return self.pick(_PIANO[texture])
        return {"chorale": "four-part harmony", "counterpoint": "counterpoint"}.get(texture or "")

    # Phrases of sentences ----------------------------------------------------------------------------------------------

    def noun(self) -> str:
        """A noun phrase without its article: "slow, wistful waltz"."""
        noun = self.genre() or self.pick(("piece", "piece of music", "tune", "instrumental", "composition", "track"))
        adjectives = [self.mood() if self.rng.random() < 0.75 else None]
        adjectives.append(self.pace() if self.rng.random() < 0.4 else None)
        adjectives.append(self.density() if self.rng.random() < 0.3 else None)
        kept = list(dict.fromkeys(word for word in adjectives if word and word not in noun))
        self.rng.shuffle(kept)
        joint = self.pick((", ", ", ", " and "))
        return f"{joint.join(kept)} {noun}" if kept else noun

    def scoring(self) -> str | None:
        """Who plays: "for flute and harp", "with piano, bass and drums"."""
        names, kit = self.instruments(self.pick((1, 2, 3, 4, 8))), self.kit()
        if kit and self.rng.random() < 0.7:
            names.append(kit)
        if not names:
            return None
        if self.data["texture"] == "solo" and not self.data["drums"]:
            return self.pick((f"for solo {names[0]}", f"for unaccompanied {names[0]}" if False else f"on {names[0]} alone", f"played on solo {names[0]}"))
        if len(self.voices) == 2 and not self.data["drums"] and len(names) == 2 and self.rng.random() < 0.5:
            return self.pick((f"for {listed(names)}", f"as a duet of {listed(names)}", f"for a duo of {listed(names)}"))
        return self.pick(("for ", "with ", "featuring ", "played by ", "on ")) + listed(names)

    def in_key(self) -> str | None:
        key = self.key()
        return self.pick((f"in {key}", f"in {key}", f"in the key of {key}" if "mode" not in key else f"in {key}")) if key else None

    def in_metre(self) -> str | None:
        metre = self.metre()
        return f"in {metre}" if metre else None

    def at_tempo(self) -> str | None:
        bpm, pace = self.bpm(), self.pace()
        if bpm is None:
            return None
        return self.pick((f"at {bpm}", f"at {words.with_article(str(pace))} tempo" if "tempo" not in str(pace) else f"at {bpm}", f"at {bpm}"))

    def with_texture(self) -> str | None:
        texture = self.data["texture"]
        if texture in _PIANO:
            return "with " + self.pick(_PIANO[texture])
        options = {
            "chorale": ("in four-part harmony", "harmonised in four parts", "with smooth voice-leading"),
            "counterpoint": ("with independent melodic lines", "in imitative counterpoint" if len(self.voices) == 3 else "in two-part counterpoint"),
        }.get(texture or "")
        return self.pick(options) if options else None

    def register(self) -> str | None:
        options = words.REGISTER_WORDS.get(self.data["register"] or "", ())
        if not options or self.percussion:
            return None
        return self.pick((f"with {words.with_article(self.pick(options))} melody", f"in the {self.data['register']} register"))

    def swing(self) -> str | None:
        row = GENRES.get(self.data["genre"] or "")
        swings = row is not None and row.swing and row.name != "hip hop" and tuple(self.data["metre"] or ()) in ((4, 4), (3, 4))
        return self.pick(("with a swing feel", "with swung eighths", "with a swinging feel")) if swings else None

    def details(self, most: int) -> list[str]:
        """Up to `most` prepositional phrases, in an order that varies; who plays comes first more often than not."""
        makers = [self.in_key, self.in_metre, self.at_tempo, self.with_texture, self.register, self.swing]
        self.rng.shuffle(makers)
        if self.rng.random() < 0.85:
            makers.insert(0 if self.rng.random() < 0.6 else self.rng.randrange(len(makers)), self.scoring)
        phrases = [phrase for maker in makers[: most + 2] if (phrase := maker())]
        return phrases[:most]

    # Sentences --------------------------------------------------------------------------------------------------------

    def sentence(self) -> str:
        noun, most = self.noun(), self.pick((1, 2, 2, 3, 4))
        names = self.instruments(3)
        frames = [self._plain, self._plain, self._plain, self._this, self._comma]
        if names and "played" not in noun:
            frames += [self._players, self._lead]
        if self.data["mood"]:
            frames.append(self._mood_last)
        return self.pick(frames)(noun, most)

    def _plain(self, noun: str, most: int) -> str:
        head = self.pick((words.with_article(noun), words.with_article(noun), noun))
        return " ".join([head, *self.details(most)]) + "."

    def _this(self, noun: str, most: int) -> str:
        head = self.pick(("this is", "here is", "we hear", "the recording is", "you can hear", "it is", "listen to", "imagine", "create", "compose", "play"))
        return " ".join([head, words.with_article(noun), *self.details(most)]) + "."

    def _comma(self, noun: str, most: int) -> str:
        return ", ".join([words.with_article(noun), *self.details(most)]) + "."

    def _players(self, noun: str, most: int) -> str:
        names = self.instruments(self.pick((2, 3, 8)))
        verb = ("plays", "performs") if len(names) == 1 else ("play", "perform")
        rest = [p for p in self.details(most) if not p.startswith(("for", "with", "featuring", "played", "on", "as"))]
        return " ".join([listed(names), self.pick(verb), words.with_article(noun), *rest]) + "."

    def _lead(self, noun: str, most: int) -> str:
        lead = self.by_role("melody") or self.instruments()[0]
        head = self.pick((f"a {lead}-led {noun}", f"{words.with_article(noun)} led by {lead}", f"{words.with_article(noun)} with {lead} in the lead"))
        rest = [p for p in self.details(most) if not p.startswith(("for", "with", "featuring", "played", "on", "as"))]
        head = head.replace("a FM", "an FM")
        if head.startswith("a ") and lead in head.split("-led")[0]:
            head = words.with_article(head[2:])
        return " ".join([head, *rest]) + "."

    def _mood_last(self, noun: str, most: int) -> str:
        plain = self.genre() or "piece"
        first, second = self.mood(), self.pace() or self.density()
        tail = f"{first} and {second}" if second and second != first and self.rng.random() < 0.5 else f"{first}"
        verb = self.pick(("that sounds", "that feels", "with a character that is", ", "))
        joint = "" if verb == ", " else " "
        return " ".join([words.with_article(plain), *self.details(min(2, most))]) + f"{joint}{verb}{joint}{tail}".replace(",  ", ", ") + "."

    # Paragraphs -------------------------------------------------------------------------------------------------------

    def paragraph(self) -> str:
        makers = [self._about_melody, self._about_accompaniment, self._about_bass, self._about_rhythm, self._about_key, self._about_mood,
                  self._about_texture]  # fmt: skip
        self.rng.shuffle(makers)
        wanted = self.pick((1, 2, 2, 3, 4))
        first = self.pick((self._plain, self._this))(self.noun(), self.pick((1, 2, 3)))
        sentences = [sentence for maker in makers if (sentence := maker())][:wanted]
        return " ".join(sentence[:1].upper() + sentence[1:] for sentence in [first, *sentences])

    def _about_melody(self) -> str | None:
        lead = self.by_role("melody")
        if lead is None:
            return None
        high = {"high": " in the high register", "low": " in the low register"}.get(self.data["register"] or "", "")
        return self.pick((f"the {lead} carries the melody{high}.", f"the melody is played by the {lead}{high}.", f"{lead} takes the lead{high}.",
                          f"a {lead} melody is heard{high}." if lead[0] not in "aeiouF" else f"the tune is on {lead}{high}."))  # fmt: skip

    def _about_accompaniment(self) -> str | None:
        options = []
        for role, forms in (("chords", ("{} plays the chords.", "chords come from {}.", "{} accompanies with chords.")),
                            ("pad", ("{} holds sustained chords in the background.", "sustained {} fills the background.")),
                            ("arpeggio", ("{} plays broken chords.", "figures on {} run through the chords.")),
                            ("counter", ("{} adds a second melodic line.", "a second line is played by {}."))):  # fmt: skip
            name = self.by_role(role)
            if name and self.data["texture"] not in ("chorale", "counterpoint"):
                options.append(self.pick(forms).format(name))
        return self.pick(options) if options else None

    def _about_bass(self) -> str | None:
        name = self.by_role("bass")
        return self.pick((f"the bass line is played on {name}.", f"{name} provides the bass.", f"underneath, {name} plays the bass.")) if name else None

    def _about_rhythm(self) -> str | None:
        bpm, metre, kit = self.bpm(), self.metre(), self.kit()
        if bpm is None:
            return None
        options = [f"the tempo is {self.pace()}, {bpm}.", f"it runs at {bpm}.", f"the tempo is {bpm}."]
        if metre:
            options += [f"the metre is {metre.removeprefix('a ').removeprefix('an ')}.", f"it moves in {metre} at {bpm}."]
        if kit:
            options += [f"{kit} keep the beat at {bpm}." if kit.endswith(("s", "brushes")) else f"the {kit} keeps the beat at {bpm}.", f"{kit} can be heard throughout the rhythm section." if False else f"the rhythm is kept by {kit}."]
        elif self.data["drums"] is False:
            options += ["there are no drums.", "no drums are used."]
        return self.pick(options)

    def _about_key(self) -> str | None:
        key = self.key()
        if key is None:
            return None
        return self.pick((f"it is in {key}.", f"the music is in {key}.", f"the harmony stays in {key}." if self.data["genre"] != "blues" else f"it is in {key}."))

    def _about_mood(self) -> str | None:
        first, second = self.mood(), self.density()
        if first is None:
            return None
        options = [f"the mood is {first}.", f"it feels {first}.", f"the overall atmosphere is {first}."]
        if second:
            options += [f"the mood is {first} and the texture {second}.", f"it sounds {first} and {second}."]
        return self.pick(options)

    def _about_texture(self) -> str | None:
        texture = self.data["texture"]
        if texture in _PIANO:
            return f"the piano part has {self.pick(_PIANO[texture])}."
        swing = self.swing()
        if swing:
            return f"it is played {swing}."
        return {"chorale": "four voices move together in harmony.", "counterpoint": "the lines move independently of each other."}.get(texture or "")


def listed(names: list[str]) -> str:
    return words.listed(names)
