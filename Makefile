# make demo: the main job on real input.  make test: lint, types, tests.  Each does all its set-up itself, once.
#
# Torch's default Linux wheels bring gigabytes of CUDA. Without a GPU, take the CPU wheels:
#     make demo PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

NEWEST := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PYTHON ?= $(NEWEST)
VENV ?= .venv
REFERENCE ?= .venv-reference
WORKERS ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt

# Only when given: an empty one would hide what pip's own configuration says.
ifdef PIP_EXTRA_INDEX_URL
export PIP_EXTRA_INDEX_URL
endif

.PHONY: help demo test test-faults test-reference lint types bench cards codec-data music-data notes-data notes-test clean

help:
	@echo "make demo    a recording to tokens and back, and a page in demo/ that plays it"
	@echo "make test    lint, types and tests"
	@echo "make test-faults    200 random kills of tokenizing runs, on every engine: nothing lost, nothing twice, the same bytes (an hour); and no more files at every opening"
	@echo "make test-reference    our codecs against the original encodec and dac packages, in an environment of their own"
	@echo "make bench   speed and memory, one table a subject"
	@echo "make cards   the numbers in the models' cards, printed again (hours; needs the data below; CARDS=... for some)"
	@echo "make codec-data SONGS=scores.zip    the sound that solfa/recipes/codec_24khz.py trains on (18 hours, 2 GB), in data/codec"
	@echo "make music-data    pieces with captions, and their codes, to train a music model on (20 hours, 2 GB), in data/music"
	@echo "make notes-data [SONGS=scores.zip]    pieces with notes, and their codes, to train a transcriber on (29 hours, 3 GB; 52 with songs, 4 GB), in data/notes"
	@echo "make notes-test    pieces to test it on: 63 real ones (30 minutes), in data/notes/corpus, the same for a pianist, in data/notes/recital, and 48 composed ones for piano (10), in data/notes/pianos"
	@echo "make lint | types | clean"

demo: $(VENV)/.core
	$(BIN)/solfa demo -o demo

test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -rs -q

# The short form is part of `make test`. KILLS are of each engine.
KILLS ?= 70
test-faults: $(VENV)/.test
	SOLFA_FAULT_KILLS=$(KILLS) OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/tokenize_audio/test_faults.py tests/tokenize_audio/work/test_limits.py -rs -v

# The original packages need torch 2.11, so they live in an environment of their own.
test-reference: $(REFERENCE)/.ready
	OMP_NUM_THREADS=1 $(REFERENCE)/bin/python -m pytest tests/reference -rs -q

lint: $(VENV)/.test
	$(BIN)/ruff check .

types: $(VENV)/.test
	$(BIN)/mypy

bench: $(VENV)/.test
	@for script in bench/[!_]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# By default README.md and solfa/weights/*/README.md. The commands stand in the cards.
CARDS ?=
cards: $(VENV)/.test
	$(BIN)/python bench/_cards.py $(CARDS)

# Training: two soundfonts, synthetic sounds, voices, and songs from a folder or zip of MIDI files. Held out: other scores,
# played by a soundfont that training never hears.
SF2 ?= /usr/share/sounds/sf2
JOBS ?= 2
codec-data: $(VENV)/.core
	@test -n "$(SONGS)" || { echo "name a folder or zip of MIDI or MusicXML files: make codec-data SONGS=scores.zip"; exit 1; }
	$(BIN)/solfa synth -j $(JOBS) -o data/codec/held-out --items 24 --seed 900 --seconds 10 14 --soundfont $(SF2)/TimGM6mb.sf2
	$(BIN)/solfa encode data/codec/held-out/audio -o data/codec/held-out/codes --coding packed -j $(JOBS)
	$(BIN)/solfa synth -j $(JOBS) -o data/codec/scores --items 800 --seed 20 --soundfont $(SF2)/FluidR3_GM.sf2 --soundfont $(SF2)/MuseScore_General_Full.sf2
	$(BIN)/solfa synth -j $(JOBS) -o data/codec/sounds --items 500 --seed 21 --kind sounds --seconds 5 40
	$(BIN)/solfa synth -j $(JOBS) -o data/codec/speech --items 500 --seed 22 --kind speech --seconds 4 20
	$(BIN)/solfa synth -j $(JOBS) -o data/codec/songs --from $(SONGS) --items 600 --seed 23 --instruments vary --max-seconds 30 --soundfont $(SF2)/FluidR3_GM.sf2 --soundfont $(SF2)/MuseScore_General_Full.sf2

# A small world, to be learned well: eight leads alone or with piano or guitar, plain sound, one tempo, eight captions a piece.
MUSIC := --seconds 11 12 --plain --soundfont $(SF2)/FluidR3_GM.sf2 --programs 0,11,19,24,40,56,71,73 --balance \
	--accompaniment 0,24 --steady --captions 8 --modes "major,minor,harmonic minor" --metres 3/4,4/4,6/8 \
	--genres "waltz,folk,ballad,lullaby,classical,ragtime,romantic piano" \
	--textures "solo,duo,piano arpeggios,alberti piano,block-chord piano,nocturne piano,stride piano"
music-data: $(VENV)/.core
	$(BIN)/solfa synth -j $(JOBS) -o data/music/train --items 6000 --seed 40 $(MUSIC)
	$(BIN)/solfa synth -j $(JOBS) -o data/music/valid --items 200 --seed 41 $(MUSIC)
	$(BIN)/solfa synth -j $(JOBS) -o data/music/test --items 256 --seed 42 $(MUSIC)
	@for part in train valid test; do \
		$(BIN)/solfa encode data/music/$$part/audio -o data/music/$$part/codes --codebooks 4 --coding packed -j $(JOBS) || exit 1; done

