# The same commands that .ci/run uses, one at a time.
MODULES := . examples internal/interop
export PATH := $(shell go env GOPATH)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help test race lint fmt api interop bench torture torture-short

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## test the library, with Go alone
	go test ./...

race: ## the same under the race detector
	go test -race ./...

lint: ## check the format and run golangci-lint in all three modules
	@unformatted=$$(gofumpt -l .) && if [ -n "$$unformatted" ]; then printf 'not gofumpt:\n%s\n' "$$unformatted"; exit 1; fi
	@for m in $(MODULES); do echo "golangci-lint $$m"; (cd $$m && golangci-lint run ./...) || exit 1; done

fmt: ## format all three modules
	@for m in $(MODULES); do (cd $$m && golangci-lint fmt ./...) || exit 1; done

api: ## write the pinned API anew
	go test ./internal/arch -run API -update

interop: ## test against real providers and a real browser: needs node, npm, java, mvn, chromium
	cd internal/interop/oidcprovider && npm ci --no-audit --no-fund --ignore-scripts
	cd internal/interop && go test -race -timeout 15m ./...

bench: ## benchmarks, beside what Go programs use today
	cd internal/interop && go test -run '^$$' -bench . -benchmem -cpu 1,2 ./bench

torture: ## everything that can go wrong in the middle of a rotation: needs redis-server, postgresql; a quarter of an hour
	cd internal/interop && go test -timeout 60m -v -run NoSessionIsLost ./torture -torture.full -torture.report $(CURDIR)/docs/torture.md

torture-short: ## some of it, in four minutes
	cd internal/interop && go test -timeout 10m -run NoSessionIsLost ./torture
