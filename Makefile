# ovnhook: see README.md. Everything here is run as root on a Debian machine and installs what it needs by itself.
PYTHON = /usr/bin/python3
PREFIX ?= ovnhook

.PHONY: help
help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: deps
deps:
	@packaging/dependencies
	@packaging/protos

.PHONY: demo
demo: deps ## a cloud on this machine, shown step by step; it stays up
	@lab/lab --prefix $(PREFIX) demo

.PHONY: lab-up
lab-up: deps ## the cloud of the demo, without the show
	@lab/lab --prefix $(PREFIX) up

.PHONY: lab-down
lab-down: ## take it away
	@lab/lab --prefix $(PREFIX) down

# What QUICK=1 leaves out takes guests, or PyPI. Tests with guests wait more than they work: the others run beside them.
ALL = lint,test-debian test-pypi,test-cloud
FEW = lint test-debian

.PHONY: test
test: deps ## all tests, each part whatever becomes of the others; QUICK=1: lint, unit and database tests
	@MAKE=$(MAKE) tests/parts $(if $(QUICK),$(FEW),$(ALL))

.PHONY: lint
lint: deps ## ruff, mypy, shellcheck
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	shellcheck .ci/run packaging/build packaging/debian/tests/all-in-one packaging/debian/tests/command packaging/dependencies packaging/fence packaging/protos tests/newest tests/parts

.PHONY: test-databases
test-databases: deps ## the tests that need no guest, with Debian's and PyPI's dependencies side by side
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-debian test-pypi

.PHONY: test-debian
test-debian:
	$(PYTHON) -m pytest --numprocesses 2 tests/unit tests/database

.PHONY: test-pypi
test-pypi:
	tests/newest

# A guest that QEMU breaks when it moves (lab/guest.py, is_stuck) is nobody's fault here: that test is done again.
AGAIN = --reruns 2 --only-rerun "guests that QEMU has broken"
# Files are done in this order: those that take longest first, so that no process is left alone with one in the end.
BOOTED = 'tests/packages/test_cloud.py::test_three_hosts[bookworm]'

# Two labs at a time: the busier the machine, the more guests QEMU breaks when they move.
.PHONY: test-cloud
test-cloud: deps ## the tests that boot guests, in two labs side by side; and three hosts with the packages
	rm -rf dist
	$(PYTHON) -m pytest --numprocesses 2 --dist loadfile $(AGAIN) $(BOOTED) tests/faults tests/cloud

JOBS = 1

.PHONY: fault-matrix
fault-matrix: deps ## every cell of docs/evidence/fault-matrix.md that has not been run (JOBS=2 labs; CELLS="nb-kill" anew)
	$(PYTHON) -m tests.faults --jobs $(JOBS) $(CELLS)

SOAK_SECONDS = 1800

.PHONY: soak
soak: deps ## half an hour of everything at random, and nothing is left wrong (SOAK_SECONDS=60 SEED=7)
	$(PYTHON) -m tests.faults.soak --seconds $(SOAK_SECONDS) $(if $(SEED),--seed $(SEED))
.PHONY: bench
bench: deps ## what things cost, measured side by side
	$(PYTHON) -m bench

.PHONY: reference
reference: deps ## write the generated parts of docs/reference
	$(PYTHON) -m reference

.PHONY: test-packages
test-packages: deps ## the Debian packages, on machines of Debian 12 and 13 that boot
	rm -rf dist
	$(PYTHON) -m pytest --numprocesses 2 --dist loadfile tests/packages

# Words of pytest's -k.
RELEASE = test
CASE = test

.PHONY: test-machines
test-machines: deps ## whole Debian machines in QEMU, with its own kernel (RELEASE=bookworm CASE=migration)
	rm -rf dist
	$(PYTHON) -m pytest --evidence -k '$(RELEASE) and $(CASE)' tests/machines

.PHONY: packages
packages: ## the Debian packages, in dist/
	@packaging/build

.PHONY: format
format: deps ## put the code into shape
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

DESTDIR =
SITE = $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib", "posix_local"))')

.PHONY: install
install: ## the library and the command, below /usr/local
	packaging/protos
	install -d $(DESTDIR)$(SITE) $(DESTDIR)/usr/local/bin
	rm -rf $(DESTDIR)$(SITE)/ovnhook
	cp -r --no-preserve=ownership ovnhook $(DESTDIR)$(SITE)/
	find $(DESTDIR)$(SITE)/ovnhook -name __pycache__ -exec rm -r {} +
	install -m 755 packaging/ovnhook $(DESTDIR)/usr/local/bin/ovnhook

.PHONY: install-control
install-control: ## the unit of the control service
	install -D -m 644 packaging/debian/ovnhook-control.ovnhook-control.service $(DESTDIR)/etc/systemd/system/ovnhook-control.service

.PHONY: install-hypervisor
install-hypervisor: ## the hook, and the unit of the agent
	install -D -m 755 hooks/qemu $(DESTDIR)/etc/libvirt/hooks/qemu.d/ovnhook
	install -D -m 644 packaging/debian/ovnhook-hypervisor.ovnhook-agent.service $(DESTDIR)/etc/systemd/system/ovnhook-agent.service
	install -D -m 644 packaging/debian/ovnhook-hypervisor.ovnhook-uplink@.service $(DESTDIR)/etc/systemd/system/ovnhook-uplink@.service
	install -D -m 644 packaging/debian/ovnhook-hypervisor.ovnhook-gateway.service $(DESTDIR)/etc/systemd/system/ovnhook-gateway.service
	install -D -m 644 packaging/debian/ovnhook-hypervisor.ovnhook-macvlan@.service $(DESTDIR)/etc/systemd/system/ovnhook-macvlan@.service
