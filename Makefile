# Shorthands: python3 run.py does the work, and makes .venv when it is missing or out of date.
# ARGS are passed on: make stress ARGS="--event EVENT001 --purchases 60"

RUN = python3 run.py
UV = uv
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11
AGREEING = $(COMPILE) -c requirements-test.lock
EXTRAS = --extra report --extra lab

.DEFAULT_GOAL := help
.PHONY: help report test check fix lab serve seed stress audit db-start db-stop lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do \
		printf '  %-10s %s\n' "$$name" "$$what"; done

report: ## Run every notebook, into reports/index.html
	$(RUN) report $(ARGS)

test: ## The checks and every test; with ARGS, pytest alone
	$(RUN) test $(ARGS)

check: ## Format, lint, types and stripped notebooks; changes nothing
	$(RUN) test --checks $(ARGS)

fix: ## Format, fix what the linter can, strip the notebooks
	$(RUN) test --fix

lab: ## JupyterLab with the database ready
	$(RUN) lab $(ARGS)

serve: ## Sell tickets over HTTP on port 3000
	$(RUN) serve $(ARGS)

seed: ## Fill the database with the six events
	$(RUN) seed $(ARGS)

stress: ## Fire purchases at a service; ARGS name it and the event
	$(RUN) stress $(or $(ARGS),--event EVENT004)

audit: ## Check the ledger: exit 0 clean, 1 violations, 3 could not tell
	$(RUN) audit $(ARGS)

db-start: ## Start the embedded PostgreSQL, to last until db-stop
	$(RUN) db start

db-stop: ## Stop it
	$(RUN) db stop

lock: ## Write the locks with uv; ARGS=--upgrade for newer versions
	$(COMPILE) $(ARGS) $(EXTRAS) --extra test pyproject.toml -o requirements-test.lock >/dev/null
	$(AGREEING) $(EXTRAS) pyproject.toml -o requirements-lab.lock >/dev/null
	$(AGREEING) --extra report pyproject.toml -o requirements.lock >/dev/null
	$(AGREEING) pyproject.toml -o requirements-service.lock >/dev/null

clean: ## Remove .venv, caches and reports; runs/ is kept
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find reports -mindepth 1 ! -name README.md -delete
