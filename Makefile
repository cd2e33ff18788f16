# Papers, Built. `make` alone lists what can be asked for.
# Works with GNU make 3.81 (macOS) and later; needs Python 3.11, 3.12 or 3.13.

VENV := .venv
PY   := $(VENV)/bin/python
PORT ?= 8000

# One thread a process: the same numbers everywhere, and two workers on two cores.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
# Without compiled files every kernel would parse all of torch again.
unexport PYTHONDONTWRITEBYTECODE
export PYTHON TORCH

FOLDERS  := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard chapters/*/*.ipynb)))))
CHAPTERS := $(shell printf '%s\n' $(FOLDERS) | sed 's/^[0-9]*_//')

# $(call named,target): stop with one sentence unless NAME is a chapter's.
named = $(if $(strip $(NAME)),,$(error `make $(1)` needs a chapter's name: \
make $(1) NAME=mobile_former (chapters: $(CHAPTERS))))$(if \
$(filter-out 1,$(words $(NAME)))$(filter-out $(CHAPTERS),$(NAME)),$(error there is no \
chapter named "$(NAME)"; chapters: $(CHAPTERS)))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help set-up book test check lab serve chapter student sync claims results \
	bench pins set-repository clean

help:  ## list the targets
	@echo 'Papers, Built: make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-15s %s\n", $$1, $$2}' Makefile
	@echo 'Choices: PYTHON=python3.12 (which Python), TORCH=cuda (a GPU build of torch).'

set-up:  ## make .venv with everything in it (the other targets do this themselves)
	@sh tools/set_up.sh $(VENV)

book: set-up  ## build the site into _build/html and say where to open it
	@$(PY) tools/make_book.py

test: set-up  ## run every test and print what ran
	@$(PY) tools/run_tests.py

check: set-up  ## the tests to run while working (below 5 minutes)
	@$(PY) tools/run_tests.py --quick

lab: set-up  ## open the chapters in JupyterLab
	@$(PY) -m jupyterlab

serve: set-up  ## show the built site at http://localhost:8000 (PORT=...)
	@test -f _build/html/index.html || $(PY) tools/make_book.py
	@echo 'The book is at http://localhost:$(PORT)/ (stop with Ctrl-C)'
	@$(PY) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

chapter:  ## execute one chapter's notebooks and store the outputs: NAME=mobile_former
	@$(call named,chapter):
	@sh tools/set_up.sh $(VENV)
	@$(PY) tools/execute.py --name $(NAME)

student: set-up  ## write the students' notebooks without solutions: [NAME=...]
	@$(PY) tools/student.py $(if $(NAME),--name "$(NAME)")

sync: set-up  ## write sources of lib into the notebooks and refresh generated text
	@$(PY) tools/sync.py
	@$(PY) tools/make_readme.py

claims:  ## measure a chapter's claims: NAME=... [SEEDS=0-7] [DATA=world] [RENEW=1]
	@$(call named,claims):
	@sh tools/set_up.sh $(VENV)
	@$(PY) -m lib.claims $(NAME) $(if $(SEEDS),--seeds "$(SEEDS)") \
	  $(if $(DATA),--data "$(DATA)") $(if $(RENEW),--renew)

results: set-up  ## write the results page from the ledgers and the measured claims
	@$(PY) tools/results.py

bench: set-up  ## compare the speed of our code with a plain reference
	@set -e; for script in tests/bench/[a-z]*.py; do \
	  $(PY) -m "tests.bench.$$(basename "$$script" .py)"; done

pins: set-up  ## resolve tools/requirements.in into requirements.txt again
	@$(PY) tools/make_pins.py

set-repository: set-up  ## give the book another address: URL=https://github.com/NAME/REPO
	@$(PY) tools/bootstrap.py set-repository "$(URL)"

clean:  ## remove the built site and the environment
	rm -rf _build $(VENV)

.DEFAULT:
	@echo 'There is no target "$@"; `make help` lists them.' >&2; exit 2

Makefile: ;
