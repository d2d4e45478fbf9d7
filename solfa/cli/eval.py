"""`solfa eval`: its sub-commands."""

from __future__ import annotations

from cyclopts import App

from solfa.cli.eval_abc import abc
from solfa.cli.eval_codebooks import codebooks
from solfa.cli.eval_codec import codec
from solfa.cli.eval_generation import generation
from solfa.cli.eval_transcription import transcription

app = App(
    name="eval",
    help="Measure codecs, their codebooks, generated music, and transcriptions\n\nExample: solfa eval codec clips/ --codec solfa-24khz",
    help_format="plaintext",
)
app.command(codec, name="codec")
app.command(codebooks, name="codebooks")
app.command(generation, name="generation")
app.command(transcription, name="transcription")
app.command(abc, name="abc")
