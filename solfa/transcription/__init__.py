"""Transcription: vocabularies of note events, notes to event tokens and back, the model that writes them, decoding."""
