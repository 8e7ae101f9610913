# SPDX-License-Identifier: BSD-2-Clause
# RDDR. `make help` lists the targets; V=1 shows the commands; SAN=1 builds with ASan and UBSan into build/san.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:

VERSION := 0.1.0
CC := gcc
CLANG := clang
BPFTOOL := /usr/sbin/bpftool
PREFIX := /usr
SYSTEMD := $(PREFIX)/lib/systemd
DESTDIR :=
BUILD := build$(if $(SAN),/san)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
# llhttp comes as C sources (Debian's node-llhttp), which are compiled into build/.
LLHTTP := /usr/share/llhttp
LLHTTP_INCLUDE := /usr/share/include/llhttp
CPPFLAGS := -D_GNU_SOURCE -DRDDR_VERSION='"$(VERSION)"' -DRDDR_LIBDIR='"$(PREFIX)/lib/rddr"' \
	    -Iuserspace -Ichainers -Idiff -Ibpf -I$(BUILD)/bpf -isystem $(LLHTTP_INCLUDE)
CFLAGS := -std=gnu11 -O2 -g -fPIC -pthread -fno-strict-aliasing $(WARNINGS)
LDFLAGS := -pthread -Wl,-z,relro,-z,now
ifdef SAN
# The sanitizers' own code makes gcc see what is not there.
CFLAGS += -O1 -Wno-format-truncation -Wno-maybe-uninitialized -Wno-stringop-overflow -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
else
CFLAGS += -fstack-protector-strong -D_FORTIFY_SOURCE=2
endif
# A distribution's.
CFLAGS += $(EXTRA_CFLAGS)
LDFLAGS += $(EXTRA_LDFLAGS)
LIBS_DAEMON := -lnetfilter_queue -lmnl -lcares -lssl -lcrypto -lyaml -ljson-c -lcap-ng -ldl -lbpf -lelf -lz
LIBS_CTL := -ljson-c
LIBS_PLUGIN := -Wl,--as-needed -ljson-c
LIBS_SHARED := -ljson-c -lpcre2-8 -lz -lbrotlidec -lcrypto -lidn
LIBS_STEER := -lbpf -lelf -lz -lyaml -ljson-c

