# Every target sets up .venv by itself, and works from any folder: make -C PATH TARGET
.DEFAULT_GOAL := help
.PHONY: help demo demo-ojs demo-agents demo-bakalari demo-graph up hosting check test simulate simulate-selftest simulate-sweep \
	bench docs pictures lint lock audit clean venv

PY := .venv/bin/python
KEEP ?=
DJANGO ?=
TOKEN_FILE ?=
SEED ?=
N ?=
CHOICES ?=
WORLD ?=
BENCH ?=
ONLY ?=
SIMULATION := PYTHONPATH=tests $(PY) -m simulation
export PYTHON

help:  ## say what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' Makefile

demo: venv  ## show a sync in both directions, conflicts included, on this machine
	@$(PY) -m local demo

demo-bakalari: venv  ## two schools into Firestore and Django: leavers, a maintenance page, the summer
	@$(PY) -m local demo_bakalari

demo-ojs: venv  ## OJS journals and a Django portal, both ways, with a journal that is down and one with a wrong key
	@$(PY) -m local demo_ojs

demo-agents: venv  ## autonomous agents on the manuscripts of OJS journals, two at a time
	@$(PY) -m local demo_agents

demo-graph: venv  ## content of Django in a graph, and what is edited there by hand
	@$(PY) -m local demo_graph

up: venv  ## start Firestore, Django, a graph and the functions, until Ctrl-C; KEEP=1 goes on with the last data; DJANGO= another Django
	@$(PY) -m local up $(if $(filter-out 0 no false,$(KEEP)),--keep) $(if $(DJANGO),--django-url "$(DJANGO)") $(if $(TOKEN_FILE),--token-file "$(TOKEN_FILE)")

hosting: venv  ## bundle the dashboard and the profile page into hosting/dist
	@$(PY) -m local pages

check: lint  ## linters, types and the fast tests, in seconds
	$(PY) -m pytest -q -n 2 --dist loadfile -m "not stack" tests

test: lint  ## everything: also what needs the emulator and servers
	$(PY) -m pytest -q -n 2 --dist loadfile tests

simulate: venv  ## many seeded schedules of faults against the whole engine; SEED= and N= choose which, CHOICES= one
	@$(SIMULATION) $(if $(WORLD),--world=$(WORLD)) $(if $(SEED),--seed=$(SEED)) $(if $(N),--number=$(N)) $(if $(CHOICES),--choices=$(CHOICES))

simulate-selftest: venv  ## plant each known bug and say after how many seeds the simulation finds it
	@$(SIMULATION).selftest

simulate-sweep: venv  ## every fault at every call of chosen scenarios, and pairs of faults
	@$(SIMULATION).sweep

bench: venv  ## speed and cost as ratios, measured side by side; ONLY=delta,idle some parts, BENCH=large all sizes
	@BENCH=$(BENCH) $(PY) -m bench $(if $(ONLY),--only=$(ONLY))

docs: venv  ## write the reference anew, from the code: command line, sync.yaml, functions, collections, REST contract
	@$(PY) -m local.reference

pictures: venv  ## take the pictures in docs/pictures anew, from the pages of the real stack
	$(PY) -m pytest -q tests/browser/test_look.py
	@cd .local/screenshots && cp overview-light.png overview-dark.png ../../docs/pictures/ && cp conflicts-light.png ../../docs/pictures/conflicts.png

lint: venv  ## linters and types only
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	cd backend && ../$(PY) -m mypy

lock: venv  ## pin what the requirements*.in ask for, with hashes, and list the licences
	@sh local/lock.sh

audit: venv  ## known weaknesses of what is pinned, where pip-audit and its data can be had
	@sh local/audit.sh

clean:  ## delete what was made here: .venv, .local, caches
	rm -rf .venv .local hosting/dist hosting/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv:
	@sh local/venv.sh