# What a transcriber hears: all instruments with a pitch (112 to 127 are noises), rooms, noise and detuning, by two soundfonts; drums apart.
# Drills are every key, soft and loud. Held out: other pieces by the same soundfonts (valid), and by one that training never hears (test).
NOTES := --soundfont $(SF2)/FluidR3_GM.sf2 --soundfont $(SF2)/MuseScore_General_Full.sf2
PITCHED := --programs 0-111,114
PIANO := "solo,piano arpeggios,alberti piano,block-chord piano,nocturne piano,stride piano"
notes-data: $(VENV)/.core
	$(BIN)/solfa synth -j $(JOBS) -o data/notes/scores --items 2000 --seed 60 --seconds 10 30 $(PITCHED) $(NOTES)
	$(BIN)/solfa synth -j $(JOBS) -o data/notes/solos --items 800 --seed 61 --seconds 10 20 $(PITCHED) --textures solo,duo --balance $(NOTES)
	$(BIN)/solfa synth -j $(JOBS) -o data/notes/piano --items 1000 --seed 62 --seconds 10 30 --programs 0-3 --textures $(PIANO) $(NOTES)
	$(BIN)/solfa synth -j $(JOBS) -o data/notes/drums --items 500 --seed 63 --seconds 10 30 --exclude-programs 112-113,115-127 $(NOTES)
	$(BIN)/solfa synth -j $(JOBS) -o data/notes/drills --items 800 --seed 64 --seconds 10 20 --kind drills $(PITCHED) $(NOTES)
	$(BIN)/solfa synth -j $(JOBS) -o data/notes/keys --items 700 --seed 65 --seconds 10 20 --kind drills --programs 0-5 $(NOTES)
	$(BIN)/solfa synth -j $(JOBS) -o data/notes/valid --items 96 --seed 66 --seconds 10 14 --exclude-programs 112-113,115-127 $(NOTES)
	$(BIN)/solfa synth -j $(JOBS) -o data/notes/test --items 96 --seed 67 --seconds 10 14 $(PITCHED) --soundfont $(SF2)/TimGM6mb.sf2
	@test -z "$(SONGS)" || $(BIN)/solfa synth -j $(JOBS) -o data/notes/songs --from $(SONGS) --items 900 --seed 68 --instruments vary --max-seconds 30 $(NOTES)
	@test -z "$(SONGS)" || $(BIN)/solfa synth -j $(JOBS) -o data/notes/performed --from $(SONGS) --items 900 --seed 70 --instruments pianist --programs 0-1 \
		--max-seconds 60 $(NOTES)
	@for part in scores solos piano drums drills keys valid test $(if $(SONGS),songs performed); do \
		$(BIN)/solfa encode data/notes/$$part/audio -o data/notes/$$part/codes --coding packed -j $(JOBS) || exit 1; done

# Real pieces that training never hears, from music21's corpus: instruments drawn for the parts, and all parts by one pianist; by the soundfont
# of the test set. No Lied is among them: who trains on songs may have OpenScore's. FOLDER=ITEMS, the first ones by name.
CORPUS := bach=20 beethoven=8 mozart=8 haydn=7 monteverdi=5 schumann_clara=4 schumann_robert/opus41no1=4 trecento=3 cpebach=1 corelli=1 \
	handel=1 joplin=1
notes-test: $(VENV)/.test
	@root=$$($(BIN)/python -c 'import music21; print(music21.common.getCorpusFilePath())') && for part in $(CORPUS); do \
		$(BIN)/solfa synth -j $(JOBS) -o data/notes/corpus/$${part%=*} --from "$$root/$${part%=*}" --items $${part#*=} --seed 69 \
			--instruments vary --max-seconds 30 $(PITCHED) --soundfont $(SF2)/TimGM6mb.sf2 || exit 1; \
		$(BIN)/solfa synth -j $(JOBS) -o data/notes/recital/$${part%=*} --from "$$root/$${part%=*}" --items $${part#*=} --seed 71 \
			--instruments pianist --programs 0-1 --max-seconds 30 --soundfont $(SF2)/TimGM6mb.sf2 || exit 1; done
	$(BIN)/solfa synth -j $(JOBS) -o data/notes/pianos --items 48 --seed 69 --seconds 10 14 --programs 0-3 --textures $(PIANO) --soundfont $(SF2)/TimGM6mb.sf2

clean:
	rm -rf $(VENV) $(REFERENCE) build dist *.egg-info demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find solfa tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "solfa needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "the venv module does not work here (Debian: apt install python3-venv)"; exit 1; }

# The stamps are written last, so that an install that was cut short is done again.
$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing solfa into $(VENV) (once; torch is large)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing solfa and what its tests need into $(VENV) (once; torch is large)"
	@$(PIP) -e ".[test]"
	@$(PIP) -e ".[eval]" || echo "PESQ or ViSQOL could not be built (no C compiler?): their tests are skipped"
	@touch $(VENV)/.core $@

# solfa itself comes last and without its dependencies, so that they do not move the torch of the original packages.
$(REFERENCE)/.ready: tests/reference/requirements.txt tests/reference/constraints.txt
	@echo "installing the original codec packages into $(REFERENCE) (once; torch is large)"
	@test -n "$(PYTHON)" || { echo "solfa needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(REFERENCE)/bin/python || $(PYTHON) -m venv $(REFERENCE)
	@$(REFERENCE)/bin/python -m pip --disable-pip-version-check install -qq -r tests/reference/requirements.txt -c tests/reference/constraints.txt
	@$(REFERENCE)/bin/python -m pip --disable-pip-version-check install -qq --no-deps -e .
	@touch $@
