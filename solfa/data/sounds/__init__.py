"""Sound that is no score: noise, tones, synthetic drums and synthesizer lines, speech."""
