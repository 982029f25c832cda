# The short way to everything; meson and ninja do the work (see CONTRIBUTING.md).
#
#	make run	install what is missing, build, start the demo on loopback
#	make check	the same, then every test

RUN ?= demo

.PHONY: run check build deps deps-check lint fuzz sim bench clean

run: deps build
	@test -x build/posthorn || { echo "there is no program to run in this tree yet"; exit 1; }
	build/posthorn $(RUN)

check: deps-check
	tests/run

build: deps
	tools/build gcc

deps:
	@tools/install-deps build

deps-check:
	@tools/install-deps build check

lint: deps-check
	@tools/install-deps lint
	tools/check-lint --tidy
	tools/check-format

fuzz: deps-check
	tests/fuzz

sim: deps build
	@if test -x tests/sim/run; then tests/sim/run; else echo "no simulator in this tree"; exit 1; fi

bench: deps build
	@if test -x tests/bench/run; then tests/bench/run; else echo "no benchmarks in this tree"; exit 1; fi

clean:
	rm -rf build build-asan build-fuzz