# Programs have a file of their own with main(); everything else of userspace/ and chainers/ is one library.
PROGRAMS := rddrd rddrctl rddr-steer
MAINS := userspace/main.c userspace/rddrctl.c userspace/rddr_steer.c
# What embeds the kernel programs' skeletons belongs to rddr-steer alone.
STEER_SOURCES := $(wildcard userspace/steer_*.c)
LIB_SOURCES := $(filter-out $(MAINS) $(STEER_SOURCES),$(wildcard userspace/*.c chainers/*.c))
LIB_OBJECTS := $(LIB_SOURCES:%.c=$(BUILD)/obj/%.o)
LIBRARY := $(BUILD)/librddr.a

# Plugins: every other file in diff/ is shared. The plain ones get PLAIN_SHARED of it, the others everything, and its libraries.
PLUGINS := bytes skeleton $(patsubst diff/%.c,%,$(wildcard diff/http.c diff/json.c diff/postgres.c))
PLAIN_PLUGINS := bytes skeleton
PLAIN_SHARED := diff/noise.c diff/body_bytes.c
PLUGIN_SHARED := $(filter-out $(PLUGINS:%=diff/%.c),$(wildcard diff/*.c))
PLUGIN_FILES := $(PLUGINS:%=$(BUILD)/diff/%.so)
# Of this archive a program gets what it uses.
DIFF_LIBRARY := $(BUILD)/libdiff.a

BPF_OBJECTS := $(patsubst bpf/%.bpf.c,$(BUILD)/bpf/%.bpf.o,$(wildcard bpf/*.bpf.c))
BPF_SKELETONS := $(BPF_OBJECTS:%.bpf.o=%.skel.h)

.PHONY: all
all: $(PROGRAMS:%=$(BUILD)/%) $(PLUGIN_FILES) ## build everything into build/

$(BUILD)/rddrd: $(BUILD)/obj/userspace/main.o $(LIBRARY)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_DAEMON)

$(BUILD)/rddrctl: $(BUILD)/obj/userspace/rddrctl.o $(LIBRARY)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CTL)

$(BUILD)/rddr-steer: $(BUILD)/obj/userspace/rddr_steer.o $(STEER_SOURCES:%.c=$(BUILD)/obj/%.o) $(LIBRARY)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_STEER)

$(LIBRARY): $(LIB_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/userspace/rddr_steer.o $(STEER_SOURCES:%.c=$(BUILD)/obj/%.o): $(BPF_SKELETONS)

# A plugin exports its table and nothing else.
$(BUILD)/obj/diff/%.o: CFLAGS += -fvisibility=hidden

$(BUILD)/obj/llhttp/%.o: $(LLHTTP)/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -W%,$(CFLAGS)) -fvisibility=hidden -DLLHTTP_STRICT_MODE=1 -I$(LLHTTP_INCLUDE) -c -o $@ $<

LLHTTP_OBJECTS := $(patsubst %,$(BUILD)/obj/llhttp/%.o,llhttp api http)
$(DIFF_LIBRARY): $(PLUGIN_SHARED:%.c=$(BUILD)/obj/%.o) $(LLHTTP_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

define PLUGIN_RULE
$(BUILD)/diff/$(1).so: $(BUILD)/obj/diff/$(1).o \
		$(if $(filter $(1),$(PLAIN_PLUGINS)),$(PLAIN_SHARED:%.c=$(BUILD)/obj/%.o),$(DIFF_LIBRARY))
	$$(call say,PLUGIN,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$(CC) $(LDFLAGS) -shared -Wl,-z,defs$(if $(SAN),$$(comma)--no-as-needed) -o $$@ $$^ $(LIBS_PLUGIN) \
		$(if $(filter $(1),$(PLAIN_PLUGINS)),,$(LIBS_SHARED))
endef
$(foreach p,$(PLUGINS),$(eval $(call PLUGIN_RULE,$(p))))
comma := ,

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -O2 -g -target bpf -Wall -Wextra -Werror -Ibpf -I/usr/include/$(shell uname -m)-linux-gnu -c -o $@ $<
	$(Q)llvm-strip -g $@ 2>/dev/null || true

$(BUILD)/bpf/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

# Unit tests mirror the sources: tests/unit/<room>/<file>.c
UNIT_SOURCES := $(wildcard tests/unit/*/*.c)
UNIT_TESTS := $(UNIT_SOURCES:%.c=$(BUILD)/%)
.PHONY: unit
unit: $(UNIT_TESTS) $(PLUGIN_FILES) ## build and run the unit tests
	$(Q)RDDR_BUILD=$(BUILD) tests/run-unit $(UNIT_TESTS)

$(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tests/unit/bpf/*.c) tests/unit/userspace/steering.c): $(BPF_SKELETONS)

# A test of a plugin's own code links that code: tests/unit/diff/bytes.c gets diff/bytes.c and what plugins share.
$(BUILD)/tests/unit/diff/%: $(BUILD)/obj/tests/unit/diff/%.o $(DIFF_LIBRARY) $(LIBRARY)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LIBS_DAEMON) $(LIBS_SHARED)
$(foreach p,$(PLUGINS),$(eval $(BUILD)/tests/unit/diff/$(p): $(BUILD)/obj/diff/$(p).o))
# These play whole sessions.
$(foreach t,lead written,$(eval $(BUILD)/tests/unit/diff/postgres_$(t): $(BUILD)/obj/diff/postgres.o))
$(BUILD)/tests/unit/diff/encoding: LIBS_SHARED += -lbrotlienc

# Who is paired with whom is looked at without making sessions of them.
$(BUILD)/tests/unit/userspace/gather_match: LDFLAGS += $(foreach f,begin refuse drop,-Wl,--wrap=rddr_gather_$(f))
$(BUILD)/tests/unit/userspace/gather: LDFLAGS += $(foreach f,new begin_outgoing,-Wl,--wrap=rddr_session_$(f))
$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(LIBRARY)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_DAEMON)

# Stream tests start the daemon and play the client and the servers themselves: tests/stream/NAME.c, with what they share in tests/stream/play/.
STREAM_SHARED := $(wildcard tests/stream/play/*.c)
STREAM_TESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/stream/*.c))
$(BUILD)/tests/stream/%: $(BUILD)/obj/tests/stream/%.o $(STREAM_SHARED:%.c=$(BUILD)/obj/%.o) $(LIBRARY)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_DAEMON)

.PHONY: stream
stream: $(STREAM_TESTS) $(BUILD)/rddrd $(PLUGIN_FILES) ## build and run the stream tests alone
	$(Q)RDDR_BUILD=$(BUILD) tests/run-unit --room stream --stage stream $(STREAM_TESTS)

# Small programs that tests and the bench use: tests/tools/NAME.c stands alone, but for those named here.
$(BUILD)/tests/tools/dial: $(LIBRARY)
$(BUILD)/tests/tools/steer-listener: $(LIBRARY)
$(BUILD)/tests/tools/steer-listener: TOOL_LIBS := $(LIBS_STEER)
$(BUILD)/tests/tools/pg-pipeline: TOOL_LIBS := -lpq
$(BUILD)/tests/tools/tls-updates: TOOL_LIBS := -lssl -lcrypto
OTHERS := program abi
TOOLS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/tools/*.c)) $(OTHERS:%=$(BUILD)/tests/tools/rddr-steer-%)
$(BUILD)/tests/tools/%: $(BUILD)/obj/tests/tools/%.o
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(TOOL_LIBS)

# Other versions of rddr-steer (OTHERS), for tests that replace one by the other: the programs differ, or the ABI does too.
OTHER_program := -DRDDR_REVISION=2
OTHER_abi := -DRDDR_REVISION=3 -DRDDR_ABI=3
define OTHER_RULES
$(BUILD)/other-$(1)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	$$(call say,BPF,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$(CLANG) -O2 -g -target bpf -Wall -Wextra -Werror -Ibpf -I/usr/include/$(shell uname -m)-linux-gnu \
		$(OTHER_$(1)) -c -o $$@ $$<
$(BUILD)/other-$(1)/bpf/%.skel.h: $(BUILD)/other-$(1)/bpf/%.bpf.o
	$$(Q)$(BPFTOOL) gen skeleton $$< name $$*_bpf > $$@
$(BUILD)/other-$(1)/obj/%.o: userspace/%.c $(BPF_SKELETONS:$(BUILD)/%=$(BUILD)/other-$(1)/%)
	$$(call say,CC,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$(CC) -I$(BUILD)/other-$(1)/bpf $(CPPFLAGS) $(OTHER_$(1)) $(CFLAGS) -MMD -MP -c -o $$@ $$<
$(BUILD)/tests/tools/rddr-steer-$(1): $(patsubst userspace/%.c,$(BUILD)/other-$(1)/obj/%.o,\
		userspace/rddr_steer.c userspace/steering.c $(STEER_SOURCES)) $(LIBRARY)
	$$(call say,LD,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$(CC) $(LDFLAGS) -o $$@ $$^ $(LIBS_STEER)
endef
$(foreach o,$(OTHERS),$(eval $(call OTHER_RULES,$(o))))

.PHONY: tests-built
tests-built: all $(UNIT_TESTS) $(STREAM_TESTS) $(TOOLS)

# Fuzz targets: tests/fuzz/NAME.c has LLVMFuzzerTestOneInput and gets the library, diff_NAME.c the plugin diff/NAME.c with what plugins share,
# those in FUZZ_SHARED what plugins share alone.
FUZZ_SHARED := json lines http_request http_response http_opening encoding tokens pg_auth pg_opening
# All of it is compiled once more by clang, with the sanitizers in.
FUZZ_SOURCES := $(wildcard tests/fuzz/*.c)
FUZZ_TARGETS := $(FUZZ_SOURCES:tests/fuzz/%.c=$(BUILD)/fuzz/%)
FUZZ_FLAGS := -std=gnu11 -O1 -g -pthread -fno-strict-aliasing -fno-omit-frame-pointer \
	      -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
$(BUILD)/obj-fuzz/%.o: %.c
	$(call say,FUZZCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(CPPFLAGS) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj-fuzz/librddr.a: $(LIB_SOURCES:%.c=$(BUILD)/obj-fuzz/%.o)
	$(Q)rm -f $@ && ar rcs $@ $^

$(BUILD)/obj-fuzz/llhttp/%.o: $(LLHTTP)/%.c
	$(call say,FUZZCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -DLLHTTP_STRICT_MODE=1 -I$(LLHTTP_INCLUDE) -c -o $@ $<

$(BUILD)/obj-fuzz/libdiff.a: $(PLUGIN_SHARED:%.c=$(BUILD)/obj-fuzz/%.o) $(patsubst %,$(BUILD)/obj-fuzz/llhttp/%.o,llhttp api http)
	$(Q)rm -f $@ && ar rcs $@ $^

define fuzz_target
$(BUILD)/fuzz/$(1): $(BUILD)/obj-fuzz/tests/fuzz/$(1).o $(patsubst diff_%,$(BUILD)/obj-fuzz/diff/%.o,$(filter diff_%,$(1))) \
		    $(if $(filter diff_% $(FUZZ_SHARED),$(1)),$(BUILD)/obj-fuzz/libdiff.a) $(BUILD)/obj-fuzz/librddr.a
	$$(call say,FUZZLD,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -pthread -o $$@ $$^ $(LIBS_DAEMON) $(LIBS_SHARED)
endef
$(foreach f,$(FUZZ_SOURCES:tests/fuzz/%.c=%),$(eval $(call fuzz_target,$(f))))

.PHONY: fuzz-built
fuzz-built: $(FUZZ_TARGETS)

JOBS := $(shell nproc)
SECONDS_EACH := 30
.PHONY: fuzz
fuzz: fuzz-built ## run every fuzz target for a while (SECONDS_EACH=30)
	$(Q)RDDR_BUILD=$(BUILD) RDDR_FUZZ_SECONDS=$(SECONDS_EACH) tests/run --stage fuzz

.PHONY: deps
deps: ## install the Debian packages that are missing
	$(Q)tests/deps

.PHONY: test
test: deps ## everything: checks, unit tests, the suite, again with sanitizers, fuzzing
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) tests-built
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD)/san SAN=1 tests-built
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) fuzz-built
	$(Q)RDDR_BUILD=$(BUILD) tests/run --all

.PHONY: quick
quick: tests-built ## the unit tests and the suite alone
	$(Q)RDDR_BUILD=$(BUILD) tests/run

.PHONY: apps-test
apps-test: deps tests-built ## real applications and published exploits behind the class http
	$(Q)RDDR_BUILD=$(BUILD) tests/run tests/7[0-9]-*.bats

.PHONY: check
check: compile_commands.json $(BPF_SKELETONS) ## walls between the rooms, licenses, sizes, man pages, scripts, format, clang-tidy
	$(Q)RDDR_BUILD=$(BUILD) tests/check

FORMATTED := $(wildcard bpf/*.[ch] userspace/*.[ch] diff/*.[ch] chainers/*.[ch] tests/unit/*/*.[ch] tests/stream/*.[ch] tests/stream/play/*.[ch] tests/tools/*.[ch] tests/fuzz/*.[ch])
.PHONY: format
format: ## clang-format on every C file
	$(Q)clang-format -i $(FORMATTED)

# For editors and for clang-tidy.
compile_commands.json: Makefile $(wildcard userspace/*.c diff/*.c chainers/*.c tests/unit/*/*.c tests/stream/*.c tests/stream/play/*.c tests/tools/*.c tests/fuzz/*.c) ## for editors
	$(Q)for f in $(filter %.c,$^); do \
		jq -n --arg d "$(CURDIR)" --arg f $$f --arg c '$(subst ','\'',$(CC) $(CPPFLAGS) $(CFLAGS)) -c '$$f \
			'{directory: $$d, file: $$f, command: $$c}'; done | jq -s . >$@

.PHONY: demo
demo: deps ## show it: a client, a gateway and three servers in network namespaces (DIRECT=1: no kernel rights)
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)RDDR_BUILD=$(BUILD) tests/demo.sh $(if $(DIRECT),--direct)

.PHONY: bench
bench: deps ## compare with nothing, HAProxy, nginx and pgbouncer in between
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all $(TOOLS)
	$(Q)RDDR_BUILD=$(BUILD) tests/bench/run
	$(Q)RDDR_BUILD=$(BUILD) tests/bench/postgres

SCRIPTS := rddr-attach rddr-detach rddr-status rddr-doctor
# What they share, and what the units run.
SCRIPT_PARTS := $(filter-out $(SCRIPTS:%=scripts/%) scripts/service scripts/systemd,$(wildcard scripts/*))
MAN_PAGES := $(wildcard docs/*.[1-8])
COMPLETED := rddrd rddrctl rddr-steer $(SCRIPTS)
SHARE := $(DESTDIR)$(PREFIX)/share
.PHONY: install
install: all ## install under $(PREFIX) (DESTDIR is honoured)
	$(Q)install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin sbin lib/rddr/diff include) $(DESTDIR)$(SYSTEMD)/system $(DESTDIR)$(SYSTEMD)/networkd.conf.d $(DESTDIR)/etc/default \
		$(addprefix $(SHARE)/,doc/rddr/examples doc/rddr-dev/examples bash-completion/completions) \
		$(foreach n,$(sort $(patsubst .%,%,$(suffix $(MAN_PAGES)))),$(SHARE)/man/man$(n))
	$(Q)install -m 755 $(BUILD)/rddrctl $(DESTDIR)$(PREFIX)/bin/
	$(Q)install -m 755 $(BUILD)/rddrd $(BUILD)/rddr-steer $(SCRIPTS:%=scripts/%) $(DESTDIR)$(PREFIX)/sbin/
	$(Q)install -m 644 $(PLUGIN_FILES) $(DESTDIR)$(PREFIX)/lib/rddr/diff/
	$(Q)install -m 644 $(SCRIPT_PARTS) $(DESTDIR)$(PREFIX)/lib/rddr/
	$(Q)install -m 755 scripts/service $(DESTDIR)$(PREFIX)/lib/rddr/
	$(Q)install -m 644 $(wildcard scripts/systemd/*.service) $(DESTDIR)$(SYSTEMD)/system/
	$(Q)install -m 644 scripts/systemd/networkd.conf $(DESTDIR)$(SYSTEMD)/networkd.conf.d/50-rddr.conf
	$(Q)[ -e $(DESTDIR)/etc/default/rddr ] || install -m 644 scripts/systemd/rddr.default $(DESTDIR)/etc/default/rddr
	$(Q)install -m 644 diff/rddr_diff.h $(DESTDIR)$(PREFIX)/include/
	$(Q)install -m 644 README.md LICENSE CHANGELOG.md $(SHARE)/doc/rddr/
	$(Q)install -m 644 $(wildcard docs/examples/*.yaml) $(SHARE)/doc/rddr/examples/
	$(Q)install -m 644 diff/skeleton.c $(SHARE)/doc/rddr-dev/examples/
	$(Q)install -m 644 docs/completion.bash $(SHARE)/bash-completion/completions/rddrd
	$(Q)$(foreach p,$(filter-out rddrd,$(COMPLETED)),ln -sf rddrd $(SHARE)/bash-completion/completions/$(p) &&) true
	$(Q)$(foreach m,$(MAN_PAGES),install -m 644 $(m) $(SHARE)/man/man$(patsubst .%,%,$(suffix $(m)))/ &&) true

# From a copy of the tree, so that nothing is written into it: $(BUILD)/deb/*.deb. DEB_VERSION=V builds it as another version.
.PHONY: deb
deb: ## build Debian packages into build/deb (debian/)
	$(Q)BUILD=$(BUILD) RDDR_DEB_VERSION=$(or $(DEB_VERSION),$(VERSION)) debian/build-packages

.PHONY: vagrant-test
vagrant-test: deps ## the end-to-end suite in a virtual machine, made by Vagrant from a box that is built offline
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all $(BUILD)/tests/tools/rddr-steer-program
	$(Q)RDDR_BUILD=$(BUILD) vagrant/run

.PHONY: clean
clean: ## remove everything that was built
	$(Q)rm -rf build compile_commands.json

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

-include $(shell find $(BUILD)/obj $(BUILD)/obj-fuzz $(OTHERS:%=$(BUILD)/other-%/obj) -name '*.d' 2>/dev/null)
