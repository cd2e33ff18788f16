PYTHON ?= python3
VENV ?= .venv
PY = $(VENV)/bin/python
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
$(VENV)/.done: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q uv
	$(VENV)/bin/uv pip install -q --python $(PY) -r requirements.txt
	touch $@
