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
DESTDIR :=
BUILD := build$(if $(SAN),/san)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
CPPFLAGS := -D_GNU_SOURCE -DRDDR_VERSION='"$(VERSION)"' -DRDDR_LIBDIR='"$(PREFIX)/lib/rddr"' \
	    -Iuserspace -Ichainers -Idiff -Ibpf -I$(BUILD)/bpf
CFLAGS := -std=gnu11 -O2 -g -fPIC -pthread -fno-strict-aliasing $(WARNINGS)
LDFLAGS := -pthread -Wl,-z,relro,-z,now
ifdef SAN
CFLAGS += -O1 -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
LDFLAGS += -fsanitize=address,undefined
else
CFLAGS += -fstack-protector-strong -D_FORTIFY_SOURCE=2
endif
LIBS_DAEMON := -lyaml -ljson-c -lcap-ng -ldl -lbpf -lelf -lz
LIBS_CTL := -ljson-c
LIBS_STEER := -lbpf -lelf -lz -lyaml -ljson-c

# Programs have a file of their own with main(); everything else of userspace/ and chainers/ is one library.
PROGRAMS := rddrd rddrctl rddr-steer
MAINS := userspace/main.c userspace/rddrctl.c userspace/rddr_steer.c
# What embeds the kernel programs' skeletons belongs to rddr-steer alone.
STEER_SOURCES := $(wildcard userspace/steer_*.c)
LIB_SOURCES := $(filter-out $(MAINS) $(STEER_SOURCES),$(wildcard userspace/*.c chainers/*.c))
LIB_OBJECTS := $(LIB_SOURCES:%.c=$(BUILD)/obj/%.o)
LIBRARY := $(BUILD)/librddr.a

# Plugins: what is neither one of these is shared by all of them.
PLUGINS := bytes skeleton
PLUGIN_SHARED := $(filter-out $(PLUGINS:%=diff/%.c),$(wildcard diff/*.c))
PLUGIN_FILES := $(PLUGINS:%=$(BUILD)/diff/%.so)

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

$(BUILD)/diff/%.so: $(BUILD)/obj/diff/%.o $(PLUGIN_SHARED:%.c=$(BUILD)/obj/%.o)
	$(call say,PLUGIN,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,-z,defs$(if $(SAN),$(comma)--no-as-needed) -o $@ $^
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
	$(Q)BUILD=$(BUILD) tests/run-unit $(UNIT_TESTS)

# A test of a plugin's own code links that code: tests/unit/diff/bytes.c gets diff/bytes.c and what plugins share.
$(BUILD)/tests/unit/diff/%: $(BUILD)/obj/tests/unit/diff/%.o $(PLUGIN_SHARED:%.c=$(BUILD)/obj/%.o) $(LIBRARY)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(if $(filter $*,$(PLUGINS)),$(BUILD)/obj/diff/$*.o) $(filter-out $<,$^) -lcmocka $(LIBS_DAEMON)
$(foreach p,$(PLUGINS),$(eval $(BUILD)/tests/unit/diff/$(p): $(BUILD)/obj/diff/$(p).o))

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(LIBRARY)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS_DAEMON)

.PHONY: clean
clean: ## remove everything that was built
	$(Q)rm -rf build compile_commands.json

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
